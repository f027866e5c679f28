"""How the evidence of a rollout came about: every guardrail as it stood after each slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.findings import Finding
from promotion_assets.rollout.guardrails import event_rows, judge
from promotion_assets.rollout.statistics import ERROR, Slice, Statistics
from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.sequential import event_ratio


@dataclass(frozen=True)
class Point:
    """The evidence after one slice.

    Attributes:
        step, slice: which one.
        findings: of every guardrail; the decision rate's is of the whole step, since decisions
            are not counted by slice.
        error_ratio: of the rates of errors, with bounds that hold at all slices at once.
    """

    step: int
    slice: int
    findings: tuple[Finding, ...]
    error_ratio: Estimate


def trajectory(policy: RolloutPolicy, statistics: Statistics) -> Iterator[Point]:
    """Yield the evidence slice by slice, in order of time."""
    for number, last in enumerate(statistics.slices):
        until: tuple[Slice, ...] = statistics.slices[: number + 1]
        then = replace(
            statistics,
            slices=until,
            steps=tuple(s for s in statistics.steps if s.step <= last.step),
        )
        yield Point(
            last.step,
            last.number,
            judge(policy, then, last.step),
            event_ratio(event_rows(until, ERROR), alpha=policy.errors.alpha),
        )
