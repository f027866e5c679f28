"""A policy played with a fault in the traffic: noticed, seeded, quiet where nothing is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.simulation import Fault, Traffic, simulate_many

POLICY = RolloutPolicy()


@pytest.mark.parametrize(
    ("fault", "guardrail"),
    [
        (Fault("errors", 4), "errors"),
        (Fault("slowdown", 1.5), "latency"),
        (Fault("group_harm", -0.9, group=0.2), "decision rate"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_fault_is_noticed_by_its_guardrail(fault: Fault, guardrail: str) -> None:
    """Every run is taken back, by the guardrail that looks for it, before the rollout is over."""
    for outcome in simulate_many(POLICY, Traffic(), fault, runs=3, seed=1):
        assert (outcome.ended, outcome.guardrail) == ("roll_back", guardrail)
        assert outcome.noticed is not None
        assert outcome.noticed < timedelta(hours=25)
        assert 0 < outcome.harmed <= outcome.met


def test_fault_that_begins_late_is_counted_from_there() -> None:
    """Units that the candidate answered before it are not among those who met it."""
    late = Fault("errors", 6, from_step=1, after=timedelta(minutes=20))
    (outcome,) = simulate_many(POLICY, Traffic(), late, runs=1, seed=2)
    assert outcome.ended == "roll_back"
    assert outcome.noticed is not None
    assert outcome.took - outcome.noticed >= timedelta(minutes=80)


def test_sound_candidate_and_a_drift_of_both_arms_go_the_whole_way() -> None:
    """Nothing wrong, and nobody's fault: neither is taken back, and a seed gives the same."""
    for fault in (Fault(), Fault("drift", 3, from_step=1)):
        outcomes = list(simulate_many(POLICY, Traffic(), fault, runs=2, seed=3))
        assert {o.ended for o in outcomes} == {"complete"}
        assert all(o.took >= timedelta(hours=26) for o in outcomes)
    again = list(simulate_many(POLICY, Traffic(), Fault("drift", 3, from_step=1), runs=2, seed=3))
    assert again == outcomes


def test_no_traffic_holds() -> None:
    """A rollout without units never goes on."""
    (outcome,) = simulate_many(POLICY, Traffic(units_per_hour=0.01), Fault(), runs=1, seed=4)
    assert outcome.ended == "hold"
