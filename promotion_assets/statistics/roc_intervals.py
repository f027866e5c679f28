"""From moments of placements to intervals of AUC: the formulas that :mod:`roc` names."""

from __future__ import annotations

import math
from dataclasses import replace

from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.numerics import brentq, expit, logit, ndtri, stdtr, stdtrit

DELONG = "DeLong (logit, t)"


def variance_and_freedom(
    positive_variance: float, negative_variance: float, positives: int, negatives: int
) -> tuple[float, float]:
    """Return the variance of the mean placement and its degrees of freedom (Brunner-Munzel).

    NaN where a class has a single row, because then its variance is unknown.
    """
    if positives < 2 or negatives < 2:
        return math.nan, math.nan
    a, b = positive_variance / positives, negative_variance / negatives
    if a + b <= 0.0:
        return 0.0, math.inf
    return a + b, (a + b) ** 2 / (a * a / (positives - 1) + b * b / (negatives - 1))


def estimate_of(
    value: float,
    positive_variance: float,
    negative_variance: float,
    positives: int,
    negatives: int,
    confidence: float,
) -> Estimate:
    """Return one AUC with its interval: DeLong's on the logit scale, or Newcombe's method 5."""
    variance, freedom = variance_and_freedom(
        positive_variance, negative_variance, positives, negatives
    )
    n = positives + negatives
    if 0.0 < value < 1.0 and variance > 0.0:
        std_error = math.sqrt(variance)
        reach = float(stdtrit(freedom, 0.5 + confidence / 2)) * std_error
        reach /= value * (1.0 - value)
        center = float(logit(value))
        low, high = float(expit(center - reach)), float(expit(center + reach))
        method = DELONG
    else:
        low, high = newcombe_auc(value, positives, negatives, confidence)
        std_error = (high - low) / (2.0 * float(ndtri(0.5 + confidence / 2)))
        method = "Newcombe method 5 (no variance in the sample)"
    return Estimate(value, low, high, confidence, n, method, std_error)


def widened(estimate: Estimate, tolerance: float) -> Estimate:
    """Return an AUC whose value may be off by ``tolerance``, its interval widened by it."""
    if tolerance == 0.0:
        return estimate
    low, high = max(0.0, estimate.low - tolerance), min(1.0, estimate.high + tolerance)
    return replace(estimate, low=low, high=high, tolerance=tolerance)


def widened_difference(difference: Difference, tolerance: float) -> Difference:
    """Return a difference that may be off by ``tolerance``, its interval widened by it."""
    low, high = max(-1.0, difference.low - tolerance), min(1.0, difference.high + tolerance)
    return replace(difference, low=low, high=high, tolerance=tolerance)


def newcombe_auc(
    value: float, positives: int, negatives: int, confidence: float
) -> tuple[float, float]:
    """Return Newcombe's method 5 interval of an AUC, from the AUC and the class sizes alone."""
    z = float(ndtri(0.5 + confidence / 2))
    extra = (positives + negatives) / 2.0 - 1.0

    def _std_error(theta: float) -> float:
        inner = 1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)
        return math.sqrt(theta * (1 - theta) * inner / (positives * negatives))

    # theta = value is always a root of the squared equation's wrong branch only at 0 or 1,
    # so each bound is looked for strictly between the value and the end of the scale.
    low = high = value
    if value > 0.0:
        low = brentq(lambda t: value - t - z * _std_error(t), 0.0, value - 1e-12)
    if value < 1.0:
        high = brentq(lambda t: t - value - z * _std_error(t), value + 1e-12, 1.0)
    return float(low), float(high)


def paired_delong(
    first: Estimate,
    second: Estimate,
    spreads: tuple[float, float],
    positives: int,
    negatives: int,
) -> Difference | None:
    """Return the paired difference of two AUCs, or ``None`` where the rows show no variance.

    Args:
        first, second: the two single estimates.
        spreads: sample variances, over positives and over negatives, of the row-wise
            differences of placements.
    """
    variance, freedom = variance_and_freedom(*spreads, positives, negatives)
    if not variance > 0.0:
        return None
    correlation = 0.0
    if first.method == second.method == DELONG:
        own, other = first.std_error, second.std_error
        correlation = (own**2 + other**2 - variance) / (2 * own * other)
        correlation = min(1.0, max(-1.0, correlation))
    std_error = math.sqrt(variance)
    low, high = _add_squares(first, second, correlation)
    value = first.value - second.value
    return Difference(
        first=first.value,
        second=second.value,
        difference=value,
        low=low,
        high=high,
        confidence=first.confidence,
        n=first.n,
        p_value=min(1.0, 2.0 * float(stdtr(freedom, -abs(value) / std_error))),
        method="paired DeLong (square-and-add)",
        std_error=std_error,
        degrees_of_freedom=freedom,
    )


def _add_squares(first: Estimate, second: Estimate, correlation: float) -> tuple[float, float]:
    value = first.value - second.value
    down = (first.value - first.low, second.high - second.value)
    up = (first.high - first.value, second.value - second.low)
    low, high = (
        math.sqrt(max(0.0, a * a + b * b - 2 * correlation * a * b)) for a, b in (down, up)
    )
    return max(-1.0, value - low), min(1.0, value + high)


def same_order(value: float, positives: int, negatives: int, confidence: float) -> Difference:
    """Return the difference of two models that rank every row alike: 0, within what is unseen."""
    bound = -math.expm1(math.log1p(-confidence) / min(positives, negatives))
    return Difference(
        first=value,
        second=value,
        difference=0.0,
        low=-bound,
        high=bound,
        confidence=confidence,
        n=positives + negatives,
        p_value=1.0,
        method="zero-event bound (both order every row alike)",
        std_error=bound / float(ndtri(0.5 + confidence / 2)),
    )


def square_and_add(first: Estimate, second: Estimate) -> Difference:
    """Return the difference of two estimates from their own intervals, as if independent."""
    value = first.value - second.value
    low, high = _add_squares(first, second, 0.0)
    std_error = (high - low) / (2.0 * float(ndtri(0.5 + first.confidence / 2)))
    return Difference(
        first=first.value,
        second=second.value,
        difference=value,
        low=low,
        high=high,
        confidence=first.confidence,
        n=first.n,
        p_value=min(1.0, 2.0 * float(stdtr(math.inf, -abs(value) / std_error))),
        method="Newcombe square-and-add (no variance in the sample)",
        std_error=std_error,
    )
