"""What rollouts and shadow reports say where a guardrail is off, or a number cannot be had."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from promotion_assets.gates.contract import Measurement
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.findings import Finding, Verdict
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.labelled_pairs import LabelledPairs
from promotion_assets.rollout.rates import difference_bounds, rate_below, rate_bounds
from promotion_assets.rollout.shadow_decisions import decision_measurements
from promotion_assets.rollout.shadow_labels import label_measurements
from promotion_assets.rollout.shadow_report import report_on
from promotion_assets.rollout.shadow_scores import latency_measurements, score_measurements
from promotion_assets.rollout.shadow_tally import ShadowTally, tally
from promotion_assets.rollout.shadow_text import as_text, value_of
from promotion_assets.rollout.simulation import Fault, Traffic, simulate_many
from promotion_assets.rollout.statistics import ArmDecisions, Statistics, StepCounts
from promotion_assets.rollout.trajectory import trajectory
from promotion_assets_tests.rollout.counts import arm, counts, part
from promotion_assets_tests.rollout.shadows import (
    NOW,
    RULES,
    SUBJECT,
    batches,
    policy,
    shadow_frame,
)

OFF = {"latency": None, "decision_rate": None, "sample_ratio": None}
QUICK = {"steps": [{"share": 0.05}, {"share": 1}]}


def rollout(**stanza: Any) -> RolloutPolicy:
    """Return a policy with these parts replaced."""
    return RolloutPolicy.model_validate(stanza)


def finding(found: tuple[Finding, ...], guardrail: str) -> Finding:
    """Return what one guardrail found."""
    (one,) = [each for each in found if each.guardrail == guardrail]
    return one


def test_a_guardrail_that_is_off_finds_nothing_and_errors_cannot_be_off() -> None:
    """What the policy switched off is not judged, whatever the numbers say."""
    alone = rollout(**OFF)
    told = counts(alone, part(alone, 0, 0, 100_000, slower=9.0), positive=0.9)
    assert [found.guardrail for found in judge(alone, told, 0)] == ["errors", "drops"]
    usual = rollout()
    failed = {f.guardrail for f in judge(usual, told, 0) if f.verdict is Verdict.FAIL}
    assert failed >= {"latency", "decision rate"}


def test_a_difference_that_changed_between_steps_is_judged_by_the_last_step_alone() -> None:
    """Bounds that exclude each other have no common part, so none is made up."""
    asked = rollout()
    last = len(asked.way) - 1
    many = 2_000_000

    def _step(number: int, positive: float) -> StepCounts:
        candidate = ArmDecisions(many, many, round(many * positive))
        stable = ArmDecisions(many, many, round(many * 0.2))
        return StepCounts(number, asked.share_at(number), candidate, stable)

    higher, lower = _step(0, 0.22), _step(last, 0.18)
    alone = finding(judge(asked, Statistics(steps=(lower,)), last), "decision rate")
    both = finding(judge(asked, Statistics(steps=(higher, lower)), last), "decision rate")
    assert both.reason == alone.reason
    assert both.verdict is Verdict.SUCCESS
    alike = finding(
        judge(asked, Statistics(steps=(_step(0, 0.1815), lower)), last), "decision rate"
    )
    assert alone.low is not None
    assert alike.low is not None
    assert alone.low < alike.low
    assert alike.high == alone.high


def test_rates_of_nobody_are_anything_and_more_events_than_units_are_refused() -> None:
    """Without units the bounds are 0 and 1 and no evidence is shown; a unit counts once."""
    assert rate_bounds(0, 0, alpha=0.05) == (0.0, 1.0)
    assert difference_bounds((0, 0), (0, 0), alpha=0.05) == (-1.0, 1.0)
    nothing = rate_below(0, 0, 0.01)
    assert (nothing.n, nothing.method) == (0, "Bernoulli e-process, rate at least 0.01")
    assert nothing.log_e == 0.0
    for events, units in ((2, 1), (-1, 1)):
        with pytest.raises(ValueError, match=f"{events} events of {units} units"):
            rate_bounds(events, units, alpha=0.05)
        with pytest.raises(ValueError, match="a unit counts once"):
            rate_below(events, units, 0.01)
    low, high = rate_bounds(0, 100, alpha=0.05)
    assert low == 0.0
    assert 0.0 < high < 0.2
    low, high = rate_bounds(100, 100, alpha=0.05)
    assert high == 1.0
    assert 0.8 < low < 1.0


def shadowed(n: int = 40, rules: Any = RULES, **columns: Any) -> ShadowTally:
    """Return the tally of ``n`` pairs of scores."""
    one, two = np.linspace(0.1, 0.9, n), np.linspace(0.2, 0.8, n)
    return tally(batches(shadow_frame(one, two, **columns)), rules)


def test_scores_that_are_no_numbers_are_compared_by_nothing() -> None:
    """A model that answers words has no distances, curves or latencies of scores to show."""
    words = shadowed(production_score=math.nan, rules=replace(RULES, task="multiclass"))
    assert list(score_measurements(words, policy())) == []
    made = report_on(SUBJECT, words, policy(), NOW, dropped=0, labelled=None)
    assert made.scores.champion == ()
    assert made.latencies.champion != ()
    untimed = shadowed(production_latency_ms=math.nan, shadow_latency_ms=math.nan)
    assert list(latency_measurements(untimed, policy())) == []
    assert [m.name for m in latency_measurements(shadowed(), policy())] != []


def test_a_regression_decides_nothing() -> None:
    """There is no disagreement of decisions where there are none; classes have no direction."""
    of = {
        task: [m.name for m in decision_measurements(shadowed(rules=rules), policy())]
        for task in ("regression", "multiclass", "binary")
        for rules in (replace(RULES, task=task),)
    }
    assert of == {
        "regression": [],
        "multiclass": ["disagreement"],
        "binary": ["disagreement", "shift"],
    }


def pairs(labels: list[float], shadow: list[float] | None = None) -> LabelledPairs:
    """Return matured pairs with these labels."""
    known = len(labels)
    own = np.array(shadow if shadow is not None else np.linspace(0.1, 0.9, known), dtype=float)
    production = np.linspace(0.2, 0.8, known)
    return LabelledPairs(np.array(labels, dtype=float), production, own, matured=known + 3)


def test_labels_say_what_their_number_and_classes_allow() -> None:
    """One class has no AUC, one pair no spread, no label nothing at all but how few there are."""
    both, one_class = [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0]
    beyond = [0.1, 0.4, 1.2, 0.3]
    cases: list[tuple[Any, LabelledPairs, list[str]]] = [
        ("binary", pairs([]), []),
        ("binary", pairs(both), ["accuracy_change", "auc_change", "brier_change"]),
        ("binary", pairs(one_class), ["accuracy_change", "brier_change"]),
        ("binary", pairs(both, beyond), ["accuracy_change", "auc_change"]),
        ("binary", pairs([1.0]), ["accuracy_change"]),
        ("regression", pairs(both), ["absolute_error_change"]),
        ("regression", pairs([1.0]), []),
        ("multiclass", pairs(both), []),
    ]
    for task, labelled, names in cases:
        found = list(label_measurements(labelled, policy(), task))
        assert [m.name for m in found] == ["labelled_pairs", *names]
        assert found[0].reason == (
            f"{labelled.known} of {labelled.matured} matured pairs have an outcome"
        )


def test_a_report_without_pairs_is_text_too() -> None:
    """A number that could not be had is left empty, and no time is claimed."""
    empty = shadowed(outcome="crashed", shadow_score=math.nan, error="it exited")
    made = report_on(SUBJECT, empty, policy(), NOW, dropped=0, labelled=None)
    text = as_text(made.model_copy(update={"first": None, "last": None}))
    assert text.splitlines()[0].startswith("credit-risk version 2 as the shadow of champion 1: ")
    assert "pairs, " not in text
    assert value_of(Measurement(name="psi", observed=None)) == ""


def test_the_evidence_is_told_slice_by_slice() -> None:
    """Each point knows what was known then: nothing of later slices or steps."""
    asked = rollout()
    told = counts(
        asked,
        *(
            replace(part(asked, *place, 50_000, failed=failed), stable=arm(40_000, 0.001))
            for place, failed in (((0, 0), 0.001), ((0, 1), 0.001), ((1, 0), 0.05))
        ),
    )
    points = list(trajectory(asked, told))
    assert [(p.step, p.slice) for p in points] == [(0, 0), (0, 1), (1, 0)]
    assert points[-1].findings == judge(asked, told, 1)
    verdicts = [finding(p.findings, "errors").verdict for p in points]
    assert verdicts[-1] is Verdict.FAIL
    assert Verdict.FAIL not in verdicts[:-1]
    assert points[2].error_ratio.low > 1.0 > points[1].error_ratio.low


@pytest.mark.parametrize(
    ("fault", "guardrail"),
    [
        (Fault("errors", 30), "errors"),
        (Fault("slowdown", 4), "latency"),
        (Fault("group_harm", -0.9, group=0.5), "decision rate"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_great_fault_is_noticed_within_an_hour(fault: Fault, guardrail: str) -> None:
    """The guardrail that looks for it takes the candidate back, and who was harmed is counted."""
    (outcome,) = simulate_many(rollout(**QUICK), Traffic(), fault, runs=1, seed=1)
    assert (outcome.ended, outcome.guardrail) == ("roll_back", guardrail)
    assert outcome.noticed is not None
    assert outcome.noticed <= timedelta(hours=1)
    assert 0 < outcome.harmed <= outcome.met


def test_what_a_policy_does_not_judge_is_not_simulated_either() -> None:
    """Without the guardrail of latencies a candidate that is slow goes the whole way."""
    slow = Fault("slowdown", 4)
    (outcome,) = simulate_many(rollout(**QUICK, **OFF), Traffic(), slow, runs=1, seed=1)
    assert (outcome.ended, outcome.guardrail, outcome.noticed) == ("complete", "", None)
    assert outcome.harmed == outcome.met > 0
    drift = Fault("drift", 2, from_step=1)
    (outcome,) = simulate_many(rollout(**QUICK, **OFF), Traffic(), drift, runs=1, seed=1)
    assert (outcome.ended, outcome.harmed) == ("complete", 0)
