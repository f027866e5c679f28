"""Mean and spread of values that come in shards, merged without a loss of digits.

T. Chan, G. Golub, R. LeVeque, The American Statistician 37, 1983: sums of squares are kept about
the mean and corrected when two are merged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from promotion_assets.statistics.checks import Floats


@dataclass(frozen=True)
class Running:
    """``n`` values, their mean, and the sum of squares about it."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Floats) -> Running:
        """Return what ``values``, shape (n,), come to."""
        if not len(values):
            return cls()
        mean = float(values.mean())
        return cls(len(values), mean, float(np.sum((values - mean) ** 2)))

    def merged(self, other: Running) -> Running:
        """Return what the values of both come to."""
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        gap = other.mean - self.mean
        return Running(
            n,
            self.mean + gap * (other.n / n),
            self.squares + other.squares + gap * gap * (self.n * other.n / n),
        )

    @property
    def deviation(self) -> float:
        """Standard deviation (``n - 1``); NaN for fewer than two values."""
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else math.nan
