"""The smallest true effect that a gate would catch with a sample of a given size.

An effect is *caught* when the interval excludes the limit; it is caught with probability ``power``
once it is ``z_confidence + z_power`` standard errors away. Below, "detectable" means so.
"""

from __future__ import annotations

import math

from promotion_assets.statistics.checks import as_confidence
from promotion_assets.statistics.estimates import Difference
from promotion_assets.statistics.numerics import brentq, chdtri, chndtr, ndtri


def detectable_auc_difference(
    positives: int,
    negatives: int,
    *,
    auc: float = 0.8,
    correlation: float = 0.7,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Return the smallest detectable difference of two paired AUCs.

    The variance of one AUC is that of J. Hanley and B. McNeil (Radiology 143, 1982); the two
    are correlated because they score the same rows (.5 to .9 for models of one task). Where a
    difference was measured, :func:`detectable_from` is better. The answer is at most 1.
    """
    if positives < 1 or negatives < 1:
        raise ValueError(f"AUC needs both classes, got {positives} and {negatives} rows")
    if not 0.0 < auc < 1.0 or not -1.0 <= correlation < 1.0:
        raise ValueError(f"auc must lie in (0, 1), correlation in [-1, 1): {auc}, {correlation}")
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    std_error = math.sqrt(2 * (1 - correlation) * spread / (positives * negatives))
    return min(1.0, _reach(confidence, power) * std_error)


def detectable_from(
    difference: Difference, rows: int | None = None, *, power: float = 0.8
) -> float:
    """Return the smallest detectable change of a measured difference, on ``rows`` rows.

    Uses the measured standard error, scaled by the square root of the rows.
    """
    scale = math.sqrt(difference.n / rows) if rows else 1.0
    return _reach(difference.confidence, power) * difference.std_error * scale


def detectable_proportion_gap(
    rows: int,
    other_rows: int,
    *,
    proportion: float = 0.5,
    confidence: float = 0.95,
    power: float = 0.8,
) -> float:
    """Return the smallest detectable gap of a group's rate to that of the other rows.

    Args:
        rows, other_rows: rows in the rate's denominator (for a TPR: positives only).
        proportion: the rate; .5 is the worst case.
    """
    if rows < 1 or other_rows < 1:
        raise ValueError(f"a gap needs rows on both sides, got {rows} and {other_rows}")
    # A rate next to 0 or 1 keeps the variance of one row, or 40 rows would seem to show all.
    safe = min(max(proportion, 0.5 / rows), 1 - 0.5 / rows)
    std_error = math.sqrt(safe * (1 - safe) * (1 / rows + 1 / other_rows))
    return min(1.0, _reach(confidence, power) * std_error)


def detectable_psi(
    expected_rows: int, actual_rows: int, bins: int, *, confidence: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest true PSI whose estimate leaves what chance alone would show.

    That is, exceeds with probability ``power`` the quantile under no drift at ``confidence``, see
    :mod:`promotion_assets.statistics.divergence`.
    """
    if bins < 2 or expected_rows < 1 or actual_rows < 1:
        raise ValueError(f"PSI needs 2 bins and rows: {bins}, {expected_rows}, {actual_rows}")
    freedom = bins - 1
    limit = float(chdtri(freedom, 1 - as_confidence(confidence)))

    def _miss(noncentrality: float) -> float:
        return float(chndtr(limit, freedom, noncentrality)) - (1 - power)

    high = 1.0
    while _miss(high) > 0.0:
        high *= 2.0
    needed = float(brentq(_miss, 0.0, high)) if _miss(0.0) > 0.0 else 0.0
    return needed * (1 / expected_rows + 1 / actual_rows)


def _reach(confidence: float, power: float) -> float:
    if not 0.0 < power < 1.0:
        raise ValueError(f"power must lie between 0 and 1, got {power!r}")
    return float(ndtri(0.5 + as_confidence(confidence) / 2) + ndtri(power))
