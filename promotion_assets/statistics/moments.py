"""Sums that stand in for the values of an arm: all that a comparison of means needs to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_finite, as_tally


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
        # The square of a value may be too small for a float.
        most = self.squares * (1 + 1e-9) + n * math.ulp(0.0)
        if self.total**2 > n * most:
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
