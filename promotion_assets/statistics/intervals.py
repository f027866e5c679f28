"""Intervals of proportions and means, and of their differences.

- One proportion: E. Wilson's score interval (JASA 22, 1927).
- Two independent proportions: R. Newcombe's hybrid score interval, his method 10 (Statistics in
  Medicine 17, 1998, p. 873); tested by the pooled score test.
- Two proportions on the same rows: his method 10 for paired data (same volume, p. 2635); tested
  by McNemar's mid-p test.
- A ratio of independent proportions: A. Donner and G. Zou's MOVER-R (Statistical Methods in
  Medical Research 21, 2012) on Wilson's bounds.
- Means of row-wise losses (Brier, log loss, absolute error): Student's t, paired by row.

Several at once, and quantiles, have files of their own and can be had here too.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_confidence, as_finite
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.numerics import ndtr, ndtri, stdtr, stdtrit
from promotion_assets.statistics.quantiles import (
    quantile_difference,
    quantile_interval,
    quantile_ratio,
    quantile_sample_size,
)
from promotion_assets.statistics.simultaneous import (
    bonferroni,
    holm,
    max_t_critical,
    simultaneous_level,
)

__all__ = [
    "bonferroni",
    "holm",
    "max_t_critical",
    "mean_difference",
    "mean_estimate",
    "newcombe",
    "newcombe_paired",
    "proportion_ratio",
    "proportion_sample_size",
    "quantile_difference",
    "quantile_interval",
    "quantile_ratio",
    "quantile_sample_size",
    "simultaneous_level",
    "wilson",
    "wilson_bounds",
]


def wilson_bounds(
    successes: npt.ArrayLike, trials: npt.ArrayLike, z: float
) -> tuple[Floats, Floats]:
    """Return Wilson's bounds for arrays of counts; NaN where there are no trials.

    Args:
        successes, trials: same shape.
        z: normal quantile of the two-sided interval, 1.96 for 95 %.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        center = (k + z * z / 2) / (n + z * z)
        reach = z * np.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    low, high = center - reach, center + reach
    # Exact at the ends, where rounding would leave 1e-17.
    low = np.where(k == 0, np.where(n > 0, 0.0, np.nan), np.maximum(low, 0.0))
    high = np.where(k == n, np.where(n > 0, 1.0, np.nan), np.minimum(high, 1.0))
    return low, high


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Estimate:
    """Return a proportion with Wilson's interval.

    Raises:
        ValueError: for no trials, or successes outside ``[0, trials]``.
    """
    _check(successes, trials)
    z = _z(confidence)
    low, high = wilson_bounds(successes, trials, z)
    value = successes / trials
    std_error = math.sqrt(value * (1 - value) / trials)
    return Estimate(value, float(low), float(high), confidence, trials, "Wilson", std_error)


def newcombe(
    successes: int,
    trials: int,
    other_successes: int,
    other_trials: int,
    *,
    confidence: float = 0.95,
) -> Difference:
    """Return the difference of two independent proportions (method 10), first minus other."""
    one = wilson(successes, trials, confidence=confidence)
    two = wilson(other_successes, other_trials, confidence=confidence)
    value = one.value - two.value
    pooled = (successes + other_successes) / (trials + other_trials)
    null_error = math.sqrt(pooled * (1 - pooled) * (1 / trials + 1 / other_trials))
    p_value = 1.0 if null_error == 0.0 else 2.0 * float(ndtr(-abs(value) / null_error))
    return Difference(
        first=one.value,
        second=two.value,
        difference=value,
        low=value - math.hypot(one.value - one.low, two.high - two.value),
        high=value + math.hypot(one.high - one.value, two.value - two.low),
        confidence=confidence,
        n=trials + other_trials,
        p_value=min(1.0, p_value),
        method="Newcombe method 10 (independent)",
        std_error=math.hypot(one.std_error, two.std_error),
    )


def newcombe_paired(
    both: int, first_only: int, second_only: int, neither: int, *, confidence: float = 0.95
) -> Difference:
    """Return the difference of two proportions that were measured on the same rows.

    Args:
        both, first_only, second_only, neither: rows by whether the first and the second count
            as a success.
    """
    n = both + first_only + second_only + neither
    one = wilson(both + first_only, n, confidence=confidence)
    two = wilson(both + second_only, n, confidence=confidence)
    value = one.value - two.value
    a, b, c, d = both, first_only, second_only, neither
    margins = float(a + b) * (c + d) * (a + c) * (b + d)
    cross = float(a) * d - float(b) * c
    # Newcombe's continuity correction of phi, only where the correlation is positive.
    corrected = max(cross - n / 2, 0.0) if cross > 0 else cross
    phi = corrected / math.sqrt(margins) if margins > 0 else 0.0
    lower = (one.value - one.low, two.high - two.value)
    upper = (one.high - one.value, two.value - two.low)
    low = value - math.sqrt(max(0.0, lower[0] ** 2 - 2 * phi * math.prod(lower) + lower[1] ** 2))
    high = value + math.sqrt(max(0.0, upper[0] ** 2 - 2 * phi * math.prod(upper) + upper[1] ** 2))
    std_error = math.sqrt(max(0.0, (b + c) - (b - c) ** 2 / n)) / n
    return Difference(
        first=one.value,
        second=two.value,
        difference=value,
        low=max(-1.0, low),
        high=min(1.0, high),
        confidence=confidence,
        n=n,
        p_value=_mcnemar_mid_p(b, c),
        method="Newcombe method 10 (paired)",
        std_error=std_error,
    )


def proportion_ratio(
    successes: int,
    trials: int,
    other_successes: int,
    other_trials: int,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Return the ratio of two independent proportions, first over other.

    ``high`` is infinite where the other's interval reaches 0; the value is NaN where both have
    no success, and infinite where only the other has none.
    """
    one = wilson(successes, trials, confidence=confidence)
    two = wilson(other_successes, other_trials, confidence=confidence)
    low, high = mover_ratio(
        np.array(one.value), np.array(one.low), np.array(one.high),
        np.array(two.value), np.array(two.low), np.array(two.high),
    )  # fmt: skip
    undefined = math.inf if one.value > 0 else math.nan
    value = one.value / two.value if two.value > 0 else undefined
    return Estimate(
        value, float(low), float(high), confidence, trials + other_trials, "MOVER-R", math.nan
    )


def mover_ratio(
    a: Floats, a_low: Floats, a_high: Floats, b: Floats, b_low: Floats, b_high: Floats
) -> tuple[Floats, Floats]:
    """Return the MOVER-R bounds of ``a / b`` for independent non-negative estimates."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low_scale = b_high * (2 * b - b_high)
        low_root = (a * b) ** 2 - a_low * (2 * a - a_low) * low_scale
        low = (a * b - np.sqrt(np.maximum(low_root, 0.0))) / low_scale
        high_scale = b_low * (2 * b - b_low)
        high_root = (a * b) ** 2 - a_high * (2 * a - a_high) * high_scale
        high = (a * b + np.sqrt(np.maximum(high_root, 0.0))) / high_scale
        # At b_high = 2b the lower equation is linear; without successes there is no lower bound.
        linear = np.abs(low_scale) < 1e-12 * np.maximum(b_high**2, 1e-300)
        low = np.where(linear, a_low * (2 * a - a_low) / (2 * a * b), low)
    low = np.where(a <= 0, 0.0, np.where(b <= 0, a_low / b_high, low))
    high = np.where((b_low <= 0) | (b <= 0), np.inf, high)
    return np.maximum(low, 0.0), high


def mean_estimate(values: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of independent values, with Student's interval; needs two rows."""
    array = as_finite(values, "values")
    n = len(array)
    if n < 2:
        raise ValueError(f"a mean's interval needs at least 2 values, got {n}")
    return mean_estimate_from(n, float(array.mean()), float(array.std(ddof=1)), confidence)


def mean_estimate_from(n: int, mean: float, deviation: float, confidence: float) -> Estimate:
    """Return a mean of ``n`` values of a standard deviation (``n - 1``), with its interval."""
    if n < 2:
        raise ValueError(f"a mean's interval needs at least 2 values, got {n}")
    std_error = deviation / math.sqrt(n)
    reach = float(stdtrit(n - 1, 0.5 + as_confidence(confidence) / 2)) * std_error
    return Estimate(mean, mean - reach, mean + reach, confidence, n, "Student t", std_error)


def mean_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95
) -> Difference:
    """Return the difference of two means of values that belong to the same rows, paired."""
    one = as_finite(first, "first")
    two = as_finite(second, "second", len(one))
    gap = mean_estimate(one - two, confidence=confidence)
    return mean_difference_from(float(one.mean()), float(two.mean()), gap)


def mean_difference_from(first: float, second: float, gap: Estimate) -> Difference:
    """Return the difference of two means from the mean of the row-wise differences."""
    if gap.std_error > 0.0:
        p_value = 2.0 * float(stdtr(gap.n - 1, -abs(gap.value) / gap.std_error))
    else:
        p_value = 1.0 if gap.value == 0.0 else 0.0
    return Difference(
        first=first,
        second=second,
        difference=gap.value,
        low=gap.low,
        high=gap.high,
        confidence=gap.confidence,
        n=gap.n,
        p_value=p_value,
        method="paired Student t",
        std_error=gap.std_error,
        degrees_of_freedom=float(gap.n - 1),
    )


def proportion_sample_size(
    proportion: float, distance: float, *, confidence: float = 0.95, power: float = 0.5
) -> int:
    """Return the trials at which a proportion is told from a limit ``distance`` away."""
    if not 0.0 <= proportion <= 1.0 or distance == 0.0:
        raise ValueError(f"no sample tells {proportion} from a limit {distance} away")
    z = _z(confidence)
    reach = z + float(ndtri(power))
    wald = reach**2 * proportion * (1 - proportion) / distance**2
    # Near 0 and 1 the score interval's own width, z² / n, is what has to shrink.
    return math.ceil(max(wald, z * z * (1 / abs(distance) - 1), 1.0))


def _check(successes: int, trials: int) -> None:
    if trials < 1:
        raise ValueError("a proportion needs at least one trial, got 0")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must lie in [0, {trials}], got {successes}")


def _z(confidence: float) -> float:
    return float(ndtri(0.5 + as_confidence(confidence) / 2))


def _mcnemar_mid_p(first_only: int, second_only: int) -> float:
    discordant = first_only + second_only
    if discordant == 0:
        return 1.0
    least = min(first_only, second_only)
    # Half a second to import, which every command that reads the policy would wait for.
    from scipy.stats import binom

    tail = binom.cdf(least, discordant, 0.5) - 0.5 * binom.pmf(least, discordant, 0.5)
    return min(1.0, 2.0 * float(tail))
