"""Two models' scores on the same rows: how far their distributions and their rankings are apart."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_confidence, as_finite
from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.numerics import ndtri


def ks_distance(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Return the largest distance of the two empirical distribution functions.

    The interval adds two bands of A. Dvoretzky, J. Kiefer and J. Wolfowitz with P. Massart's
    constant (Annals of Probability 18, 1990), half the error to each: it holds whether the rows
    are the same or not, and is wide.

    Args:
        first, second: finite scores, shape (rows,).
    """
    one, two = _pair(first, second)
    level = as_confidence(confidence)
    points = np.concatenate((one, two))
    gap = _cdf(one, points) - _cdf(two, points)
    value = float(np.abs(gap).max())
    reach = 2 * math.sqrt(math.log(4 / (1 - level)) / (2 * len(one)))
    return Estimate(
        value=value,
        low=max(0.0, value - reach),
        high=min(1.0, value + reach),
        confidence=level,
        n=len(one),
        method="Dvoretzky-Kiefer-Wolfowitz bands",
        std_error=math.nan,
    )


def wasserstein_distance(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Return the first Wasserstein distance of the two distributions of scores.

    With ``s`` the sign of ``F - G`` and ``H`` its integral, the distance is the integral of
    ``s * (F - G)``, which is the mean over the rows of ``H(second) - H(first)``; the delta method
    takes ``s`` as known, so the interval is that of a mean of paired values. Where both
    distributions agree the estimate is above 0 by noise alone.
    """
    one, two = _pair(first, second)
    points = np.unique(np.concatenate((one, two)))
    sign = np.sign(_cdf(one, points[:-1]) - _cdf(two, points[:-1]))
    integral = np.concatenate(([0.0], np.cumsum(sign * np.diff(points))))
    gain = (
        integral[np.searchsorted(points, two, side="left")]
        - integral[np.searchsorted(points, one, side="left")]
    )
    return _mean(gain, as_confidence(confidence))


def rank_correlation(
    first: npt.ArrayLike, second: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Return Spearman's correlation; ties share their mean rank.

    The interval is Fisher's with the variance of D. Bonett and T. Wright (Psychometrika 65,
    2000), ``(1 + r² / 2) / (n - 3)``. It is open, from -1 to 1, below four rows.

    Raises:
        ValueError: where one side is constant: it ranks nothing.
    """
    one, two = _pair(first, second)
    level = as_confidence(confidence)
    if one.min() == one.max() or two.min() == two.max():
        raise ValueError("a rank correlation needs scores that differ on either side")
    # Half a second to import, which every command that reads the policy would wait for.
    from scipy.stats import rankdata

    value = float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])
    value = min(1.0, max(-1.0, value))
    n = len(one)
    if n < 4:
        return Estimate(value, -1.0, 1.0, level, n, "none below 4 rows", math.nan)
    std_error = math.sqrt((1 + value**2 / 2) / (n - 3))
    reach = float(ndtri(0.5 + level / 2)) * std_error
    center = math.atanh(value) if abs(value) < 1 else math.copysign(math.inf, value)
    return Estimate(
        value=value,
        low=math.tanh(center - reach),
        high=math.tanh(center + reach),
        confidence=level,
        n=n,
        method="Fisher z (Bonett-Wright)",
        std_error=std_error * (1 - value**2),
    )


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Floats, Floats]:
    one = as_finite(first, "first")
    two = as_finite(second, "second", len(one))
    if not len(one):
        raise ValueError("there are no pairs of scores")
    return one, two


def _cdf(values: Floats, points: Floats) -> Floats:
    below: Floats = np.searchsorted(np.sort(values), points, side="right") / len(values)
    return below


def _mean(gain: Floats, confidence: float) -> Estimate:
    n = len(gain)
    value = max(0.0, float(gain.mean()))
    if n < 2:
        return Estimate(value, 0.0, math.inf, confidence, n, "delta method (paired)", math.nan)
    std_error = float(gain.std(ddof=1)) / math.sqrt(n)
    reach = float(ndtri(0.5 + confidence / 2)) * std_error
    return Estimate(
        value=value,
        low=max(0.0, value - reach),
        high=value + reach,
        confidence=confidence,
        n=n,
        method="delta method (paired)",
        std_error=std_error,
    )
