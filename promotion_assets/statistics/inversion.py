"""Intervals of spreads: quantities such as ECE or the largest gap, which noise can only raise.

A spread of noisy figures (largest less smallest, mean absolute gap) lies above the true one, the
more so the smaller the truth, so a percentile bootstrap covers it badly. Instead the test is
inverted along one line: the observed deviations scaled by ``c >= 0``, ``c = 0`` meaning none.
The interval holds the spreads of those ``c`` under which the observed spread is not extreme.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from promotion_assets.statistics.checks import Floats

# The true spread at scale c, and draws of the observed spread under it. The draws must come from
# the same noise at every c, or the search for a crossing has none.
SpreadAt = Callable[[float], tuple[float, Floats]]

STEPS = 16
LARGEST_SCALE = 1e6


def spread_interval(observed: float, at: SpreadAt, confidence: float) -> tuple[float, float]:
    """Return the bounds of the true spread; ``at`` must not decrease in its scale.

    A spread smaller than noise alone would make does not show that there is none: the upper
    bound is then the least that noise would make.
    """
    tail = (1.0 - confidence) / 2
    low = _crossing(at, lambda draws: float(np.mean(draws >= observed)) > tail)
    high = _crossing(at, lambda draws: float(np.mean(draws <= observed)) <= tail)
    least = float(np.quantile(at(0.0)[1], tail)) if high == 0.0 else 0.0
    return min(at(low)[0], observed), max(at(high)[0], observed, least)


def _crossing(at: SpreadAt, reached: Callable[[Floats], bool]) -> float:
    """Return the least scale whose draws have ``reached``, found by doubling and halving."""
    if reached(at(0.0)[1]):
        return 0.0
    below, above = 0.0, 1.0
    while not reached(at(above)[1]):
        below, above = above, 2 * above
        if above > LARGEST_SCALE:
            return above
    for _ in range(STEPS):
        middle = (below + above) / 2
        below, above = (below, middle) if reached(at(middle)[1]) else (middle, above)
    return above
