"""What the coverage tests share: how often intervals hold the truth, within what chance allows.

A group of the by-group functions serves as one simulated data set, so that thousands are judged in
one call. Seeds are fixed: a simulation that passes passes every time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

LOW, HIGH = 0.93, 0.97


class HasBounds(Protocol):
    """An interval."""

    @property
    def low(self) -> float:
        """Lower bound."""

    @property
    def high(self) -> float:
        """Upper bound."""


def coverage(intervals: Iterable[HasBounds | None], truth: float) -> float:
    """Return the share of intervals that hold ``truth``; a missing one holds nothing."""
    return float(np.mean([i is not None and i.low <= truth <= i.high for i in intervals]))


def binormal(
    rng: np.random.Generator,
    data_sets: int,
    positives: int,
    negatives: int,
    shifts: tuple[float, float],
    correlation: float = 0.7,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, two models' scores and codes of many data sets of one size.

    Scores are normal, shifted up for positives, so a model's AUC is ``ndtr(shift / sqrt(2))``.
    """
    rows = data_sets * (positives + negatives)
    labels = np.tile(np.repeat([True, False], [positives, negatives]), data_sets)
    codes = np.repeat(np.arange(data_sets), positives + negatives)
    shared, one, two = rng.normal(size=(3, rows))
    shared *= np.sqrt(correlation)
    own = np.sqrt(1 - correlation)
    return (
        labels,
        shared + own * one + shifts[0] * labels,
        shared + own * two + shifts[1] * labels,
        codes,
    )
