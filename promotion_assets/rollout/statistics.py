"""Sufficient statistics of a rollout: counts of units, by arm, step and slice of a step.

A *unit* is who or what was judged, such as a customer. It counts once in a slice, and once in the
whole rollout for each kind of event, since a customer's requests fail together. A *slice* is a
part of a step in time, so that a fault which begins late is not outweighed by the good hours
before it. *At risk* is a unit that has not had the event before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

SLICES = 24
"""Parts into which the longest time of a step is cut."""

ERROR = "error"


def slow_kind(quantile: float) -> str:
    """Return the name of the event "took longer than the champion's quantile"."""
    return f"p{100 * quantile:g}"


@dataclass(frozen=True)
class ArmCounts:
    """One arm in one slice.

    Attributes:
        requests: with a unit.
        units: that were answered in the slice.
        new_units: that were seen for the first time in the rollout.
        at_risk, events: by kind of event.
    """

    requests: int = 0
    units: int = 0
    new_units: int = 0
    at_risk: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Slice:
    """One part of a step, in either arm.

    Attributes:
        step: its number on the rollout's way, from 0.
        number: of the slice in its step, from 0.
        share: planned basis points of the candidate.
    """

    step: int
    number: int
    share: int
    candidate: ArmCounts = ArmCounts()
    stable: ArmCounts = ArmCounts()


@dataclass(frozen=True)
class ArmDecisions:
    """One arm in one step.

    Attributes:
        units: that were answered in the step.
        decided: of them got a score.
        positive: of those were decided positively, by the first score of the step.
    """

    units: int = 0
    decided: int = 0
    positive: int = 0


@dataclass(frozen=True)
class StepCounts:
    """One step, in either arm."""

    step: int
    share: int
    candidate: ArmDecisions = ArmDecisions()
    stable: ArmDecisions = ArmDecisions()


@dataclass(frozen=True)
class Statistics:
    """Everything that a decision is made from, beside policy, plan and clock.

    Attributes:
        slices: in order of time; those without traffic are left out.
        steps: those that have begun, in order.
        thresholds: milliseconds of the champion's frozen quantiles, by kind of event; empty
            while too few of its answers are known.
        drops: events lost since the start, by arm, ``candidate`` and ``stable``.
        read_until: time of the last event that was counted.
    """

    slices: tuple[Slice, ...] = ()
    steps: tuple[StepCounts, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    drops: Mapping[str, int] = field(default_factory=dict)
    read_until: datetime | None = None

    def step(self, number: int) -> StepCounts:
        """Return the counts of a step; of one without traffic they are 0."""
        return next((s for s in self.steps if s.step == number), StepCounts(number, 0))

    def requests(self, arm: str) -> int:
        """Return how many requests of ``candidate`` or ``stable`` were counted."""
        return sum(getattr(each, arm).requests for each in self.slices)

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON types, for the record of a decision."""
        return {
            "slices": [asdict(each) for each in self.slices],
            "steps": [asdict(each) for each in self.steps],
            "thresholds": dict(self.thresholds),
            "drops": dict(self.drops),
            "read_until": self.read_until.isoformat() if self.read_until else None,
        }


_STATISTICS = TypeAdapter(Statistics)


def parse_statistics(recorded: object) -> Statistics:
    """Return the statistics that :meth:`Statistics.to_json` gave.

    Raises:
        pydantic.ValidationError: it is of another form.
    """
    return _STATISTICS.validate_python(recorded)
