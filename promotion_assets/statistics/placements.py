"""Placements: the share of the other class that each row is ranked right against.

The kernel behind :mod:`roc`. Rows with one score are a *block*; a *segment* is a run of blocks
that is ranked by itself (a group). Everything is computed for all segments at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.binning import Bins
from promotion_assets.statistics.checks import Bools, Floats, Ints

Codes = npt.NDArray[np.signedinteger]


@dataclass(frozen=True)
class Blocks:
    """Counts of both classes by block, ascending by score within each segment.

    Attributes:
        positives, negatives: rows of either class in each block, shape (blocks,).
        segment_starts: index of each segment's first block, and the number of blocks at the end;
            shape (segments + 1,). A segment may be empty.
    """

    positives: Floats
    negatives: Floats
    segment_starts: Ints

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.segment_starts) - 1

    @property
    def segment_of(self) -> Ints:
        """Each block's segment, shape (blocks,)."""
        return np.repeat(np.arange(self.segments), np.diff(self.segment_starts))


@dataclass(frozen=True)
class Moments:
    """AUC and the two variances of placements, by segment; NaN where undefined.

    Attributes:
        auc: mean placement; needs both classes.
        positive_variance, negative_variance: sample variances (``n - 1``) of placements.
        positives, negatives: rows of either class.
        tolerance: half the share of pairs that lie in one block: how far the AUC can be from
            that of the rows if blocks are bins.
    """

    auc: Floats
    positive_variance: Floats
    negative_variance: Floats
    positives: Floats
    negatives: Floats
    tolerance: Floats


@dataclass(frozen=True)
class Ranking:
    """The rows in order of segment and score, and where blocks begin.

    Attributes:
        order: row numbers in that order; rows of no segment are left out.
        block_starts: position in ``order`` of each block's first row, shape (blocks,).
        segment_starts: as in :class:`Blocks`.
    """

    order: Ints
    block_starts: Ints
    segment_starts: Ints


def rank(scores: Floats, codes: Codes | None = None, segments: int = 1) -> Ranking:
    """Sort the rows once; with ``codes``, each segment by itself (code -1 is left out)."""
    order = np.argsort(scores)
    if codes is not None:
        # A stable sort of 16-bit keys is a radix sort in numpy: it costs a third of the first.
        key_type = np.int16 if segments < 2**15 else np.int64
        by_code = codes[order].astype(key_type)
        order = order[np.argsort(by_code, kind="stable")]
        order = order[int(np.count_nonzero(codes < 0)) :]
    ordered = scores[order]
    is_start = np.empty(len(order), dtype=np.bool_)
    is_start[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_start[1:])
    if codes is None:
        row_starts = np.array([0, len(order)])
    else:
        sizes = np.bincount(codes[order], minlength=segments)
        row_starts = np.concatenate(([0], np.cumsum(sizes)))
        is_start[row_starts[:-1][sizes > 0]] = True
    block_starts = np.flatnonzero(is_start)
    return Ranking(order, block_starts, np.searchsorted(block_starts, row_starts))


def blocks_of(labels: Bools, ranking: Ranking) -> Blocks:
    """Count both classes by block."""
    truth = labels[ranking.order]
    rows, starts = len(truth), ranking.block_starts
    if len(starts) == rows:
        positives = truth.astype(np.float64)
        return Blocks(positives, 1.0 - positives, ranking.segment_starts)
    sizes = np.diff(starts, append=rows).astype(np.float64)
    positives = np.add.reduceat(truth, starts, dtype=np.float64)
    return Blocks(positives, sizes - positives, ranking.segment_starts)


def block_placements(blocks: Blocks) -> tuple[Floats, Floats]:
    """Return the placement of a positive and of a negative in each block, shapes (blocks,).

    They are NaN in a segment that has no row of the other class.
    """
    positives_below, positives = _below(blocks.positives, blocks)
    negatives_below, negatives = _below(blocks.negatives, blocks)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_positive = (negatives_below + 0.5 * blocks.negatives) / negatives
        of_negative = (positives - positives_below - 0.5 * blocks.positives) / positives
    return of_positive, of_negative


def _below(counts: Floats, blocks: Blocks) -> tuple[Floats, Floats | float]:
    """Return, by block, the rows of ``counts`` in lower blocks, and in the whole segment."""
    running = np.concatenate(([0.0], np.cumsum(counts)))
    if blocks.segments == 1:
        return running[:-1], float(running[-1])
    at_start = running[blocks.segment_starts]
    segment_of = blocks.segment_of
    return running[:-1] - at_start[segment_of], np.diff(at_start)[segment_of]


def row_placements(labels: Bools, ranking: Ranking, blocks: Blocks) -> Floats:
    """Return each row's placement, shape (rows,); 0 where the row is in no segment."""
    of_positive, of_negative = block_placements(blocks)
    order = ranking.order
    if len(ranking.block_starts) < len(order):
        sizes = np.diff(ranking.block_starts, append=len(order))
        of_positive, of_negative = np.repeat(of_positive, sizes), np.repeat(of_negative, sizes)
    result = np.zeros(len(labels))
    result[order] = np.where(labels[order], of_positive, of_negative)
    return result


def binned_blocks(labels: Bools, bins: Bins, codes: Codes | None, segments: int) -> Blocks:
    """Count both classes by segment and bin; empty bins stay."""
    cells = _cells(labels, bins, codes)
    if codes is not None and codes.min() < 0:
        cells = cells[codes >= 0]
    counts = np.bincount(cells, minlength=2 * segments * bins.count).astype(np.float64)
    starts = np.arange(segments + 1) * bins.count
    return Blocks(counts[1::2].copy(), counts[0::2].copy(), starts)


def binned_placements(labels: Bools, bins: Bins, blocks: Blocks, codes: Codes | None) -> Floats:
    """Return each row's placement among bins, shape (rows,); any value for rows of no segment."""
    of_positive, of_negative = block_placements(blocks)
    table = np.empty(2 * len(of_positive))
    table[0::2], table[1::2] = of_negative, of_positive
    return np.asarray(table[_cells(labels, bins, codes)], dtype=np.float64)


def _cells(labels: Bools, bins: Bins, codes: Codes | None) -> npt.NDArray[np.intp]:
    cells = 2 * bins.index
    if codes is not None:
        cells += (2 * bins.count) * codes.astype(np.intp)
    cells += labels
    return cells


def moments_of(blocks: Blocks) -> Moments:
    """Return AUC and variances of placements of every segment."""
    segment_of = blocks.segment_of
    of_positive, of_negative = block_placements(blocks)

    def total(weights: Floats) -> Floats:
        return np.bincount(segment_of, weights=weights, minlength=blocks.segments)

    positives, negatives = total(blocks.positives), total(blocks.negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc = total(blocks.positives * np.nan_to_num(of_positive)) / positives
        auc[(positives == 0) | (negatives == 0)] = np.nan
        mean = auc[segment_of]
        spread_positive = total(blocks.positives * (of_positive - mean) ** 2) / (positives - 1)
        spread_negative = total(blocks.negatives * (of_negative - mean) ** 2) / (negatives - 1)
        tolerance = 0.5 * total(blocks.positives * blocks.negatives) / (positives * negatives)
    return Moments(auc, spread_positive, spread_negative, positives, negatives, tolerance)
