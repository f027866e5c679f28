"""The limitations that a reviewer acknowledges one by one, out of a model card."""

from __future__ import annotations

import pytest

from promotion_assets.gates.model_card import read_card
from promotion_assets.review.limitations import LONGEST, MOST, limitations_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Card\n## Limitations\n- One bank.\n- One\n  country.\n", ["One bank.", "One country."]),
        (
            "# Card\n## Known limitations\nOne bank. Six months of\n2005.",
            ["One bank.", "Six months of 2005."],
        ),
        (
            "# Card\n## Limitations\nIt knows one bank. It is slow.\n\n- No minors.\n",
            ["It knows one bank.", "It is slow.", "No minors."],
        ),
        ("# Card\n## Limits\nWhat is known so far:\n\n1. One bank.\n", ["One bank."]),
        ("# Card\n## Limits\n- One bank.\n\nAnd one year.\n", ["One bank. And one year."]),
        ("# Card\n## Use\nAll.", ["The model card names no limitation of this version."]),
    ],
)
def test_limitations_are_taken_one_by_one(text: str, expected: list[str]) -> None:
    """Items of a list, or else sentences; none at all is said as well."""
    assert list(limitations_of(read_card("card", text))) == expected
    assert "no model card" in limitations_of(None)[0]


def test_many_limitations_are_counted_and_long_ones_cut() -> None:
    """A page of them stays readable, and says how many are left to read in the card."""
    items = "".join(f"- Limitation {number} of it.\n" for number in range(MOST + 3))
    found = limitations_of(read_card("card", f"# Card\n## Limitations\n{items}"))
    assert len(found) == MOST + 1
    assert found[-2:] == (f"Limitation {MOST - 1} of it.", "And 3 more in the model card.")
    (cut,) = limitations_of(read_card("card", f"# Card\n## Limitations\n- {'x' * 1000}\n"))
    assert cut == "x" * LONGEST
