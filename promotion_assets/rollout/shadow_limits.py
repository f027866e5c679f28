"""Holding a number of a running shadow against its limit: by the whole interval, three ways."""

from __future__ import annotations

from promotion_assets.gates.contract import Interval, Measurement, Outcome
from promotion_assets.gates.limits import interval_of, rows_to_settle, value_of
from promotion_assets.gates.verdict import shown, shown_interval
from promotion_assets.statistics.estimates import Difference, Estimate


def at_most(
    estimate: Estimate | Difference,
    *,
    name: str,
    limit: float | None,
    called: str,
    subject: str = "overall",
    unit: str = "",
    baseline: float | None = None,
    either_way: bool = False,
) -> Measurement:
    """Hold an estimate against the most that it may be; without a limit it is only reported.

    Passed where the whole interval is within the limit, failed where all of it is beyond,
    inconclusive in between, with the sample that would settle it if the estimate stayed.

    Args:
        called: the sentence up to the number, ``PSI of the scores is``.
        either_way: the limit holds for the distance from 0, up or down.
    """
    value, interval = value_of(estimate), interval_of(estimate)
    outcome = None if limit is None else _outcome(interval, limit, either_way)
    needed = None
    reason = f"{called} {shown(value, unit)}{shown_interval(interval)}"
    if limit is not None:
        reason += f", the limit is {shown(limit, unit)}{' up or down' if either_way else ''}"
        if outcome is Outcome.INCONCLUSIVE:
            distance = (abs(value) if either_way else value) - limit
            needed = rows_to_settle(estimate.n, estimate.std_error, distance, estimate.confidence)
            reason += "; the interval reaches over it: " + (
                f"about {needed:,} pairs would settle it" if needed else "more pairs are needed"
            )
    return Measurement(
        name=name,
        subject=subject,
        observed=value,
        limit=limit,
        direction="max",
        unit=unit,
        interval=interval,
        baseline=baseline,
        sample_size=estimate.n,
        needed_sample_size=needed,
        outcome=outcome,
        reason=reason,
    )


def reported(
    estimate: Estimate | Difference,
    *,
    name: str,
    subject: str = "overall",
    unit: str = "",
    baseline: float | None = None,
    reason: str = "",
) -> Measurement:
    """Return a number that nothing is held against."""
    return Measurement(
        name=name,
        subject=subject,
        observed=value_of(estimate),
        unit=unit,
        interval=interval_of(estimate),
        baseline=baseline,
        sample_size=estimate.n,
        reason=reason,
    )


def _outcome(interval: Interval, limit: float, either_way: bool) -> Outcome:
    low, high = interval.low, interval.high
    if (low is not None and low > limit) or (either_way and high is not None and high < -limit):
        return Outcome.FAILED
    inside = high is not None and high <= limit
    if either_way:
        inside = inside and low is not None and low >= -limit
    return Outcome.PASSED if inside else Outcome.INCONCLUSIVE
