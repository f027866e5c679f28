"""Rehearsed rollouts: the same verdicts as one look at a time, false alarms, and faults found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from promotion_assets.policy.rollout import BASIS_POINTS, RolloutPolicy
from promotion_assets.rollout.changepoints import harm
from promotion_assets.rollout.findings import Verdict
from promotion_assets.rollout.guardrails import judge
from promotion_assets.rollout.rates import difference_bounds
from promotion_assets.rollout.rehearsal import (
    Rehearsal,
    Traffic,
    difference_paths,
    failures,
    harm_paths,
    rehearse,
)
from promotion_assets.rollout.statistics import (
    ArmCounts,
    ArmDecisions,
    Slice,
    Statistics,
    StepCounts,
)
from promotion_assets.statistics.evalues import mixture

POLICY = RolloutPolicy()
LOOKS = (40, 30, 30)


def statistics(rehearsal: Rehearsal, run: int, look: int) -> Statistics:
    """Return what a rollout's counts would be at this look of this run."""
    until = np.arange(len(rehearsal.step)) <= look

    def _arm(name: str, part: np.ndarray) -> ArmCounts:
        units = int(getattr(rehearsal.decisions, f"units_{name}")[run, part].sum())
        return ArmCounts(
            requests=units,
            units=units,
            new_units=units,
            at_risk=dict.fromkeys(rehearsal.rates, units),
            events={
                kind: int(getattr(stream, f"events_{name}")[run, part].sum())
                for kind, stream in rehearsal.rates.items()
            },
        )

    def _decided(name: str, part: np.ndarray) -> ArmDecisions:
        units = int(getattr(rehearsal.decisions, f"units_{name}")[run, part].sum())
        positive = int(getattr(rehearsal.decisions, f"events_{name}")[run, part].sum())
        return ArmDecisions(units, units, positive)

    slices, steps = [], []
    for step in range(int(rehearsal.step[look]) + 1):
        share = POLICY.share_at(step)
        in_step = until & (rehearsal.step == step)
        steps.append(
            StepCounts(step, share, _decided("candidate", in_step), _decided("stable", in_step))
        )
        for number in sorted(set(rehearsal.slice[in_step].tolist())):
            part = in_step & (rehearsal.slice == number)
            slices.append(Slice(step, number, share, _arm("candidate", part), _arm("stable", part)))
    thresholds = {kind: 1.0 for kind in rehearsal.rates if kind != "error"}
    return Statistics(tuple(slices), tuple(steps), thresholds)


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(),
        Traffic(errors=0.02, errors_ratio=4.0),
        Traffic(slower=np.array([0.6, 0.2, 0.05])),
        Traffic(positive_candidate=0.35),
    ],
    ids=["sound", "errors", "slow", "other decisions"],
)
def test_a_rehearsed_look_is_a_look(traffic: Traffic) -> None:
    """At any look of any run each guardrail stops the rehearsal where it stops the rollout."""
    rehearsal = rehearse(np.random.default_rng(1), POLICY, traffic, runs=2, looks=LOOKS)
    stops = failures(POLICY, rehearsal)
    for run, look in ((0, 0), (0, 3), (1, 39), (0, 40), (1, 69), (1, 99)):
        counted = statistics(rehearsal, run, look)
        step = int(rehearsal.step[look])
        found = {f.guardrail: f.verdict for f in judge(POLICY, counted, step)}
        for guardrail in ("errors", "latency", "sample ratio"):
            assert stops[guardrail][run, look] == (found[guardrail] is Verdict.FAIL)
        # A difference that was shown in an earlier step stays shown.
        last = [int(np.flatnonzero(rehearsal.step == s)[-1]) for s in range(step)]
        shifted = stops["decision rate"][run, [*last, look]].any()
        assert shifted == (found["decision rate"] is Verdict.FAIL)
        evidence = harm(counted.slices, "error", 3, alpha=0.05).log_e
        assert harm_paths(rehearsal, "error")[run, look] == pytest.approx(evidence, abs=1e-9)


def test_bounds_of_decisions_are_those_of_one_look() -> None:
    """The bounds of the difference of decision rates equal those found one by one."""
    rehearsal = rehearse(np.random.default_rng(2), POLICY, Traffic(), runs=2, looks=LOOKS)
    low, high = difference_paths(rehearsal, 0.01)
    for run, look in ((0, 0), (1, 39), (1, 40), (0, 99)):
        now = statistics(rehearsal, run, look).steps[-1]
        arms = [(a.positive, a.decided) for a in (now.candidate, now.stable)]
        expected = difference_bounds(arms[0], arms[1], alpha=0.01)
        assert [low[run, look], high[run, look]] == pytest.approx(list(expected), abs=1e-9)


def test_sound_candidates_are_stopped_no_more_than_stated() -> None:
    """Of 1,000 rollouts with equal arms each guardrail stops at most alpha, all the family rate."""
    rehearsal = rehearse(np.random.default_rng(3), POLICY, Traffic(), runs=1000, looks=(80, 80, 40))
    stops = failures(POLICY, rehearsal)
    alphas = {"errors": 0.05, "latency": 0.05, "decision rate": 0.01, "sample ratio": 0.01}
    assert {name: alphas[name] for name in stops} == alphas
    for name, stopped in stops.items():
        assert stopped.any(axis=1).mean() <= alphas[name]
    family = np.any([stopped.any(axis=1) for stopped in stops.values()], axis=0)
    assert family.mean() <= POLICY.family_rate


@pytest.mark.parametrize(
    ("guardrail", "traffic"),
    [
        ("errors", Traffic(errors_ratio=np.repeat([1.0, 4.0], [40, 60]))),
        ("latency", Traffic(slower=np.array([0.6, 0.2, 0.04]))),
        ("decision rate", Traffic(positive_candidate=0.35)),
    ],
)
def test_each_fault_is_stopped_by_its_guardrail(guardrail: str, traffic: Traffic) -> None:
    """A fault, from the start or from the second step on, is stopped by the right guardrail."""
    rehearsal = rehearse(np.random.default_rng(4), POLICY, traffic, runs=100, looks=LOOKS)
    stops = {name: s.any(axis=1).mean() for name, s in failures(POLICY, rehearsal).items()}
    assert stops.pop(guardrail) >= 0.99
    assert max(stops.values()) <= 0.05


def test_a_base_rate_that_trebles_in_both_arms_stops_no_more_than_alpha() -> None:
    """Errors that treble in mid-ramp in both arms are nobody's fault, and stop at most alpha."""
    moving = np.where(np.arange(200) < 120, 0.005, 0.015)
    rehearsal = rehearse(
        np.random.default_rng(7), POLICY, Traffic(errors=moving), runs=1000, looks=(80, 80, 40)
    )
    stopped = harm_paths(rehearsal, "error") >= math.log(1 / POLICY.errors.alpha)
    assert stopped.any(axis=1).mean() <= POLICY.errors.alpha


@pytest.mark.parametrize(
    ("kinds", "traffic", "looks", "requests"),
    [
        (("error",), Traffic(errors_ratio=3.0), 198, 600),
        # Log-normal latency, p95 1.9 times p50, 1.2 times as long: what exceeds p50, p90, p99.
        (("p50", "p90", "p99"), Traffic(slower=np.array([0.676, 0.204, 0.0308])), 58, 500),
    ],
)
def test_faults_at_the_first_share_are_found_soon(
    kinds: tuple[str, ...], traffic: Traffic, looks: int, requests: int
) -> None:
    """Trebled errors, and a p99 a fifth longer, are found in 99 %, soon enough in the median."""
    # A median of 4,000 runs has a standard error of 9 requests here.
    runs = 4000
    rehearsal = rehearse(np.random.default_rng(8), POLICY, traffic, runs=runs, looks=(looks, 1, 1))
    evidence = [harm_paths(rehearsal, kind) for kind in kinds]
    stopped = mixture(np.stack(evidence, axis=-1)) >= math.log(1 / 0.05)
    assert stopped.any(axis=1).mean() >= 0.99
    seen = rehearsal.candidate_units.cumsum(axis=1)
    assert np.median(seen[np.arange(runs), stopped.argmax(axis=1)]) <= requests


def test_guardrails_that_are_off_are_left_out() -> None:
    """A policy without a guardrail is not rehearsed with it."""
    policy = RolloutPolicy(latency=None, decision_rate=None, sample_ratio=None)
    rehearsal = rehearse(np.random.default_rng(5), policy, Traffic(), runs=2, looks=LOOKS)
    assert list(failures(policy, rehearsal)) == ["errors"]


def test_shares_are_those_of_the_policy() -> None:
    """Each step has its planned share, the last one's without the holdback."""
    rehearsal = rehearse(np.random.default_rng(6), POLICY, Traffic(), runs=1, looks=(1, 2, 1))
    expected = [POLICY.share_at(s) / BASIS_POINTS for s in (0, 1, 1, 2)]
    assert rehearsal.decisions.shares.tolist() == expected
    assert math.isclose(expected[-1], 0.98)


@pytest.mark.parametrize("looks", [(10, 10), (10, 0, 10)])
def test_every_step_needs_a_look(looks: tuple[int, ...]) -> None:
    """Looks for other steps than the policy has, or none in a step, are refused."""
    with pytest.raises(ValueError, match="needs at least one look"):
        rehearse(np.random.default_rng(0), POLICY, Traffic(), runs=1, looks=looks)
