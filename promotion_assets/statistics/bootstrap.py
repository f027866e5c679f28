"""An interval for any metric: resample the rows, compute the metric again, take quantiles.

BCa intervals (B. Efron, JASA 82, 1987): bias correction from the share of resamples below the
estimate, acceleration from a jackknife that leaves out one of at most 100 blocks of rows at a
time, so its cost does not grow with the rows. Both models are computed on the same resampled rows,
which is what makes a comparison paired. Memory is one resample.

Where no resample differs from the estimate (accuracy 1.0, two models with the same answers) a
zero-width interval would claim certainty. By the rule of three, up to ``-ln(error)`` rows of a
kind that the sample does not show can hide in as many rows again, so that many rows are given
the answer of a row with another label, and the interval reaches to the metric of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, Ints, as_confidence
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.numerics import ndtr, ndtri

Array = npt.NDArray[np.generic]
Metric = Callable[[Array, Array], float]

RESAMPLES = 1000
JACKKNIFE_BLOCKS = 100
UNDEFINED_SHARE = 0.05


def bootstrap(
    metric: Metric,
    labels: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Estimate:
    """Return ``metric(labels, values)`` with its BCa interval.

    Args:
        metric: as scikit-learn's, for example ``sklearn.metrics.f1_score``.
        labels: shape (rows,).
        values: predictions or scores, shape (rows,) or (rows, classes).

    Raises:
        ValueError: for fewer than two rows, shapes that differ, NaN, or a metric that is
            undefined on the rows or on more than 5 % of the resamples.
    """
    truth, (answers,) = _checked(labels, (values,))
    level = as_confidence(confidence)

    def _statistic(rows: Ints | slice) -> float:
        return _value(metric, truth[rows], answers[rows])

    value, draws, low, high = _bca(_statistic, len(truth), resamples, level, rng)
    method = "bootstrap (BCa)"
    if low == high:
        reach = _hidden(metric, truth, answers, value, level, rng)
        low, high = min(value, value + reach), max(value, value + reach)
        method = "rule of three (no variation in the resamples)"
    spread = float(np.std(draws, ddof=1))
    std_error = spread if spread > 0 else (high - low) / (2 * float(ndtri(0.5 + level / 2)))
    return Estimate(value, low, high, level, len(truth), method, std_error)


def paired_bootstrap(
    metric: Metric,
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Difference:
    """Return ``metric(labels, first) - metric(labels, second)`` with its BCa interval.

    The p-value is twice the smaller share of resamples on one side of 0, counting the estimate
    itself, so it is never 0; see :func:`bootstrap` for arguments and errors.
    """
    truth, (one, two) = _checked(labels, (first, second))
    level = as_confidence(confidence)

    def _statistic(rows: Ints | slice) -> float:
        return _value(metric, truth[rows], one[rows]) - _value(metric, truth[rows], two[rows])

    value, draws, low, high = _bca(_statistic, len(truth), resamples, level, rng)
    at_most = (np.count_nonzero(draws <= 0) + 1) / (len(draws) + 1)
    at_least = (np.count_nonzero(draws >= 0) + 1) / (len(draws) + 1)
    base_first, base_second = _value(metric, truth, one), _value(metric, truth, two)
    method = "paired bootstrap (BCa)"
    if low == high:
        reach_first = _hidden(metric, truth, one, base_first, level, rng)
        reach_second = _hidden(metric, truth, two, base_second, level, rng)
        reach = max(abs(reach_first), abs(reach_second))
        low, high = value - reach, value + reach
        method = "rule of three (no variation in the resamples)"
    spread = float(np.std(draws, ddof=1))
    std_error = spread if spread > 0 else (high - low) / (2 * float(ndtri(0.5 + level / 2)))
    return Difference(
        first=base_first,
        second=base_second,
        difference=value,
        low=low,
        high=high,
        confidence=level,
        n=len(truth),
        p_value=float(min(1.0, 2 * min(at_most, at_least))),
        method=method,
        std_error=std_error,
    )


def _bca(
    statistic: Callable[[Ints | slice], float],
    n: int,
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, Floats, float, float]:
    """Return the statistic on all rows, its resamples and both bounds."""
    if resamples < 100:
        raise ValueError(f"an interval needs at least 100 resamples, got {resamples}")
    value = statistic(slice(None))
    if not math.isfinite(value):
        raise ValueError(f"the metric is undefined on the {n} rows (it returned {value})")
    drawn = np.array([statistic(rng.integers(0, n, size=n)) for _ in range(resamples)])
    draws = drawn[np.isfinite(drawn)]
    if len(draws) < (1 - UNDEFINED_SHARE) * resamples:
        raise ValueError(
            f"the metric is undefined on {resamples - len(draws)} of {resamples} resamples; "
            "there are too few rows of some kind"
        )
    scale = max(abs(value), 1e-300)
    if np.ptp(draws) <= 1e-12 * scale:
        return value, draws, value, value
    below = np.mean(draws < value) + 0.5 * np.mean(draws == value)
    bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
    acceleration = _acceleration(statistic, n)
    tail = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    shifted = bias + ndtri(tail)
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(draws, levels)
    return value, draws, float(low), float(high)


def _acceleration(statistic: Callable[[Ints | slice], float], n: int) -> float:
    blocks = min(n, JACKKNIFE_BLOCKS)
    # Every k-th row makes a block, so that a sorted file does not make unlike blocks.
    block_of = np.arange(n) % blocks
    left = np.array([statistic(np.flatnonzero(block_of != b)) for b in range(blocks)])
    left = left[np.isfinite(left)]
    if len(left) < 2:
        return 0.0
    deviation = left.mean() - left
    squares = float(np.sum(deviation**2))
    if squares <= 1e-24 * max(1.0, float(np.mean(left**2))):
        return 0.0
    return float(np.sum(deviation**3) / (6 * squares**1.5))


def _hidden(
    metric: Metric,
    labels: Array,
    values: Array,
    base: float,
    confidence: float,
    rng: np.random.Generator,
) -> float:
    """Return how far the metric moves when a few rows get the answer of another label's row.

    Infinite where the metric is undefined then.
    """
    count = min(len(labels), math.ceil(-math.log((1 - confidence) / 2)))
    spoiled = values.copy()
    for row in rng.choice(len(labels), size=count, replace=False):
        others = np.flatnonzero(labels != labels[row])
        if len(others):
            spoiled[row] = values[rng.choice(others)]
    moved = _value(metric, labels, spoiled) - base
    return moved if math.isfinite(moved) else math.inf


def _value(metric: Metric, labels: Array, values: Array) -> float:
    return float(metric(labels, values))


def _checked(
    labels: npt.ArrayLike, values: tuple[npt.ArrayLike, ...]
) -> tuple[Array, tuple[Array, ...]]:
    truth = np.asarray(labels)
    arrays = tuple(np.asarray(v) for v in values)
    if truth.ndim != 1 or len(truth) < 2:
        raise ValueError(f"labels must be at least 2 rows, got shape {truth.shape}")
    for name, array in (("labels", truth), *((f"values {i + 1}", a) for i, a in enumerate(arrays))):
        if array.shape[:1] != truth.shape:
            raise ValueError(f"{name} have {array.shape[:1]} rows, labels {len(truth)}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.count_nonzero(~np.isfinite(array)))
            raise ValueError(f"{name} hold {bad} NaN or infinite values")
    return truth, arrays
