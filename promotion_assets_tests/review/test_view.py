"""What a reviewer is shown of a decision, where parts of it are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.lifecycle.events import ShadowReported
from promotion_assets.review.case import Case
from promotion_assets.review.view import Material, ReviewView, limit_text, view_of
from promotion_assets_tests.evidence import candidate
from promotion_assets_tests.review.test_drills import decision
from promotion_assets_tests.review.test_rules import case

OVERALL = Measurement(name="roc_auc", observed=0.78, baseline=0.72)


def material(**changes: object) -> Material:
    """A decision against a champion, with all that is known of both."""
    sound = case()
    assert isinstance(sound, Case)
    whole = Material(
        case=sound,
        decision=decision(),
        candidate=candidate(params={"C": "2"}, requirements=("numpy==2.3",)),
        champion=candidate(params={"C": "1"}, requirements=("numpy",)),
        shadow=None,
        shadow_waiver=None,
        model_card="",
        history=(),
        pictures={},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def of_results(*results: GateResult, **changes: object) -> ReviewView:
    """The view of a decision with other results."""
    return view_of(material(decision=decision().model_copy(update={"results": results}), **changes))


def test_the_first_version_is_compared_with_nothing() -> None:
    """Without a champion nothing is different from it; with one, what is different is named."""
    accuracy = GateResult(
        gate="accuracy", outcome=Outcome.PASSED, reason="good", measurements=(OVERALL,)
    )
    told = {
        (d.subject, d.name): (d.candidate, d.champion) for d in of_results(accuracy).differences
    }
    assert told == {
        ("metric", "roc_auc"): ("0.78", "0.72"),
        ("parameter", "C"): ("2", "1"),
        ("requirement", "numpy"): ("2.3", "not pinned"),
    }
    alone = accuracy.model_copy(
        update={"measurements": (OVERALL.model_copy(update={"baseline": None}),)}
    )
    assert of_results(alone, champion=None).differences == ()


def test_without_a_fairness_gate_there_is_no_table_of_groups() -> None:
    """And no group is said to be harmed, for nobody has looked."""
    _, latency = decision().results
    shown = of_results(latency)
    assert (shown.groups, shown.metric, shown.harmed) == ((), "", ())


def test_a_group_that_failed_once_is_failed_whatever_else_is_measured_of_it() -> None:
    """No number that passed afterwards, and none that is only reported, hides the failure."""
    fairness, _ = decision().results
    subject = fairness.measurements[0].subject
    failed = Measurement(name="drop_vs_champion", subject=subject, outcome=Outcome.FAILED)
    passed = Measurement(name="selection_rate_ratio", subject=subject, outcome=Outcome.PASSED)
    reported = Measurement(name="share", subject=subject)
    for order in ((failed, passed, reported), (reported, passed, failed)):
        shown = of_results(fairness.model_copy(update={"measurements": order}))
        assert (shown.groups[0].group, shown.groups[0].outcome) == (subject, "failed")
        assert {row.outcome for row in shown.groups[1:]} == {"reported"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "No shadow report is recorded, and the policy does not waive it."),
        (
            {"shadow_waiver": "no live traffic yet"},
            "No shadow report; the policy waives it: no live traffic yet",
        ),
        (
            {
                "shadow": ShadowReported(
                    model="credit",
                    version="7",
                    passed=False,
                    model_digest="0" * 64,
                    summary="9 % of decisions differ",
                ),
                "shadow_waiver": "no live traffic yet",
            },
            "The shadow report did not pass: 9 % of decisions differ",
        ),
    ],
    ids=["neither", "waived", "failed in spite of a waiver"],
)
def test_what_became_of_the_shadow_is_said(changes: dict[str, object], said: str) -> None:
    """A missing report is said to be missing, and a bad one is not covered by a waiver."""
    assert view_of(material(**changes)).shadow == said


def test_a_number_without_a_limit_has_none_in_words() -> None:
    """What is only reported is not shown as if it had been held against something."""
    assert limit_text(OVERALL) == ""
    assert limit_text(OVERALL.model_copy(update={"limit": 0.7})) == "≥ 0.7"
