"""Holding a number against a limit: what its point says, and what its interval says."""

from __future__ import annotations

import math
from typing import Literal

from promotion_assets.gates.contract import Interval, Measurement, Outcome
from promotion_assets.gates.verdict import shown, shown_interval
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.numerics import ndtri

# Which end of the interval decides: the one on the far side of the limit.
DecideOn = Literal["point", "bound"]


def interval_of(estimate: Estimate | Difference) -> Interval:
    """Return the interval of an estimate; an infinite or unknown bound is open."""
    return Interval(
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        confidence=estimate.confidence,
        method=estimate.method,
    )


def value_of(estimate: Estimate | Difference) -> float:
    """Return the point estimate."""
    return estimate.difference if isinstance(estimate, Difference) else estimate.value


def rows_to_settle(n: int, std_error: float, distance: float, confidence: float) -> int | None:
    """Return the rows at which an interval would end before a limit ``distance`` away.

    Supposes that the estimate and the mix of rows stay: standard errors shrink with the square
    root of the rows. ``None`` where no sample settles it (the estimate lies on the limit) or the
    standard error is unknown.
    """
    if distance == 0.0 or not math.isfinite(distance) or not math.isfinite(std_error):
        return None
    reach = float(ndtri(0.5 + confidence / 2)) * std_error / abs(distance)
    return None if reach > 1e6 else max(math.ceil(n * reach * reach), n + 1)


def judged(
    estimate: Estimate | Difference,
    *,
    name: str,
    limit: float,
    direction: Literal["min", "max"],
    decide_on: DecideOn,
    next_step: str,
    subject: str = "overall",
    unit: str = "",
    baseline: float | None = None,
    called: str = "",
) -> Measurement:
    """Hold an estimate against ``limit``.

    With ``point``: passed if the estimate is on the right side of the limit, else failed.
    With ``bound``: passed if the whole interval is on the right side, failed if the estimate is
    on the wrong side, else inconclusive, with the sample that would settle it if the estimate
    stayed where it is.

    Args:
        called: what the number is called in the sentence; ``name`` where not given.
        next_step: what to do when it does not pass.
    """
    value, interval = value_of(estimate), interval_of(estimate)
    right = value >= limit if direction == "min" else value <= limit
    end = interval.low if direction == "min" else interval.high
    proven = end is not None and (end >= limit if direction == "min" else end <= limit)
    needed: int | None = None
    words = f"{called or name} is {shown(value, unit)}{shown_interval(interval)}"
    side = "at least" if direction == "min" else "at most"
    if not right:
        outcome = Outcome.FAILED
        reason = f"{words}, the limit is {side} {shown(limit, unit)}. Next: {next_step}"
    elif decide_on == "point" or proven:
        outcome, reason = Outcome.PASSED, f"{words}, {side} {shown(limit, unit)}"
    else:
        outcome = Outcome.INCONCLUSIVE
        needed = rows_to_settle(estimate.n, estimate.std_error, value - limit, estimate.confidence)
        reason = f"{words}: the interval reaches over the limit, {side} {shown(limit, unit)}; " + (
            f"about {needed:,} rows would settle it" if needed else "no sample size settles it"
        )
    return Measurement(
        name=name,
        subject=subject,
        observed=value,
        limit=limit,
        direction=direction,
        unit=unit,
        interval=interval,
        baseline=baseline,
        sample_size=estimate.n,
        needed_sample_size=needed,
        outcome=outcome,
        reason=reason,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
