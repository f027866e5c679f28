"""Several intervals or tests at once: what keeps many groups from meaning many false alarms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_confidence
from promotion_assets.statistics.numerics import ndtri


def bonferroni(confidence: float, comparisons: int) -> float:
    """Return the confidence of each interval so that all hold with ``confidence``, always."""
    _check(comparisons)
    return 1.0 - (1.0 - as_confidence(confidence)) / comparisons


def simultaneous_level(confidence: float, comparisons: int) -> float:
    """Return the same by Z. Šidák (JASA 62, 1967): exact for independent intervals.

    It also holds for two-sided intervals of jointly normal estimates, whatever their
    correlation, so it serves overlapping groups.
    """
    _check(comparisons)
    return float(as_confidence(confidence) ** (1.0 / comparisons))


def holm(p_values: npt.ArrayLike) -> Floats:
    """Return S. Holm's adjusted p-values (Scandinavian Journal of Statistics 6, 1979).

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection
    at alpha, whatever the dependence. NaN stays NaN and does not count as a comparison.

    Raises:
        ValueError: for a value outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    known = ~np.isnan(p)
    if p.ndim != 1 or ((p[known] < 0) | (p[known] > 1)).any():
        raise ValueError("p-values must lie in [0, 1] and have one dimension")
    adjusted = np.full(p.shape, np.nan)
    values = p[known]
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    result = np.empty_like(values)
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    adjusted[known] = result
    return adjusted


def max_t_critical(replicates: npt.ArrayLike, confidence: float = 0.95) -> float:
    """Return how many standard errors make intervals of all columns hold at once.

    The quantile of the largest absolute studentised deviation over columns (P. Westfall,
    S. Young, Resampling-Based Multiple Testing, 1993), which uses the columns' correlation and
    so is never wider than Bonferroni's, up to the noise of the resamples. Never below the
    normal quantile of one interval.

    Args:
        replicates: resampled statistics, shape (resamples, comparisons). NaN is an undefined
            replicate; columns without variation are left out.
    """
    draws = np.asarray(replicates, dtype=np.float64)
    if draws.ndim != 2 or draws.shape[0] < 2:
        raise ValueError(f"replicates must be (resamples, comparisons), got shape {draws.shape}")
    floor = float(ndtri(0.5 + as_confidence(confidence) / 2))
    defined = np.isfinite(draws).sum(axis=0) >= 2
    draws = draws[:, defined]
    if draws.shape[1] == 0:
        return floor
    spread = np.nanstd(draws, axis=0, ddof=1)
    draws, spread = draws[:, spread > 0], spread[spread > 0]
    if draws.shape[1] == 0:
        return floor
    deviation = np.abs(draws - np.nanmean(draws, axis=0)) / spread
    return max(floor, float(np.quantile(np.nanmax(deviation, axis=1), confidence)))


def _check(comparisons: int) -> None:
    if comparisons < 1:
        raise ValueError(f"there must be at least one comparison, got {comparisons}")
