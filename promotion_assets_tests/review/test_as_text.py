"""A request at a terminal: what keeps it from approval, and the slices in full."""

from __future__ import annotations

from dataclasses import replace

from promotion_assets.gates.contract import Interval, Measurement, Outcome
from promotion_assets.review.as_text import as_text
from promotion_assets.review.ports import Shown
from promotion_assets.review.slices import Slice
from promotion_assets.review.view import view_of
from promotion_assets_tests.review.test_rules import case
from promotion_assets_tests.review.test_view import material

FULL = Slice(
    id="s1",
    state="failing",
    gate="fairness",
    title="age=50+: drop",
    measurements=(
        Measurement(
            name="drop_vs_champion",
            subject="age=50+",
            observed=0.07,
            limit=0.05,
            direction="max",
            baseline=0.81,
            sample_size=900,
            interval=Interval(low=0.06, high=0.08, method="DeLong"),
            outcome=Outcome.FAILED,
        ),
    ),
    reason="older customers lose",
)
BARE = Slice(
    id="s2",
    state="too small to judge",
    gate="fairness",
    title="age=90+",
    measurements=(Measurement(name="drop_vs_champion", subject="age=90+"),),
)


def shown(**changes: object) -> Shown:
    """A request as one reviewer sees it."""
    sliced = case(slices=(FULL, BARE))
    view = view_of(replace(material(), case=sliced))
    sound = Shown(
        case=sliced,
        view=view,
        view_digest=view.digest,
        pictures={},
        opened=frozenset({"s1"}),
        hindrances=(),
        closed=None,
    )
    return replace(sound, **changes)  # type: ignore[arg-type]


def test_what_keeps_a_reviewer_from_approving_comes_before_the_numbers() -> None:
    """That it is closed, why she cannot approve it, and that it was a drill once she may know."""
    said = as_text(
        shown(
            closed="it expired",
            hindrances=("ana made or registered version 7 and cannot approve it",),
            told=("high school loses",),
        )
    )
    for line in (
        "\nnot open for review: it expired\n",
        "\nyou cannot approve it: ana made or registered version 7 and cannot approve it\n",
        "\nDRILL high school loses\n",
    ):
        assert line in said
        assert said.index(line) < said.index("\ngates\n")


def test_an_open_request_says_nothing_of_that() -> None:
    """No hindrance, no drill and no end is hinted at where there is none."""
    said = as_text(shown())
    for words in ("not open for review", "cannot approve", "DRILL"):
        assert words not in said


def test_slices_are_shown_in_full_where_that_is_asked() -> None:
    """With limit, interval and reason; what was not measured is not made up."""
    lines = as_text(shown(), frozenset({"s1", "s2"})).splitlines()
    start = lines.index("  s1  failing, opened: age=50+: drop")
    assert lines[start : start + 5] == [
        "  s1  failing, opened: age=50+: drop",
        "      age=50+: drop_vs_champion 0.07 0.06 … 0.08 (95 %), limit ≤ 0.05, "
        "champion 0.81, n 900",
        "      older customers lose",
        "  s2  too small to judge, not opened: age=90+",
        "      age=90+: drop_vs_champion -, limit none, champion -, n -",
    ]
    assert "older customers lose" not in as_text(shown(), frozenset({"s2"}))
