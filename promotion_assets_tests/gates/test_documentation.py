"""The documentation gate: cards that say something, and sign-offs that still hold."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.gates.model_card import read_card, section
from promotion_assets_tests import evidence as make

TEXT = "Five words and then some more."
HIGH = (
    "Intended use", "Out of scope", "Limitations", "Training data", "Fairness",
    "Human oversight", "Owner",
)  # fmt: skip
DATASET_CARD = f"# Source\n{TEXT}\n# Limitations\n{TEXT}\n"


def card(*sections: str) -> str:
    """Return a card with these sections, each with a text."""
    return "".join(f"# {name}\n{TEXT}\n" for name in sections)


def judged(own: Candidate, risk: str = "low", **settings: Any) -> GateResult:
    """Return the documentation gate's result."""
    policy = make.policy(risk_class=risk, base=settings.pop("base", "."))
    given = make.evidence(candidate=own, policy=policy, **settings.pop("given", {}))
    return make.judge("documentation", given, **settings)


def test_a_card_is_found_in_artifact_description_or_tag(tmp_path: Path) -> None:
    """The three places, in this order."""
    text = card("Intended use", "Limitations")
    files = {**make.artifact_files(), "MODEL_CARD.md": text.encode()}
    in_file = judged(make.candidate(tmp_path, files=files, description="nothing"))
    in_words = judged(make.candidate(description=text))
    in_tag = judged(make.candidate(tags={"model_card": text}))
    assert [r.outcome for r in (in_file, in_words, in_tag)] == [Outcome.PASSED] * 3
    assert in_file.details["model_card"] == "MODEL_CARD.md"
    assert in_words.details["model_card"] == "version's description"
    assert in_tag.details["model_card"] == "tag model_card"


def test_no_card_fails_with_the_next_step() -> None:
    """Without a card the gate fails and says where one goes."""
    result = judged(make.candidate())
    assert result.outcome is Outcome.FAILED
    assert "put MODEL_CARD.md into the artifact" in result.reason


@pytest.mark.parametrize("risk", ["low", "medium", "high"])
def test_more_is_asked_of_a_higher_risk(risk: str) -> None:
    """A card that does for low risk lacks sections for a higher one."""
    result = judged(make.candidate(description=card("Intended use", "Limitations")), risk)
    assert (result.outcome is Outcome.PASSED) == (risk == "low")
    if risk == "high":
        for words in ("'human oversight' is missing", "'fairness' is missing"):
            assert words in result.reason


def test_a_complete_high_risk_card_needs_a_dataset_card(tmp_path: Path) -> None:
    """At high risk the training data's card is asked for, in the artifact or at a path."""
    without = judged(make.candidate(description=card(*HIGH)), "high")
    assert without.outcome is Outcome.FAILED
    assert "dataset card" in without.reason
    files = {**make.artifact_files(), "DATASET_CARD.md": DATASET_CARD.encode()}
    own = make.candidate(tmp_path / "a", files=files, description=card(*HIGH))
    assert judged(own, "high").outcome is Outcome.PASSED
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "data.md").write_text(DATASET_CARD, encoding="utf-8")
    at_path = judged(
        make.candidate(description=card(*HIGH)),
        "high",
        base=str(tmp_path),
        dataset_card_path="cards/data.md",
    )
    assert at_path.outcome is Outcome.PASSED
    assert at_path.details["dataset_card"] == "cards/data.md"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Limitations\n", "is empty"),
        ("# Limitations\nTBD\n", "is empty"),
        ("# Limitations\n- TODO\n- n/a\n<describe here>\n[fill in]\n", "is empty"),
        ("# Limitations\n<!-- five words in a comment -->\n", "is empty"),
        ("# Limitations\nsome limits\n", "has 2 words, of 5"),
        ("text about limitations without a heading", "is missing"),
        ("```\n# Limitations\n```\nfive words of text here\n", "is missing"),
    ],
)
def test_a_section_without_words_is_no_section(text: str, words: str) -> None:
    """Placeholders, comments and headings in code say nothing."""
    found = section(read_card("card", text), "limitations", 5)
    assert found is not None
    assert words in found


@pytest.mark.parametrize(
    "heading",
    ["# Known limitations", "### **Limitations**:", "## caveats ##", "#  LIMITATIONS  "],
)
def test_headings_are_understood_as_people_write_them(heading: str) -> None:
    """Levels, emphasis, case and usual synonyms do not matter."""
    assert section(read_card("card", f"{heading}\n{TEXT}\n"), "limitations", 5) is None


def test_the_policy_may_ask_for_sections_of_its_own() -> None:
    """Required sections of the policy replace those of the risk class."""
    own = make.candidate(description=card("Carbon footprint"))
    assert judged(own, sections=["carbon footprint"]).outcome is Outcome.PASSED
    assert judged(own, sections=["water use"]).outcome is Outcome.FAILED


def test_what_the_platform_measures_is_not_asked_of_the_author() -> None:
    """The evaluation is filled from the evidence."""
    result = judged(make.candidate(description=card("Owner")), sections=["owner", "evaluation"])
    assert result.outcome is Outcome.PASSED
    assert result.details["generated"]["evaluation_dataset"]["rows"] == 4000


SIGN_OFF = {"by": "Compliance", "reference": "MRM-2026-17", "until": "2026-03-01"}


@pytest.mark.parametrize(
    ("sign_off", "days", "outcome", "words"),
    [
        (SIGN_OFF, 0, Outcome.PASSED, ""),
        (SIGN_OFF, 1, Outcome.FAILED, "MRM-2026-17 of Compliance held until 2026-03-01"),
        (None, 0, Outcome.FAILED, "there is none"),
    ],
)
def test_a_regulatory_sign_off_is_asked_for_and_expires(
    sign_off: dict[str, str] | None, days: int, outcome: Outcome, words: str
) -> None:
    """Where the policy requires one it must be there and still hold."""
    own = make.candidate(description=card("Intended use", "Limitations"))
    result = judged(
        own,
        regulatory_sign_off="required",
        sign_off=sign_off,
        given={"as_of": make.NOON + timedelta(days=days)},
    )
    assert result.outcome is outcome
    assert words in result.reason
    assert result.details["sign_off"] == sign_off


def test_an_unreadable_card_is_no_card(tmp_path: Path) -> None:
    """Bytes that are no text are not a card."""
    files = {**make.artifact_files(), "MODEL_CARD.md": b"\xff\xfe\x00"}
    assert judged(make.candidate(tmp_path, files=files)).outcome is Outcome.FAILED
