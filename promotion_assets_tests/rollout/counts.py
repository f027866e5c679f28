"""Sufficient statistics made up for tests of what is decided from them."""

from __future__ import annotations

from dataclasses import replace

from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.statistics import (
    ERROR,
    ArmCounts,
    ArmDecisions,
    Slice,
    Statistics,
    StepCounts,
)

THRESHOLDS = {"p50": 2.0, "p90": 5.0, "p99": 9.0}
_SLOW = {"p50": 0.5, "p90": 0.1, "p99": 0.01}


def arm(units: int, failed: float = 0.0, slower: float = 1.0) -> ArmCounts:
    """An arm that answered so many new units, with these rates of events."""
    rates = {ERROR: failed, **{kind: min(1.0, rate * slower) for kind, rate in _SLOW.items()}}
    return ArmCounts(
        requests=units,
        units=units,
        new_units=units,
        at_risk=dict.fromkeys(rates, units),
        events={kind: round(units * rate) for kind, rate in rates.items()},
    )


def part(
    policy: RolloutPolicy,
    step: int,
    number: int,
    units: int,
    *,
    failed: float = 0.0,
    slower: float = 1.0,
) -> Slice:
    """One slice in which ``units`` came, the candidate's by its share; the champion is sound."""
    share = policy.share_at(step)
    candidate = round(units * share / 10_000)
    return Slice(step, number, share, arm(candidate, failed, slower), arm(units - candidate))


def counts(
    policy: RolloutPolicy, *slices: Slice, positive: float = 0.2, drops: int = 0
) -> Statistics:
    """Statistics of these slices; the candidate decides positively at this rate, champion .2."""
    steps: dict[int, StepCounts] = {}
    for each in slices:
        known = steps.get(each.step, StepCounts(each.step, each.share))
        steps[each.step] = replace(
            known,
            candidate=_decided(known.candidate, each.candidate.units, positive),
            stable=_decided(known.stable, each.stable.units, 0.2),
        )
    lost = {"candidate": drops} if drops else {}
    return Statistics(slices=slices, steps=tuple(steps.values()), thresholds=THRESHOLDS, drops=lost)


def _decided(known: ArmDecisions, units: int, positive: float) -> ArmDecisions:
    return ArmDecisions(
        known.units + units, known.decided + units, known.positive + round(units * positive)
    )
