"""Means, and differences of two arms' means, with intervals that hold at every look at once.

The boundary is the two-sided normal mixture of H. Robbins (Annals of Mathematical Statistics 41,
1970; S. Howard et al., Annals of Statistics 49, 2021, equation 14), used with an estimated
variance, for which it holds asymptotically (I. Waudby-Smith et al., Time-uniform central limit
theory and asymptotic confidence sequences, Annals of Statistics 52, 2024, theorem 2.2).

"Asymptotically" fails in two ways that are met here, and each has its guard:

- *Few values that are not 0* (money per customer, most of whom spend nothing): below
  :data:`FLOOR` non-zero values in either arm there is no evidence and the bounds are open.
- *Heavy tails*: values are winsorised at limits that were fixed before the rollout, such as a
  quantile of the champion's, so the mean that is compared is that of the winsorised value.

Rows (steps, or slices of steps) each give a difference of their own, so a base that moves while
the shares change cancels. They are added with weights ``n m / (n + m)``, which depend on unit
counts only; the variance is the larger of the one with each arm's own variance and the one with
the variance pooled. The first alone makes false alarms at a share of 5 %: a small arm that missed
the tail has a low mean and a low variance at once (measured .10 at an alpha of .05, against .02).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from promotion_assets.statistics.checks import Floats, as_alpha, as_finite, as_tally
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.evalues import EValue, no_evidence

#: Non-zero values in each arm below which nothing is said.
FLOOR = 20
#: Effective units, ``n m / (n + m)``, at which the intervals are tightest.
TUNED_FOR = 500.0


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of one arm's values.

    Attributes:
        n: units.
        total, squares: sum of the values, and of their squares.
        nonzero: values that are not 0.
    """

    n: int
    total: float
    squares: float
    nonzero: int

    def __post_init__(self) -> None:
        n, nonzero = as_tally(self.n, "n"), as_tally(self.nonzero, "nonzero")
        if not (math.isfinite(self.total) and math.isfinite(self.squares)):
            raise ValueError(f"total {self.total!r} and squares {self.squares!r} must be finite")
        if nonzero > n:
            raise ValueError(f"nonzero ({nonzero}) exceed the {n} values")
        if self.total**2 > n * self.squares * (1 + 1e-9):
            raise ValueError(
                f"{n} values with a sum of {self.total} cannot have squares of {self.squares}"
            )


@dataclass(frozen=True)
class MeanCounts:
    """Both arms of one row of traffic."""

    candidate: Moments
    stable: Moments


def winsorise(values: npt.ArrayLike, low: float, high: float) -> Floats:
    """Return ``values`` moved to ``low`` or ``high`` where they lie beyond."""
    if not low < high:
        raise ValueError(f"the lower limit must lie below the upper, got {low!r} and {high!r}")
    return np.clip(as_finite(values, "values"), low, high)


def moments(values: npt.ArrayLike) -> Moments:
    """Return the sufficient statistics of values, which may be none; NaN is refused."""
    if np.size(values) == 0:
        return Moments(0, 0.0, 0.0, 0)
    array = as_finite(values, "values")
    return Moments(len(array), float(array.sum()), float(array @ array), int((array != 0).sum()))


def mean_sequence(
    values: Moments,
    *,
    alpha: float = 0.05,
    tuned_for: float = TUNED_FOR,
    floor: int = FLOOR,
) -> Estimate:
    """Return one arm's mean with bounds that hold at all looks at once; open below the floor."""
    method = "normal-mixture confidence sequence"
    tuning = _tuning(alpha, tuned_for)
    value = values.total / values.n if values.n else math.nan
    if values.n < 2 or values.nonzero < floor:
        return Estimate(
            value,
            -math.inf,
            math.inf,
            1.0 - alpha,
            values.n,
            _too_few(method, values.nonzero, floor),
            math.nan,
        )
    error = math.sqrt(_squared_deviations(values) / (values.n - 1) / values.n)
    reach = _reach(values.n / tuning, alpha) * error
    return Estimate(value, value - reach, value + reach, 1.0 - alpha, values.n, method, error)


def mean_difference_sequence(
    rows: Sequence[MeanCounts],
    *,
    alpha: float = 0.05,
    tuned_for: float = TUNED_FOR,
    floor: int = FLOOR,
) -> Difference:
    """Return candidate minus stable, with bounds and a p-value that hold at all looks at once.

    ``first`` and ``second`` are the arms' plain means over all rows. Below the floor the bounds
    are open, the p-value is 1 and ``method`` says how many values are missing.
    """
    score = _score(rows)
    tuning = _tuning(alpha, tuned_for)
    method = "normal-mixture confidence sequence, stratified by row"
    low, high, p_value, error, gap = -math.inf, math.inf, 1.0, math.nan, math.nan
    if score.weight > 0.0:
        gap = score.total / score.weight
    if score.nonzero < floor:
        method = _too_few(method, score.nonzero, floor)
    elif score.variance > 0.0:
        error = math.sqrt(score.variance) / score.weight
        reach = _reach(score.weight / tuning, alpha) * error
        low, high = gap - reach, gap + reach
        p_value = math.exp(-max(0.0, float(log_e(gap / error, score.weight / tuning))))
    arms = [[getattr(row, arm) for row in rows] for arm in ("candidate", "stable")]
    first, second = (_mean(arm) for arm in arms)
    n = sum(values.n for arm in arms for values in arm)
    return Difference(first, second, gap, low, high, 1.0 - alpha, n, p_value, method, error)


def mean_higher(
    rows: Sequence[MeanCounts],
    *,
    alpha: float = 0.05,
    tuned_for: float = TUNED_FOR,
    floor: int = FLOOR,
) -> EValue:
    """Return the evidence against "the candidate's mean is at most the stable one's".

    For what should not grow, such as cost; ``n`` are the units of both arms.
    """
    return _one_sided(rows, 1.0, alpha, tuned_for, floor)


def mean_lower(
    rows: Sequence[MeanCounts],
    *,
    alpha: float = 0.05,
    tuned_for: float = TUNED_FOR,
    floor: int = FLOOR,
) -> EValue:
    """Return the evidence against "the candidate's mean is at least the stable one's".

    For what should not fall, such as revenue; ``n`` are the units of both arms.
    """
    return _one_sided(rows, -1.0, alpha, tuned_for, floor)


def log_e(z: npt.ArrayLike, time: npt.ArrayLike) -> Floats:
    """Return logarithms of two-sided normal-mixture e-values.

    Args:
        z: standardised statistics.
        time: variance so far over the mixture's parameter (Howard's ``v / rho``).
    """
    z, u = np.asarray(z, dtype=np.float64), np.asarray(time, dtype=np.float64)
    return np.asarray(0.5 * (z * z * u / (1.0 + u) - np.log1p(u)))


def log_e_one_sided(z: npt.ArrayLike, time: npt.ArrayLike) -> Floats:
    """Return the same for the alternative that the mean is higher: the upper half of the prior."""
    z, u = np.asarray(z, dtype=np.float64), np.asarray(time, dtype=np.float64)
    return np.asarray(log_e(z, u) + math.log(2.0) + log_ndtr(z * np.sqrt(u / (1.0 + u))))


@dataclass(frozen=True)
class _Score:
    """Weighted sum of the rows' differences, its variance, the weights, and what the floor sees."""

    total: float
    variance: float
    weight: float
    nonzero: int
    units: int


def _score(rows: Sequence[MeanCounts]) -> _Score:
    total = own = pooled = weight = 0.0
    for row in rows:
        one, two = row.candidate, row.stable
        if one.n < 2 or two.n < 2:
            continue
        h = one.n * two.n / (one.n + two.n)
        spread_one, spread_two = _squared_deviations(one), _squared_deviations(two)
        total += h * (one.total / one.n - two.total / two.n)
        own += h * h * (spread_one / (one.n - 1) / one.n + spread_two / (two.n - 1) / two.n)
        pooled += h * (spread_one + spread_two) / (one.n + two.n - 2)
        weight += h
    nonzero = min(
        sum(row.candidate.nonzero for row in rows), sum(row.stable.nonzero for row in rows)
    )
    units = sum(row.candidate.n + row.stable.n for row in rows)
    return _Score(total, max(own, pooled), weight, nonzero, units)


def _one_sided(
    rows: Sequence[MeanCounts], sign: float, alpha: float, tuned_for: float, floor: int
) -> EValue:
    score = _score(rows)
    tuning = _tuning(alpha, tuned_for)
    method = "normal-mixture e-process, stratified by row, mean not " + (
        "higher" if sign > 0 else "lower"
    )
    if score.nonzero < floor:
        return no_evidence(alpha, _too_few(method, score.nonzero, floor))
    if score.variance == 0.0:
        return no_evidence(alpha, f"{method}; no value differs")
    z = sign * score.total / math.sqrt(score.variance)
    return EValue(float(log_e_one_sided(z, score.weight / tuning)), alpha, score.units, method)


def _reach(time: float, alpha: float) -> float:
    """Return how many standard errors the bounds lie away: where the e-value is ``1 / alpha``."""
    return math.sqrt((1.0 + time) / time * (2.0 * math.log(1.0 / alpha) + math.log1p(time)))


def _tuning(alpha: float, tuned_for: float) -> float:
    """Return the mixture's parameter that is best at ``tuned_for`` units (Howard, section 3.5)."""
    if not (math.isfinite(tuned_for) and tuned_for > 0.0):
        raise ValueError(f"tuned_for must be a positive number of units, got {tuned_for!r}")
    level = 2.0 * math.log(1.0 / as_alpha(alpha))
    return tuned_for / (level + math.log1p(level))


def _squared_deviations(values: Moments) -> float:
    return max(values.squares - values.total**2 / values.n, 0.0)


def _mean(arm: Sequence[Moments]) -> float:
    n = sum(values.n for values in arm)
    return math.fsum(values.total for values in arm) / n if n else math.nan


def _too_few(method: str, nonzero: int, floor: int) -> str:
    return f"{method}; inconclusive: {nonzero} non-zero values of the {floor} needed"
