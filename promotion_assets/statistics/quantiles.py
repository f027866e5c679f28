"""Quantiles with intervals, as latency needs them: p50, p95, p99 of wall times.

A quantile's interval is the pair of order statistics between which it lies with the stated
probability, by the binomial distribution, whatever the shape of the times (W. Conover, Practical
Nonparametric Statistics, 1999, 3.2), interpolated between neighbours to that very probability
(J. Nyblom, Statistics & Probability Letters 14, 1992). Where the sample is too small to hold such
an order statistic the bound is infinite: 200 requests do not bound a p99 from above.

Differences and ratios of two samples combine the two intervals by square-and-add (G. Zou,
A. Donner, Statistics in Medicine 27, 2008), on the logarithm for a ratio. Samples count as
independent: interleaving makes the host's noise equal, not the requests dependent.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_confidence, as_finite
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.numerics import ndtr, ndtri


def quantile_interval(samples: npt.ArrayLike, q: float, confidence: float = 0.95) -> Estimate:
    """Return the ``q`` quantile of ``samples`` with its order-statistics interval.

    Args:
        samples: independent values, shape (n,).
        q: in (0, 1).

    Raises:
        ValueError: for no samples, NaN, or ``q`` outside (0, 1).
    """
    values = np.sort(as_finite(samples, "samples"))
    level = as_confidence(confidence)
    _check(q)
    n = len(values)
    low, high = _order_bounds(values, q, level)
    z = float(ndtri(0.5 + level / 2))
    std_error = (high - low) / (2 * z) if math.isfinite(high - low) else math.nan
    value = float(np.quantile(values, q))
    # With few values the interpolated quantile may fall outside its own order statistics.
    value = min(max(value, low), high)
    return Estimate(value, low, high, level, n, "order statistics (binomial)", std_error)


def quantile_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, q: float, confidence: float = 0.95
) -> Difference:
    """Return the difference of the ``q`` quantiles of two independent samples."""
    one = quantile_interval(first, q, confidence)
    two = quantile_interval(second, q, confidence)
    value = one.value - two.value
    std_error = math.hypot(one.std_error, two.std_error)
    return Difference(
        first=one.value,
        second=two.value,
        difference=value,
        low=value - math.hypot(one.value - one.low, two.high - two.value),
        high=value + math.hypot(one.high - one.value, two.value - two.low),
        confidence=confidence,
        n=one.n + two.n,
        p_value=_p_value(value, std_error),
        method="order statistics, square-and-add",
        std_error=std_error,
    )


def quantile_ratio(
    first: npt.ArrayLike, second: npt.ArrayLike, q: float, confidence: float = 0.95
) -> Estimate:
    """Return the ratio of the ``q`` quantiles of two independent samples of positive values."""
    logs = []
    for samples, name in ((first, "first"), (second, "second")):
        values = as_finite(samples, name)
        if (values <= 0).any():
            raise ValueError(f"{name}: a ratio needs positive values, got {values.min()}")
        logs.append(np.log(values))
    gap = quantile_difference(logs[0], logs[1], q, confidence)
    value = math.exp(gap.difference)
    return Estimate(
        value=value,
        low=math.exp(gap.low),
        high=math.inf if math.isinf(gap.high) else math.exp(gap.high),
        confidence=confidence,
        n=gap.n,
        method="order statistics of logarithms, square-and-add",
        std_error=value * gap.std_error,
    )


def quantile_sample_size(q: float, confidence: float = 0.95) -> int:
    """Return the least sample that bounds the ``q`` quantile on both sides."""
    _check(q)
    tail = (1.0 - as_confidence(confidence)) / 2
    return math.ceil(math.log(tail) / math.log(max(q, 1 - q)))


def _order_bounds(values: Floats, q: float, confidence: float) -> tuple[float, float]:
    """Return the bounds from ascending values, half the error on either side."""
    tail = (1.0 - confidence) / 2
    low = _lower_bound(values, q, tail)
    return low, -_lower_bound(-values[::-1], 1 - q, tail)


def _lower_bound(ascending: Floats, q: float, tail: float) -> float:
    rank, weight = _lower_rank(len(ascending), q, tail)
    if rank == 0:
        return -math.inf
    below, above = float(ascending[rank - 1]), float(ascending[rank])
    return below + weight * (above - below)


@lru_cache(maxsize=4096)
def _lower_rank(n: int, q: float, tail: float) -> tuple[int, float]:
    """Return the order statistic (from 1; 0 for none) and the way to the next, as a share.

    The quantile lies below order statistic ``r`` with probability ``P(Bin(n, q) < r)``: the
    largest ``r`` that keeps this within ``tail``, interpolated to reach ``tail`` itself.
    """
    # Half a second to import, which every command that reads the policy would wait for.
    from scipy.stats import binom

    rank = int(binom.ppf(tail, n, q))
    while rank > 0 and binom.cdf(rank - 1, n, q) > tail:
        rank -= 1
    if rank == 0 or rank >= n:
        return 0, 0.0
    at, after = float(binom.cdf(rank - 1, n, q)), float(binom.cdf(rank, n, q))
    share = (tail - at) / (after - at)
    odds = rank * (1 - q) / ((n - rank) * q)
    return rank, share / (share + odds * (1 - share))


def _p_value(value: float, std_error: float) -> float:
    if not math.isfinite(std_error):
        return 1.0
    if std_error == 0.0:
        return 1.0 if value == 0.0 else 0.0
    return min(1.0, 2.0 * float(ndtr(-abs(value) / std_error)))


def _check(q: float) -> None:
    if not 0.0 < q < 1.0:
        raise ValueError(f"a quantile must lie between 0 and 1, got {q!r}")
