"""Means, and differences of two arms' means, with intervals that hold at every look at once.

The boundary is the two-sided normal mixture of H. Robbins (Annals of Mathematical Statistics 41,
1970; S. Howard et al., Annals of Statistics 49, 2021, equation 14), used with an estimated
variance, for which it holds asymptotically (I. Waudby-Smith et al., Time-uniform central limit
theory and asymptotic confidence sequences, Annals of Statistics 52, 2024).

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

from promotion_assets.statistics.checks import Floats, as_alpha
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.evalues import EValue, no_evidence
from promotion_assets.statistics.moments import MeanCounts, Moments
from promotion_assets.statistics.numerics import log_ndtr

#: Non-zero values in each arm below which nothing is said.
FLOOR = 20
#: Effective units, ``n m / (n + m)``, at which the intervals are tightest.
TUNED_FOR = 500.0


def mean_sequence(
    values: Moments,
    *,
    alpha: float = 0.05,
    tuned_for: float = TUNED_FOR,
    floor: int = FLOOR,
) -> Estimate:
    """Return one arm's mean with bounds that hold at all looks at once; open below the floor."""
    method = "normal-mixture confidence sequence"
    parameter = tuning(alpha, tuned_for)
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
    reach = _reach(values.n / parameter, alpha) * error
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
    parameter = tuning(alpha, tuned_for)
    method = "normal-mixture confidence sequence, stratified by row"
    low, high, p_value, error, gap = -math.inf, math.inf, 1.0, math.nan, math.nan
    if score.weight > 0.0:
        gap = score.total / score.weight
    if score.nonzero < floor:
        method = _too_few(method, score.nonzero, floor)
    elif score.variance > 0.0:
        error = math.sqrt(score.variance) / score.weight
        reach = _reach(score.weight / parameter, alpha) * error
        low, high = gap - reach, gap + reach
        p_value = math.exp(-max(0.0, float(log_e(gap / error, score.weight / parameter))))
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


def row_scores(
    n: Floats, total: Floats, squares: Floats, m: Floats, other: Floats, other_squares: Floats
) -> Floats:
    """Return what each row adds, on a last axis: weighted difference, variance, weight.

    The variance comes twice, with each arm's own and with both arms' pooled one. A row with fewer
    than two units in an arm adds nothing.

    Args:
        n, total, squares: candidate's units, and sums of their values and squares.
        m, other, other_squares: the same of the stable arm.
    """
    told = (n >= 2) & (m >= 2)
    a, b = np.where(told, n, 2.0), np.where(told, m, 2.0)
    h = a * b / (a + b)
    spread_one = np.maximum(squares - total**2 / a, 0.0)
    spread_two = np.maximum(other_squares - other**2 / b, 0.0)
    own = h * h * (spread_one / (a - 1) / a + spread_two / (b - 1) / b)
    pooled = h * (spread_one + spread_two) / (a + b - 2)
    parts = np.stack([h * (total / a - other / b), own, pooled, h], axis=-1)
    return np.where(told[..., None], parts, 0.0)


def tuning(alpha: float, tuned_for: float) -> float:
    """Return the mixture's parameter that is best at ``tuned_for`` units (Howard, equation 21)."""
    if not (math.isfinite(tuned_for) and tuned_for > 0.0):
        raise ValueError(f"tuned_for must be a positive number of units, got {tuned_for!r}")
    level = 2.0 * math.log(1.0 / as_alpha(alpha))
    return tuned_for / (level + math.log1p(level))


@dataclass(frozen=True)
class _Score:
    """Weighted sum of the rows' differences, its variance, the weights, and what the floor sees."""

    total: float
    variance: float
    weight: float
    nonzero: int
    units: int


def _score(rows: Sequence[MeanCounts]) -> _Score:
    pairs = [(row.candidate, row.stable) for row in rows]
    columns = [
        np.array([float(getattr(pair[arm], name)) for pair in pairs])
        for arm in (0, 1)
        for name in ("n", "total", "squares")
    ]
    total, own, pooled, weight = row_scores(*columns).sum(axis=0).tolist()
    nonzero = min(
        sum(row.candidate.nonzero for row in rows), sum(row.stable.nonzero for row in rows)
    )
    units = sum(row.candidate.n + row.stable.n for row in rows)
    return _Score(total, max(own, pooled), weight, nonzero, units)


def _one_sided(
    rows: Sequence[MeanCounts], sign: float, alpha: float, tuned_for: float, floor: int
) -> EValue:
    score = _score(rows)
    parameter = tuning(alpha, tuned_for)
    method = "normal-mixture e-process, stratified by row, mean not " + (
        "higher" if sign > 0 else "lower"
    )
    if score.nonzero < floor:
        return no_evidence(alpha, _too_few(method, score.nonzero, floor))
    if score.variance == 0.0:
        return no_evidence(alpha, f"{method}; no value differs")
    z = sign * score.total / math.sqrt(score.variance)
    return EValue(float(log_e_one_sided(z, score.weight / parameter)), alpha, score.units, method)


def _reach(time: float, alpha: float) -> float:
    """Return how many standard errors the bounds lie away: where the e-value is ``1 / alpha``."""
    return math.sqrt((1.0 + time) / time * (2.0 * math.log(1.0 / alpha) + math.log1p(time)))


def _squared_deviations(values: Moments) -> float:
    return max(values.squares - values.total**2 / values.n, 0.0)


def _mean(arm: Sequence[Moments]) -> float:
    n = sum(values.n for values in arm)
    return math.fsum(values.total for values in arm) / n if n else math.nan


def _too_few(method: str, nonzero: int, floor: int) -> str:
    return f"{method}; inconclusive: {nonzero} non-zero values of the {floor} needed"
