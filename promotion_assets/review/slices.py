"""The results that a reviewer must have opened: what failed, what is near its limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from promotion_assets.canonical import digest_of
from promotion_assets.gates.contract import GateResult, Measurement, Outcome

MOST = 8
State = Literal["failing", "borderline", "too small to judge"]
_FAILING = (Outcome.FAILED, Outcome.ERROR, Outcome.WAIVED)


class Slice(BaseModel):
    """A part of the results that wants a look of its own; ``id`` names it in addresses."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: State
    gate: str
    title: str
    measurements: tuple[Measurement, ...]
    reason: str = ""


def slices_of(results: Sequence[GateResult], borderline: float) -> tuple[Slice, ...]:
    """Return at most :data:`MOST` slices, failing ones first, then those nearest to their limit.

    Args:
        borderline: share of a limit within which a number that passed is near it. A number whose
            interval reaches beyond its limit is near it as well.
    """
    failing = list(_failing(results))
    near = sorted(_near(results, borderline), key=lambda found: found[0])
    chosen = [*failing, *(part for _, part in near)][:MOST]
    return (*chosen, *_too_small(results))


def _failing(results: Iterable[GateResult]) -> Iterator[Slice]:
    for result in results:
        bad = [m for m in result.measurements if m.outcome in _FAILING]
        for measurement in bad:
            yield _slice("failing", result, (measurement,))
        if not bad and (result.outcome in _FAILING or not result.lets_through):
            yield _slice("failing", result, ())


def _near(results: Iterable[GateResult], borderline: float) -> Iterator[tuple[float, Slice]]:
    for result in results:
        for measurement in result.measurements:
            room = _room(measurement)
            if room is None or measurement.outcome is not Outcome.PASSED:
                continue
            if room <= borderline or _reaches_beyond(measurement):
                yield room, _slice("borderline", result, (measurement,))


def _room(measurement: Measurement) -> float | None:
    """Return how far a number is from its limit, as a share of the limit."""
    if measurement.observed is None or not measurement.limit:
        return None
    return abs(measurement.limit - measurement.observed) / abs(measurement.limit)


def _reaches_beyond(measurement: Measurement) -> bool:
    interval, limit = measurement.interval, measurement.limit
    if interval is None or limit is None:
        return False
    end = interval.low if measurement.direction == "min" else interval.high
    return end is not None and (end < limit if measurement.direction == "min" else end > limit)


def _too_small(results: Iterable[GateResult]) -> Iterator[Slice]:
    for result in results:
        small = tuple(m for m in result.measurements if m.outcome is Outcome.INCONCLUSIVE)
        if small:
            yield _slice("too small to judge", result, small)


def _slice(state: State, result: GateResult, measurements: tuple[Measurement, ...]) -> Slice:
    if len(measurements) == 1:
        (one,) = measurements
        title, reason = f"{one.subject}: {one.name.replace('_', ' ')}", one.reason
    elif measurements:
        title, reason = f"{len(measurements)} groups of the {result.gate} gate", ""
    else:
        title, reason = f"the {result.gate} gate", result.reason
    name = digest_of([state, result.gate, [[m.name, m.subject] for m in measurements]])[:12]
    return Slice(
        id=name,
        state=state,
        gate=result.gate,
        title=title,
        measurements=measurements,
        reason=reason or result.reason,
    )
