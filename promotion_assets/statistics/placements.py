"""Placements: how many rows of the other class each row is ranked right against.

The kernel behind :mod:`roc`. For a positive row that is the number of negatives below it, for a
negative one the number of positives above it; ties count half. They are kept as counts, which
are exact in floating point, and become shares last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.binning import Bins
from promotion_assets.statistics.checks import Bools, Floats
from promotion_assets.statistics.ranking import Codes, Ranking

# Rows handled at a time, so that intermediate results stay in the cache.
BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Moments:
    """What one run of rows says about one AUC.

    Attributes:
        positives, negatives: rows of either class.
        auc: mean placement; NaN where a class is absent.
        positive_variance, negative_variance: sample variances (``n - 1``) of placements as
            shares; NaN for a single row.
        tolerance: how far ``auc`` may be from that of the rows, for binned scores.
    """

    positives: int
    negatives: int
    auc: float
    positive_variance: float
    negative_variance: float
    tolerance: float = 0.0


@dataclass(frozen=True)
class Placed:
    """Placements of all rows under one model, in the order of its ranking.

    Attributes:
        ranking: the order, and where groups begin.
        truth: labels in that order.
        counts: placements as counts, in that order.
    """

    ranking: Ranking
    truth: Bools
    counts: Floats

    def groups(self) -> list[slice]:
        """Return each group's stretch of the order."""
        starts = self.ranking.starts.tolist()
        return [slice(a, b) for a, b in pairwise(starts)]

    def by_row(self, rows: int) -> Floats:
        """Return the counts in the rows' own order, shape (rows,); 0 for rows of no group."""
        result = np.zeros(rows)
        result[self.ranking.order] = self.counts
        return result


def place(labels: Bools, ranking: Ranking) -> Placed:
    """Return the placements of all rows, each group by itself."""
    truth = labels[ranking.order]
    placed = Placed(ranking, truth, np.empty(len(truth)))
    for part in placed.groups():
        _place_run(truth[part], ranking.scores[part], placed.counts[part])
    return placed


def _place_run(truth: Bools, ordered: Floats, out: Floats) -> None:
    """Write the placements of one run of ascending scores into ``out``."""
    rows = len(truth)
    if np.any(ordered[1:] == ordered[:-1]):
        _place_ties(truth, ordered, out)
        return
    # At row k (from 0): k less the positives before it, or all positives less those before it.
    total, before = float(np.count_nonzero(truth)), 0.0
    for start in range(0, rows, BLOCK_ROWS):
        block = slice(start, min(start + BLOCK_ROWS, rows))
        positive = truth[block].astype(np.float64)
        placed = np.cumsum(positive, out=out[block])
        after = before + float(placed[-1])
        placed -= positive
        np.subtract(total - before, placed, out=placed)
        positive *= np.arange(block.start - total, block.stop - total)
        placed += positive
        before = after


def _place_ties(truth: Bools, ordered: Floats, out: Floats) -> None:
    rows = len(truth)
    positives_to = np.zeros(rows + 1)
    np.cumsum(truth, out=positives_to[1:])
    start = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    end = np.append(start[1:], rows)
    positives_below = (positives_to[start] + positives_to[end]) / 2
    negatives_below = (start + end) / 2 - positives_below
    sizes = end - start
    out[:] = np.where(
        truth,
        np.repeat(negatives_below, sizes),
        np.repeat(positives_to[-1] - positives_below, sizes),
    )


def auc_of_run(truth: Bools, counts: Floats) -> tuple[int, int, float]:
    """Return a run's positives, its negatives and its AUC (NaN where a class is absent)."""
    positives = int(np.count_nonzero(truth))
    negatives = len(truth) - positives
    if not positives or not negatives:
        return positives, negatives, np.nan
    ranked_right = 0.0
    for start in range(0, len(truth), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        ranked_right += float(np.sum(counts[block] * truth[block]))
    return positives, negatives, ranked_right / positives / negatives


def variances_of_run(truth: Bools, counts: Floats, mean: float) -> tuple[float, float]:
    """Return the sample variances over positives and over negatives of placements as shares.

    Args:
        truth, counts: labels, and placements as counts (or the difference of two such).
        mean: of the shares, which is the same in both classes: the AUC, or the difference.

    Returns:
        NaN for a class of a single row.
    """
    rows = len(truth)
    positives = int(np.count_nonzero(truth))
    negatives = rows - positives
    if not positives or not negatives:
        return np.nan, np.nan
    of_positive = of_all = 0.0
    for start in range(0, rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        positive = truth[block].astype(np.float64)
        share = positive * (1.0 / negatives - 1.0 / positives)
        share += 1.0 / positives
        share *= counts[block]
        share -= mean
        share *= share
        of_all += float(share.sum())
        # Not a dot product: BLAS would start threads for each block.
        share *= positive
        of_positive += float(share.sum())
    # What is left by rounding alone is no variance.
    noise = 1e-24 * rows
    spread = np.array([of_positive, of_all - of_positive])
    spread[spread < noise] = 0.0
    return (
        float(spread[0]) / (positives - 1) if positives > 1 else np.nan,
        float(spread[1]) / (negatives - 1) if negatives > 1 else np.nan,
    )


def moments_of_run(truth: Bools, counts: Floats) -> Moments:
    """Return the moments of one group's placements."""
    positives, negatives, auc = auc_of_run(truth, counts)
    return Moments(positives, negatives, auc, *variances_of_run(truth, counts, auc))


@dataclass(frozen=True)
class BinnedTable:
    """Counts of both classes by group and bin, and the placements that follow from them.

    Attributes:
        cells: each row's index into the flattened tables, shape (rows,); negative for a row
            of no group.
        counts: shape (groups, bins, 2), the last axis by label.
        placements: as shares, same shape; NaN where the other class is absent.
    """

    cells: npt.NDArray[np.intp]
    counts: Floats
    placements: Floats


def binned_table(labels: Bools, bins: Bins, codes: Codes | None, groups: int) -> BinnedTable:
    """Count both classes by group and bin; a bin's rows count as tied."""
    size = 2 * bins.count
    cells = np.empty(len(labels), dtype=np.intp)
    lookup = 2 * bins.bin_of_cell
    for start in range(0, len(labels), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        part = cells[block]
        lookup.take(bins.cell[block], out=part, mode="clip")
        part += labels[block]
        if codes is not None:
            part += size * codes[block].astype(np.intp)
    inside = cells if codes is None or codes.min() >= 0 else cells[codes >= 0]
    counts = np.bincount(inside, minlength=size * groups).astype(np.float64)
    counts = counts.reshape(groups, bins.count, 2)
    return BinnedTable(cells, counts, placements_of(counts))


def placements_of(counts: Floats) -> Floats:
    """Return the placements that follow from counts by group, bin and class, as shares.

    Args:
        counts: shape (groups, bins, 2), the last axis by label.
    """
    running = np.cumsum(counts, axis=1)
    middle = running - counts / 2
    totals = running[:, -1:, :]
    placements = np.empty_like(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        placements[..., 1] = middle[..., 0] / totals[..., 0]
        placements[..., 0] = 1.0 - middle[..., 1] / totals[..., 1]
    return placements


def moments_of_table(table: BinnedTable) -> list[Moments]:
    """Return the moments of every group, with how far its AUC may be from that of the rows."""
    result = []
    for counts, placed in zip(table.counts, table.placements, strict=True):
        negatives, positives = counts.sum(axis=0).tolist()
        if not positives or not negatives:
            result.append(Moments(int(positives), int(negatives), np.nan, np.nan, np.nan))
            continue
        auc = float(counts[:, 1] @ placed[:, 1]) / positives
        spread = np.einsum("bc,bc->c", counts, (placed - auc) ** 2)
        result.append(
            Moments(
                int(positives),
                int(negatives),
                auc,
                float(spread[1]) / (positives - 1) if positives > 1 else np.nan,
                float(spread[0]) / (negatives - 1) if negatives > 1 else np.nan,
                0.5 * float(counts[:, 0] @ counts[:, 1]) / (positives * negatives),
            )
        )
    return result


def gap_squares(
    labels: Bools,
    tables: tuple[BinnedTable, BinnedTable],
    codes: Codes | None,
    means: Floats,
) -> tuple[Floats, Bools]:
    """Return sums of squares of the row-wise differences of placements about their means.

    Args:
        means: of the differences, by group.

    Returns:
        The sums, shape (groups, 2), the last axis by label; and whether any row of the group has
        a difference at all, shape (groups,).
    """
    groups = len(means)
    flat = [np.nan_to_num(table.placements.reshape(-1)) for table in tables]
    squares, changed = np.zeros(2 * (groups + 1)), np.zeros(groups + 1)
    padded = np.append(0.0, means)
    for start in range(0, len(labels), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        gap = flat[0].take(tables[0].cells[block], mode="clip")
        gap -= flat[1].take(tables[1].cells[block], mode="clip")
        if codes is None:
            changed[1] += np.count_nonzero(gap)
            gap -= means[0]
            gap *= gap
            of_all = float(gap.sum())
            gap *= labels[block]
            of_positive = float(gap.sum())
            squares[2:] += (of_all - of_positive, of_positive)
            continue
        # Code -1 becomes group 0 of a padded table, dropped below.
        group = codes[block].astype(np.intp) + 1
        changed += np.bincount(group, weights=gap != 0.0, minlength=groups + 1)
        gap -= padded[group]
        gap *= gap
        group *= 2
        group += labels[block]
        squares += np.bincount(group, weights=gap, minlength=len(squares))
    spread = squares.reshape(-1, 2)[1:]
    spread[spread < 1e-24 * len(labels)] = 0.0
    return spread, changed[1:] > 0
