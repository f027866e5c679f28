"""Probabilities counted into fine cells that are the same everywhere, so that counts can be added.

Shards that are counted on different machines need the same cells before anybody has seen all
rows. Up to one half, the cell of a probability is the leading :data:`KEPT_BITS` bits of its pattern
in single precision, and those patterns ascend with the numbers; above, it is the mirrored cell of
what is missing to 1. So order between cells is exact, and a cell is one part in 16,384 of its
distance to 0 or to 1 wide, whichever is nearer: that suits rare events, common ones, and models
that are sure of themselves. Rows of one cell count as tied.

What that costs is bounded by what was counted. With ``p`` and ``q`` the shares of positives and of
negatives that lie in a cell, the pairs of a positive and a negative in one cell are ``sum(p q)`` of
all. Each counts one half where the exact AUC counts 0, one half or 1, so the two AUCs differ by at
most ``sum(p q) / 2``. That number is the ``tolerance`` of an estimate, and its interval is
widened by it. Joining cells to bins keeps the argument, with bins in the place of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Bools, Floats, Ints

KEPT_BITS = 23
_DROPPED = 32 - KEPT_BITS
_HALF = int(np.float32(0.5).view(np.uint32)) >> _DROPPED
CELLS = 2 * (_HALF + 1)

Cells = npt.NDArray[np.int32]


def cells_of(probabilities: Floats) -> Cells:
    """Return the cell of each probability, in ``[0, CELLS)``.

    Args:
        probabilities: finite, in [0, 1], shape (rows,).

    Raises:
        ValueError: one is not in [0, 1].
    """
    if len(probabilities) and not (probabilities.min() >= 0.0 and probabilities.max() <= 1.0):
        raise ValueError("probabilities must lie between 0 and 1")
    upper = probabilities > 0.5
    # What is missing to 1 is exact. Adding zero takes the sign from a negative zero, which would
    # be the largest pattern of all.
    near = np.where(upper, 1.0 - probabilities, probabilities).astype(np.float32) + np.float32(0.0)
    cells = (near.view(np.uint32) >> _DROPPED).astype(np.int32)
    return np.where(upper, CELLS - 1 - cells, cells).astype(np.int32)


@dataclass(frozen=True)
class CellCounts:
    """Rows by cell and class, of those that are not empty.

    Attributes:
        places: ascending, ``2 * cell + label``, shape (n,).
        counts: shape (n,).
    """

    places: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]

    def add_to(self, whole: Ints) -> None:
        """Add these counts to those of all cells, shape (CELLS, 2), which must be contiguous."""
        whole.reshape(-1)[self.places] += self.counts


def count_cells(cells: Cells, labels: Bools) -> CellCounts:
    """Count rows by cell and class."""
    both = np.bincount(2 * cells + labels, minlength=2 * CELLS)
    places = np.flatnonzero(both)
    return CellCounts(places.astype(np.int32), both[places].astype(np.int32))


def bins_of_cells(counts: Ints, bins: int) -> tuple[Cells, int]:
    """Join cells to at most ``bins`` bins of about equally many rows.

    Args:
        counts: rows by cell and class, shape (CELLS, 2).

    Returns:
        Each cell's bin, never falling from one cell to the next, and the number of bins. A cell
        is never split, so a cell of many rows makes a bin of many rows.
    """
    sizes = counts[:, 0] + counts[:, 1]
    rows = int(sizes.sum())
    middle = np.cumsum(sizes) - 0.5 * sizes
    lookup = np.minimum((middle * (bins / max(rows, 1))).astype(np.int32), bins - 1)
    return lookup, bins
