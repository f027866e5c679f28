"""How far two sets of counts are apart: PSI with its noise, KL, JS, Wasserstein, KS.

Counts are of the same bins in the same order; :func:`union` lines up categories and
:func:`with_missing` makes the missing values a bin of their own.

PSI, the population stability index, is ``sum((a - e) * ln(a / e))`` over bin shares. Without any
drift it is not 0: of ``N`` and ``M`` rows in ``B`` bins it is about ``(1/N + 1/M)`` times a
chi-square variable of ``B - 1`` degrees of freedom (B. Yurdakul, J. Naranjo, Journal of Risk Model
Validation 14, 2020), so 200 rows in 20 bins show .1 by chance alone. The estimate therefore comes
with that expectation taken off, its quantile under no drift, and an interval from the noncentral
chi-square that drift makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_confidence, as_counts
from promotion_assets.statistics.numerics import brentq, chdtrc, chdtri, chndtr

# Added to every count before shares are taken: an empty bin gives a large finite term instead of
# an infinite one. One half is Jeffreys' prior for a proportion.
SMOOTHING = 0.5


@dataclass(frozen=True)
class DriftEstimate:
    """PSI of one feature, and what of it may be noise.

    Attributes:
        value: the PSI as everyone computes it, smoothed.
        corrected: ``value`` less its expectation under no drift, at least 0.
        low, high: bounds of the interval of the true PSI; ``low`` is 0 where no drift is shown.
        confidence: of the interval.
        null_mean: expectation of ``value`` under no drift.
        null_high: ``value`` stays below it with probability ``confidence`` under no drift.
        p_value: of the hypothesis of no drift.
        bins: bins with at least one row on either side.
        n_expected, n_actual: rows on either side.
        method: how the interval was computed.
    """

    value: float
    corrected: float
    low: float
    high: float
    confidence: float
    null_mean: float
    null_high: float
    p_value: float
    bins: int
    n_expected: float
    n_actual: float
    method: str = "noncentral chi-square"


def psi(
    expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike, *, smoothing: float = SMOOTHING
) -> float:
    """Return the population stability index of two sets of counts.

    Args:
        expected_counts, actual_counts: rows by bin, shape (bins,). Bins that are empty on both
            sides count for nothing.
        smoothing: added to the count of every other bin on both sides.

    Raises:
        ValueError: for shapes that differ, negative or all-zero counts; for an empty bin where
            ``smoothing`` is 0.
    """
    expected, actual = _shares(expected_counts, actual_counts, smoothing)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def psi_estimate(
    expected_counts: npt.ArrayLike,
    actual_counts: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    smoothing: float = SMOOTHING,
) -> DriftEstimate:
    """Return the PSI with its correction for sample size and its interval; see :func:`psi`."""
    level = as_confidence(confidence)
    value = psi(expected_counts, actual_counts, smoothing=smoothing)
    expected = as_counts(expected_counts, "expected counts")
    actual = as_counts(actual_counts, "actual counts")
    bins = int(np.count_nonzero(expected + actual))
    n, m = float(expected.sum()), float(actual.sum())
    unit, freedom = 1 / n + 1 / m, bins - 1
    if freedom == 0:
        return DriftEstimate(0.0, 0.0, 0.0, 0.0, level, 0.0, 0.0, 1.0, bins, n, m)
    corrected = max(0.0, value - freedom * unit)
    scale = _scale(expected_counts, actual_counts, smoothing, value, unit)
    tail = (1 - level) / 2
    return DriftEstimate(
        value=value,
        corrected=corrected,
        low=scale * _noncentrality(value / scale, freedom, 1 - tail),
        high=scale * _noncentrality(value / scale, freedom, tail),
        confidence=level,
        null_mean=freedom * unit,
        null_high=unit * float(chdtri(freedom, 1 - level)),
        p_value=float(chdtrc(freedom, value / unit)),
        bins=bins,
        n_expected=n,
        n_actual=m,
    )


def kl(
    expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike, *, smoothing: float = SMOOTHING
) -> float:
    """Return the Kullback-Leibler divergence of the actual shares from the expected, in nats."""
    expected, actual = _shares(expected_counts, actual_counts, smoothing)
    return float(np.sum(actual * np.log(actual / expected)))


def js(expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike) -> float:
    """Return the Jensen-Shannon divergence in nats, in [0, ln 2]; needs no smoothing.

    SciPy's ``jensenshannon`` is its square root, the distance.
    """
    expected, actual = _shares(expected_counts, actual_counts, 0.0, empty_bins=True)
    middle = (expected + actual) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(expected > 0, expected * np.log(expected / middle), 0.0)
        terms += np.where(actual > 0, actual * np.log(actual / middle), 0.0)
    return float(max(0.0, terms.sum() / 2))


def ks_binned(expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike) -> float:
    """Return the largest distance of the two distribution functions at the edges of the bins.

    A lower bound of the Kolmogorov-Smirnov distance of the rows; bins must be in order, without
    the missing values.
    """
    return float(np.max(np.abs(_cdf_gap(expected_counts, actual_counts))))


def wasserstein_binned(
    expected_counts: npt.ArrayLike,
    actual_counts: npt.ArrayLike,
    edges: npt.ArrayLike,
    minimum: float,
    maximum: float,
) -> float:
    """Return the first Wasserstein distance, rows of a bin spread evenly over it.

    Args:
        expected_counts, actual_counts: shape (edges + 1,), in order, without missing values.
        edges: inner edges, ascending.
        minimum, maximum: where the first bin begins and the last ends; taken as the outer edge
            where that lies further out.
    """
    cuts = np.asarray(edges, dtype=np.float64)
    gap = _cdf_gap(expected_counts, actual_counts)
    if len(gap) != len(cuts) + 1:
        raise ValueError(f"{len(gap)} counts for {len(cuts)} edges; there must be one more")
    if len(cuts):
        minimum, maximum = min(minimum, float(cuts[0])), max(maximum, float(cuts[-1]))
    widths = np.diff(np.concatenate(([minimum], cuts, [maximum])))
    left, right = np.abs(np.concatenate(([0.0], gap[:-1]))), np.abs(gap)
    crosses = np.concatenate(([0.0], gap[:-1])) * gap < 0
    with np.errstate(invalid="ignore", divide="ignore"):
        crossed = (left**2 + right**2) / (2 * (left + right))
    return float(np.sum(widths * np.where(crosses, crossed, (left + right) / 2)))


def union(
    expected: Mapping[str, int], actual: Mapping[str, int]
) -> tuple[tuple[str, ...], Floats, Floats]:
    """Return all categories of either side, sorted, and both counts in that order."""
    names = tuple(sorted(set(expected) | set(actual)))
    return (
        names,
        np.array([expected.get(name, 0) for name in names], dtype=np.float64),
        np.array([actual.get(name, 0) for name in names], dtype=np.float64),
    )


def with_missing(counts: npt.ArrayLike, missing: float) -> Floats:
    """Return ``counts`` with the missing values as one more bin at the end."""
    return np.append(np.asarray(counts, dtype=np.float64), float(missing))


def psi_terms(
    expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike, *, smoothing: float = SMOOTHING
) -> Floats:
    """Return what each bin adds to the PSI, shape (bins,); 0 for a bin empty on both sides."""
    expected = as_counts(expected_counts, "expected counts")
    kept = (expected + as_counts(actual_counts, "actual counts")) > 0
    e, a = _shares(expected_counts, actual_counts, smoothing)
    terms = np.zeros(len(expected))
    terms[kept] = (a - e) * np.log(a / e)
    return terms


def _shares(
    expected_counts: npt.ArrayLike,
    actual_counts: npt.ArrayLike,
    smoothing: float,
    *,
    empty_bins: bool = False,
) -> tuple[Floats, Floats]:
    expected = as_counts(expected_counts, "expected counts")
    actual = as_counts(actual_counts, "actual counts")
    if expected.shape != actual.shape:
        raise ValueError(f"expected counts have {len(expected)} bins, actual counts {len(actual)}")
    kept = expected + actual > 0
    expected, actual = expected[kept] + smoothing, actual[kept] + smoothing
    if not empty_bins and min(expected.min(), actual.min()) == 0.0:
        raise ValueError("a bin is empty on one side; smoothing must be above 0")
    return expected / expected.sum(), actual / actual.sum()


def _cdf_gap(expected_counts: npt.ArrayLike, actual_counts: npt.ArrayLike) -> Floats:
    expected = as_counts(expected_counts, "expected counts")
    actual = as_counts(actual_counts, "actual counts")
    if expected.shape != actual.shape:
        raise ValueError(f"expected counts have {len(expected)} bins, actual counts {len(actual)}")
    gap: Floats = np.cumsum(expected) / expected.sum() - np.cumsum(actual) / actual.sum()
    return gap


def _scale(
    expected_counts: npt.ArrayLike,
    actual_counts: npt.ArrayLike,
    smoothing: float,
    value: float,
    unit: float,
) -> float:
    """Return what a unit of chi-square is worth in PSI.

    Near no drift it is ``1/N + 1/M``. Under drift the delta method's variance of PSI exceeds that
    of the noncentral chi-square, ``4 * PSI * unit``, so the unit grows with their ratio.
    """
    e, a = _shares(expected_counts, actual_counts, smoothing)
    if value <= 0.0:
        return unit
    n, m = float(np.sum(expected_counts)), float(np.sum(actual_counts))
    of_expected, of_actual = np.log(e / a) + 1 - a / e, np.log(a / e) + 1 - e / a
    variance = (np.sum(e * of_expected**2) - np.sum(e * of_expected) ** 2) / n
    variance += (np.sum(a * of_actual**2) - np.sum(a * of_actual) ** 2) / m
    return max(unit, float(variance) / (4 * value))


def _noncentrality(statistic: float, freedom: int, probability: float) -> float:
    """Return the noncentrality under which ``statistic`` is the ``probability`` quantile, or 0."""

    def _excess(noncentrality: float) -> float:
        return float(chndtr(statistic, freedom, noncentrality)) - probability

    if _excess(0.0) <= 0.0:
        return 0.0
    high = max(1.0, statistic)
    while _excess(high) > 0.0:
        high *= 2.0
    return float(brentq(_excess, 0.0, high, xtol=1e-9))
