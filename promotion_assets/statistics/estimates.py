"""What the statistics return: a number, its interval, and how both were computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from promotion_assets.statistics.numerics import ndtri, stdtr


@dataclass(frozen=True)
class Estimate:
    """An estimated quantity.

    Attributes:
        value: the point estimate.
        low, high: bounds of the two-sided interval; infinite where the sample cannot bound it.
        confidence: of the interval, ``.95``.
        n: rows that were used.
        method: how the interval was computed, for people.
        std_error: standard error on the scale of ``value``; NaN where the method has none.
        tolerance: how far ``value`` may lie from the exact computation (binned variants); the
            interval already includes it.
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int
    method: str
    std_error: float
    tolerance: float = 0.0


@dataclass(frozen=True)
class Difference:
    """A difference of two quantities that were measured on the same or on separate rows.

    Attributes:
        first, second: the two point estimates.
        difference: ``first - second``.
        low, high: bounds of the two-sided interval of ``difference``.
        confidence: of the interval, ``.95``.
        n: rows that were used.
        p_value: two-sided, of the hypothesis that the true difference is 0.
        method: how the interval was computed, for people.
        std_error: of ``difference``; NaN where the method has none.
        tolerance: as in :class:`Estimate`.
        degrees_of_freedom: of the t distribution behind interval and test; infinite for a
            normal one.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    confidence: float
    n: int
    p_value: float
    method: str
    std_error: float
    tolerance: float = 0.0
    degrees_of_freedom: float = math.inf


def p_at_least(difference: Difference, margin: float) -> float:
    """Return the one-sided p-value of "the true difference is at most ``margin``".

    Small means: the difference is shown to exceed ``margin`` (improvement for a positive margin,
    non-inferiority for a negative one). Without a standard error it is 1.
    """
    if math.isnan(difference.std_error):
        return 1.0
    distance = difference.difference - difference.tolerance - margin
    if difference.std_error == 0.0:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(difference.degrees_of_freedom, -distance / difference.std_error))


def p_at_most(difference: Difference, margin: float) -> float:
    """Return the one-sided p-value of "the true difference is at least ``margin``".

    Small means: the difference is shown to lie below ``margin`` (a group that became worse).
    """
    if math.isnan(difference.std_error):
        return 1.0
    distance = difference.difference + difference.tolerance - margin
    if difference.std_error == 0.0:
        return 0.0 if distance < 0 else 1.0
    return float(stdtr(difference.degrees_of_freedom, distance / difference.std_error))


def rows_needed(
    n: int, std_error: float, distance: float, *, confidence: float = 0.95, power: float = 0.5
) -> int | None:
    """Return the rows at which an interval would no longer reach over a limit ``distance`` away.

    Standard errors shrink with the square root of the rows, so a limit at ``distance`` from the
    true value is excluded with probability ``power`` once ``(z_confidence + z_power) * se`` is
    at most ``distance``. With ``power=.5`` it is the sample that would settle it if the estimate
    stayed where it is. The answer assumes the same mix of rows.

    Returns:
        Rows in total, at least ``n + 1`` when the limit is not excluded yet; ``None`` when no
        sample settles it (the estimate lies on the limit) or the standard error is unknown.
    """
    if not math.isfinite(distance) or distance == 0.0 or not math.isfinite(std_error):
        return None
    reach = float(ndtri(0.5 + confidence / 2) + ndtri(power)) * std_error / abs(distance)
    if reach > 1e6:
        return None
    return max(math.ceil(n * reach * reach), 1)
