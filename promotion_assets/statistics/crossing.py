"""How likely a test statistic leaves its boundaries at each of several looks.

At information ``t`` the score statistic is a Brownian motion ``B(t)`` with drift; the standardised
statistic is ``B(t) / sqrt(t)``. The density of a path that is still inside is carried from look to
look by numerical integration (P. Armitage, C. McPherson, B. Rowe, JRSS A 132, 1969; C. Jennison,
B. Turnbull, Group Sequential Methods, 2000, chapter 19), here by Gauss-Legendre quadrature with
nodes closer than the step between looks is wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss

from promotion_assets.statistics.checks import Floats
from promotion_assets.statistics.numerics import ndtr

#: Standard deviations beyond which a side without a boundary is cut off.
TAIL = 9.0
#: Quadrature nodes for each standard deviation of the step between two looks.
NODES = 3
#: Rules are computed for multiples of this many nodes, and kept.
BLOCK = 40


@dataclass(frozen=True)
class Inside:
    """Paths that have not left yet, at one look.

    Attributes:
        time: information at this look.
        points: values of the score statistic, shape (nodes,).
        mass: probability at each.
    """

    time: float
    points: Floats
    mass: Floats

    def above(self, time: float, score: float, drift: float) -> float:
        """Return the probability of a score statistic beyond ``score`` at the next look."""
        step = time - self.time
        away = self.points + drift * step - score
        return float(self.mass @ ndtr(away / math.sqrt(step)))

    def below(self, time: float, score: float, drift: float) -> float:
        """Return the probability of a score statistic short of ``score`` at the next look."""
        step = time - self.time
        away = score - self.points - drift * step
        return float(self.mass @ ndtr(away / math.sqrt(step)))

    def carried(self, time: float, low: float, high: float, drift: float) -> Inside:
        """Return the paths that are still between ``low`` and ``high`` at the next look."""
        step = time - self.time
        spread = math.sqrt(step)
        low = max(low, float(self.points.min()) + drift * step - TAIL * spread)
        high = min(high, float(self.points.max()) + drift * step + TAIL * spread)
        if low >= high:
            return Inside(time, np.array([low]), np.array([0.0]))
        nodes, weights = _rule(1 + math.ceil(NODES * (high - low) / spread / BLOCK))
        points = (low + high) / 2 + nodes * (high - low) / 2
        away = (points[:, None] - self.points[None, :] - drift * step) / spread
        density = np.exp(-0.5 * away * away) @ self.mass / (spread * math.sqrt(2 * math.pi))
        return Inside(time, points, density * weights * (high - low) / 2)


def at(time: float, score: float) -> Inside:
    """Return the one path that is known: a score statistic that was seen, or 0 at time 0."""
    return Inside(time, np.array([score]), np.array([1.0]))


def exits(
    times: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    drift: float = 0.0,
    start: Inside | None = None,
) -> tuple[tuple[float, float], ...]:
    """Return at each look the probability to leave below and above, there for the first time.

    Args:
        times: information at each look, ascending.
        lower, upper: boundaries on the standardised statistic; infinite for none.
        drift: of the score statistic per unit of information.
        start: where the path is known to be; 0 at time 0 if nothing is said.
    """
    inside = start or at(0.0, 0.0)
    result = []
    for time, low, high in zip(times, lower, upper, strict=True):
        root = math.sqrt(time)
        result.append(
            (inside.below(time, low * root, drift), inside.above(time, high * root, drift))
        )
        inside = inside.carried(time, low * root, high * root, drift)
    return tuple(result)


@lru_cache(maxsize=256)
def _rule(blocks: int) -> tuple[Floats, Floats]:
    nodes, weights = leggauss(BLOCK * blocks)
    return nodes, weights
