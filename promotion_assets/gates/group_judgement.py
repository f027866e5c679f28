"""Holding one group's loss against its limit; the rule is in the fairness gate's docstring."""

from __future__ import annotations

import math
from typing import Literal

from promotion_assets.gates.contract import Interval, Measurement, Outcome
from promotion_assets.gates.group_losses import Loss, Measure
from promotion_assets.gates.limits import rows_to_settle
from promotion_assets.gates.verdict import shown, shown_interval

NEXT: dict[Measure, str] = {
    "drop_vs_champion": "look at the group's features in this version, and compare with the "
    "champion's",
    "gap_to_overall": "look at the group's features and its share of the training rows",
    "selection_rate_ratio": "look at the decision threshold for this group with those who own it",
    "tpr_gap": "look at the positives of this group that are missed",
    "fpr_gap": "look at the negatives of this group that are taken for positives",
}


def measured(
    measure: Measure,
    subject: str,
    loss: Loss | None,
    *,
    limit: float,
    decide_on: Literal["point", "upper_bound"],
    metric: str,
    family: int,
    rows: int,
) -> Measurement:
    """Return the measurement of one group; a loss that is undefined is inconclusive."""
    direction: Literal["min", "max"] = "min" if measure == "selection_rate_ratio" else "max"
    if loss is None:
        return Measurement(
            name=measure,
            subject=subject,
            limit=limit,
            direction=direction,
            sample_size=rows,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"{subject}: {measure} is undefined on its {rows} rows",
        )
    outcome, distance = _judge(loss, limit, direction, decide_on)
    needed: int | None = None
    if outcome is Outcome.INCONCLUSIVE:
        needed = rows_to_settle(loss.n, loss.std_error, distance, loss.confidence)
    interval = Interval(
        low=loss.low if math.isfinite(loss.low) else None,
        high=loss.high if math.isfinite(loss.high) else None,
        confidence=loss.confidence,
        method=f"{loss.method}, simultaneous over {family} groups (Šidák)",
    )
    return Measurement(
        name=measure,
        subject=subject,
        observed=loss.value,
        limit=limit,
        direction=direction,
        interval=interval,
        baseline=loss.other,
        sample_size=loss.n,
        needed_sample_size=needed,
        outcome=outcome,
        reason=(
            ""
            if outcome is Outcome.PASSED
            else _sentence(measure, subject, loss, limit, interval, outcome, needed, metric, rows)
        ),
    )


def _judge(
    loss: Loss,
    limit: float,
    direction: Literal["min", "max"],
    decide_on: Literal["point", "upper_bound"],
) -> tuple[Outcome, float]:
    """Return the outcome, and how far the value is from what its interval would have to leave."""
    if direction == "max":
        beyond, real, safe, none = loss.value > limit, loss.low > 0.0, loss.high <= limit, 0.0
    else:
        beyond, real, safe, none = loss.value < limit, loss.high < 1.0, loss.low >= limit, 1.0
    if beyond:
        return (Outcome.FAILED if real else Outcome.INCONCLUSIVE), loss.value - none
    if decide_on == "point" or safe:
        return Outcome.PASSED, 0.0
    return Outcome.INCONCLUSIVE, loss.value - limit


def _sentence(
    measure: Measure,
    subject: str,
    loss: Loss,
    limit: float,
    interval: Interval,
    outcome: Outcome,
    needed: int | None,
    metric: str,
    rows: int,
) -> str:
    between = shown_interval(interval)
    match measure:
        case "drop_vs_champion":
            what = (
                f"{metric} {shown(loss.own)} against the champion's {shown(loss.other)}, "
                f"a drop of {shown(loss.value)}{between}"
            )
        case "gap_to_overall":
            what = (
                f"{metric} {shown(loss.own)} against {shown(loss.other)} overall, "
                f"a gap of {shown(loss.value)}{between}"
            )
        case _:
            what = (
                f"{measure} {shown(loss.value)}{between} "
                f"(rate {shown(loss.own)}, best group {shown(loss.other)})"
            )
    side = "at least" if measure == "selection_rate_ratio" else "at most"
    said = f"{subject}: {what}; limit {side} {shown(limit)}, {rows:,} rows"
    if outcome is Outcome.FAILED:
        return f"{said}. Next: {NEXT[measure]}"
    rest = f"about {needed:,} such rows would settle it" if needed else "it may be chance"
    return f"{said}: the data cannot tell, {rest}"
