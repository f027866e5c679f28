"""A policy played against made-up traffic: how soon a fault is noticed, and how often none is.

Time is the simulation's own, so a rollout of days takes a moment. What decides is
:func:`promotion_assets.rollout.decide.decide` itself, look by look. Each unit asks once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from promotion_assets.policy.rollout import BASIS_POINTS, RolloutPolicy
from promotion_assets.rollout.decide import Action, RolloutPlan, decide
from promotion_assets.rollout.findings import Verdict
from promotion_assets.rollout.statistics import (
    ERROR,
    SLICES,
    ArmCounts,
    ArmDecisions,
    Slice,
    Statistics,
    StepCounts,
    slow_kind,
)
from promotion_assets.statistics.numerics import ndtr, ndtri

FaultKind = Literal["none", "errors", "slowdown", "group_harm", "drift"]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
#: Looks are a tick apart at first, and a part of the step's age later, to spare computation.
LOOKS_AT_FIRST = 20
LATER_LOOKS = 15


@dataclass(frozen=True)
class Traffic:
    """What comes in, and how the champion answers.

    Attributes:
        units_per_hour: new units, in both arms.
        error_rate: of the champion's answers.
        positive_rate: of its decisions.
        latency_spread: standard deviation of the logarithm of latencies.
    """

    units_per_hour: float = 20_000.0
    error_rate: float = 0.005
    positive_rate: float = 0.2
    latency_spread: float = 0.5


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        size: ``errors`` and ``slowdown``: how many times as many, as slow. ``group_harm``:
            change of the share decided positively within the group. ``drift``: how many times as
            many errors in both arms, which is nobody's fault.
        group: part of the units that the group is.
        from_step: number of the step in which it begins, from 0.
        after: time after that step's beginning.
    """

    kind: FaultKind = "none"
    size: float = 3.0
    group: float = 0.1
    from_step: int = 0
    after: timedelta = timedelta(0)


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended.

    Attributes:
        ended: ``complete``, ``roll_back`` or ``hold``.
        took: from its start.
        noticed: from the beginning of the fault to the rollback; ``None`` if it came before, or
            never.
        met: units that the candidate answered since the fault began.
        harmed: of them those that had what the fault does.
        guardrail: which one took it back.
    """

    ended: str
    took: timedelta
    noticed: timedelta | None
    met: int
    harmed: int
    guardrail: str


def simulate(
    policy: RolloutPolicy, traffic: Traffic, fault: Fault, rng: np.random.Generator
) -> Outcome:
    """Play one rollout to its end: it is complete, taken back, or holds."""
    world = _World(policy, traffic, fault, rng)
    plan = RolloutPlan("candidate")
    while True:
        action = decide(plan, policy, world.statistics(), world.now)
        if action.kind in ("complete", "roll_back", "hold"):
            return world.outcome(action)
        if action.kind in ("start", "advance", "bake"):
            plan = replace(plan, step=action.step, since=world.now)
            assert action.step is not None
            world.enter(action.step)
        world.go_on()


@dataclass
class _Counts:
    """Counts of one arm in one slice: units, and units that had each event."""

    units: int = 0
    events: dict[str, int] = field(default_factory=dict)


class _World:
    """Traffic, clock and counts of one rollout."""

    def __init__(
        self, policy: RolloutPolicy, traffic: Traffic, fault: Fault, rng: np.random.Generator
    ) -> None:
        self.policy, self.traffic, self.fault, self.rng = policy, traffic, fault, rng
        self.now = BEGIN
        self.step = 0
        self.entered = BEGIN
        self.fault_began: datetime | None = None
        self.met = self.harmed = 0
        self.slices: dict[tuple[int, int], tuple[_Counts, _Counts]] = {}
        self.decided: dict[int, list[list[int]]] = {}

    def enter(self, step: int) -> None:
        """Begin a step now."""
        self.step, self.entered = step, self.now

    def go_on(self) -> None:
        """Let the time until the next look pass."""
        step = self.policy.way[self.step]
        look = timedelta(seconds=self.policy.tick_seconds)
        span = max(look, step.minimum / LOOKS_AT_FIRST, (self.now - self.entered) / LATER_LOOKS)
        begin = self.fault.kind != "none" and self.step >= self.fault.from_step
        if begin and self.fault_began is None and self.now >= self.entered + self.fault.after:
            self.fault_began = self.now
        hours = span / timedelta(hours=1)
        units = int(self.rng.poisson(self.traffic.units_per_hour * hours))
        share = self.policy.share_at(self.step) / BASIS_POINTS
        candidate = int(self.rng.binomial(units, share))
        width = step.maximum / SLICES
        number = min(int((self.now - self.entered) / width), SLICES - 1)
        arms = self.slices.setdefault((self.step, number), (_Counts(), _Counts()))
        decided = self.decided.setdefault(self.step, [[0, 0], [0, 0]])
        for at, (arm, count) in enumerate(zip(arms, (candidate, units - candidate), strict=True)):
            self._answer(arm, decided[at], count, is_candidate=at == 0)
        self.now += span

    def statistics(self) -> Statistics:
        """Return the counts until now."""
        slices = tuple(
            Slice(step, number, self.policy.share_at(step), _arm(candidate), _arm(stable))
            for (step, number), (candidate, stable) in sorted(self.slices.items())
        )
        steps = tuple(
            StepCounts(
                step,
                self.policy.share_at(step),
                ArmDecisions(new[0], new[0], new[1]),
                ArmDecisions(old[0], old[0], old[1]),
            )
            for step, (new, old) in sorted(self.decided.items())
        )
        latency = self.policy.latency
        frozen = {slow_kind(q): 1.0 for q in latency.quantiles} if latency else {}
        return Statistics(slices=slices, steps=steps, thresholds=frozen)

    def outcome(self, action: Action) -> Outcome:
        """Return how it ended."""
        failed = [f.guardrail for f in action.findings if f.verdict is Verdict.FAIL]
        back = action.kind == "roll_back"
        began = self.fault_began
        return Outcome(
            ended=action.kind,
            took=self.now - BEGIN,
            noticed=self.now - began if back and began is not None else None,
            met=self.met,
            harmed=self.harmed,
            guardrail=failed[0] if failed else "",
        )

    def _answer(self, arm: _Counts, decided: list[int], units: int, *, is_candidate: bool) -> None:
        rates = self._rates(is_candidate)
        arm.units += units
        failed = int(self.rng.binomial(units, rates[ERROR]))
        arm.events[ERROR] = arm.events.get(ERROR, 0) + failed
        for kind, rate in rates.items():
            if kind not in (ERROR, "positive"):
                slow = int(self.rng.binomial(units, rate))
                arm.events[kind] = arm.events.get(kind, 0) + slow
        decided[0] += units
        decided[1] += int(self.rng.binomial(units, rates["positive"]))
        if is_candidate and self.fault_began is not None:
            self.met += units
            self.harmed += self._harmed(units, failed)

    def _harmed(self, units: int, failed: int) -> int:
        if self.fault.kind == "errors":
            return failed
        if self.fault.kind == "group_harm":
            return int(self.rng.binomial(units, self.fault.group * min(abs(self.fault.size), 1.0)))
        return units if self.fault.kind == "slowdown" else 0

    def _rates(self, is_candidate: bool) -> dict[str, float]:
        """Return the chance of each event now."""
        traffic, fault = self.traffic, self.fault
        on = self.fault_began is not None
        errors, slower, positive = traffic.error_rate, 1.0, traffic.positive_rate
        if on and fault.kind == "drift":
            errors *= fault.size
        if on and is_candidate:
            if fault.kind == "errors":
                errors *= fault.size
            elif fault.kind == "slowdown":
                slower = fault.size
            elif fault.kind == "group_harm":
                positive += fault.group * fault.size
        rates = {ERROR: min(errors, 1.0), "positive": min(max(positive, 0.0), 1.0)}
        if self.policy.latency is not None:
            for quantile in self.policy.latency.quantiles:
                moved = float(ndtri(quantile)) - np.log(slower) / traffic.latency_spread
                rates[slow_kind(quantile)] = 1.0 - float(ndtr(moved))
        return rates


def _arm(counts: _Counts) -> ArmCounts:
    at_risk = dict.fromkeys(counts.events, counts.units)
    return ArmCounts(counts.units, counts.units, counts.units, at_risk, dict(counts.events))


def simulate_many(
    policy: RolloutPolicy, traffic: Traffic, fault: Fault, *, runs: int, seed: int
) -> Iterator[Outcome]:
    """Play ``runs`` rollouts; the same seed gives the same ones."""
    for child in np.random.SeedSequence(seed).spawn(runs):
        yield simulate(policy, traffic, fault, np.random.default_rng(child))
