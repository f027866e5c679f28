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
BLOCK_ROWS = 32_768
# A cell with so many times a bin's share of rows: the grid is too coarse for these scores.
CROWDED = 16


@dataclass(frozen=True)
class Bins:
    """A bin number for each row; higher scores never have a lower number.

    Attributes:
        cell: each row's cell of the fine grid, shape (rows,).
        bin_of_cell: each cell's bin, in ``[0, count)``.
        count: number of bins.
    """

    cell: npt.NDArray[np.intp]
    bin_of_cell: npt.NDArray[np.intp]
    count: int


def rank_bins(values: Floats, bins: int) -> Bins:
    """Put ``values`` (finite, shape (rows,)) into at most ``bins`` bins of about equal size."""
    if not 2 <= bins <= GRID:
        raise ValueError(f"bins must lie between 2 and {GRID}, got {bins}")
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Bins(np.zeros(len(values), dtype=np.intp), np.zeros(1, dtype=np.intp), 1)
    cell = _grid(values, low, high)
    sizes = np.bincount(cell, minlength=GRID)
    if sizes.max() > max(CROWDED * len(values) / bins, 64):
        return _sampled(values, bins)
    # A cell's bin is its rows' mean rank, scaled: monotone, and no bin is larger than its share
    # by more than one cell.
    below = np.cumsum(sizes) - 0.5 * sizes
    bin_of_cell = np.minimum((below * (bins / len(values))).astype(np.intp), bins - 1)
    return Bins(cell, bin_of_cell, bins)


def _grid(values: Floats, low: float, high: float) -> npt.NDArray[np.intp]:
    """Return each value's cell among ``GRID`` of equal width, block by block in the cache."""
    cell = np.empty(len(values), dtype=np.intp)
    # Halves keep the span finite for values near the largest float.
    scale = (GRID - 1) / (high / 2 - low / 2) / 2
    for start in range(0, len(values), BLOCK_ROWS):
        scaled = values[start : start + BLOCK_ROWS] / 2 - low / 2
        scaled *= 2 * scale
        cell[start : start + BLOCK_ROWS] = scaled
    return cell


def _sampled(values: Floats, bins: int) -> Bins:
    """Cut at the quantiles of a regular sample: slower, and right for any shape."""
    step = max(1, len(values) // (16 * bins))
    sample = np.sort(values[::step])
    edges = np.unique(sample[np.arange(1, bins) * len(sample) // bins])
    index = np.searchsorted(edges, values, side="left")
    return Bins(index, np.arange(len(edges) + 1), len(edges) + 1)
