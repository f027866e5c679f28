"""Bins of about equally many rows, found without a sort.

Binning by width would put most rows of a skewed score (a default probability) into a few bins.
Here a fine grid is counted once, and its cells are joined until each bin holds its share of rows.
Two rows of one cell are never told apart, so order between bins is exact and only rows within a
bin count as tied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats

GRID = 2**16


@dataclass(frozen=True)
class Bins:
    """A bin number for each row; higher scores never have a lower number.

    Attributes:
        index: shape (rows,), in ``[0, count)``.
        count: number of bins.
    """

    index: npt.NDArray[np.intp]
    count: int


def rank_bins(values: Floats, bins: int) -> Bins:
    """Put ``values`` (finite, shape (rows,)) into at most ``bins`` bins of about equal size."""
    if not 2 <= bins <= GRID:
        raise ValueError(f"bins must lie between 2 and {GRID}, got {bins}")
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Bins(np.zeros(len(values), dtype=np.intp), 1)
    cell = _grid(values, low, high)
    sizes = np.bincount(cell, minlength=GRID)
    if sizes.max() > max(16 * len(values) / bins, 64):
        return _sampled(values, bins)
    # A cell's bin is its rows' mean rank, scaled: monotone, and equal where a cell is empty.
    below = np.cumsum(sizes) - 0.5 * sizes
    bin_of_cell = np.minimum((below * (bins / len(values))).astype(np.intp), bins - 1)
    return Bins(bin_of_cell[cell], bins)


def _grid(values: Floats, low: float, high: float) -> npt.NDArray[np.intp]:
    scaled = values - low
    # Halving first keeps the span finite for values near the largest float.
    span = high / 2 - low / 2
    scaled *= (GRID - 1) / span / 2
    return scaled.astype(np.intp)


def _sampled(values: Floats, bins: int) -> Bins:
    """Cut at the quantiles of a regular sample: slower, and right for any shape."""
    step = max(1, len(values) // (16 * bins))
    edges = np.unique(np.quantile(values[::step], np.linspace(0, 1, bins + 1)[1:-1]))
    return Bins(np.searchsorted(edges, values, side="left"), len(edges) + 1)
