"""AUC with its interval, and the paired difference of two models' AUC, overall and by group.

The variance is DeLong's (E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44, 1988), computed
from one sort as in X. Sun, W. Xu, IEEE Signal Processing Letters 21, 2014. In their terms the
*placement* of a positive is the share of negatives below it (ties count half), the placement of
a negative the share of positives above it; the AUC is the mean of either, and its variance the
variance of the first over the positives plus that of the second over the negatives. The variance
of a paired difference is that of the row-wise differences of placements.

Intervals take a t distribution with Satterthwaite's degrees of freedom (E. Brunner, U. Munzel,
Biometrical Journal 42, 2000), which matters for a group with 8 positives and not for 10,000. That
of a single AUC is computed on the logit scale, so it stays inside (0, 1). That of a difference
squares and adds the two single intervals, less what their correlation takes off (G. Zou,
A. Donner, Statistics in Medicine 27, 2008): near an AUC of 1 the plain one covers 88 %.

Where the sample shows no variance (an AUC of 1, one positive) a zero-width interval would claim
certainty, so instead:

- a single AUC takes R. Newcombe's method 5 (Statistics in Medicine 25, 2006, part 2), a score
  interval on the variance of J. Hanley and B. McNeil (Radiology 143, 1982);
- a difference of two models that order every row alike takes the exact zero-event bound: of
  ``k = min(positives, negatives)`` disjoint pairs none was ordered differently, so that happens in
  at most ``1 - (1 - confidence)**(1/k)`` of pairs, and the AUCs differ by no more;
- any other difference squares and adds the two single intervals (R. Newcombe's method 10, 1998).

``bins`` replaces the sort by counting into bins of about equally many rows. Rows of one bin count
as tied; the largest error that this can make is computed, returned as ``tolerance`` and added to
the interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.binning import rank_bins
from promotion_assets.statistics.checks import (
    Bools,
    Floats,
    as_binary,
    as_codes,
    as_confidence,
    as_finite,
)
from promotion_assets.statistics.estimates import Difference, Estimate, rows_needed
from promotion_assets.statistics.placements import (
    BinnedTable,
    Moments,
    Placed,
    auc_of_run,
    binned_table,
    gap_squares,
    moments_of_run,
    moments_of_table,
    place,
    variances_of_run,
)
from promotion_assets.statistics.ranking import Codes, rank
from promotion_assets.statistics.roc_intervals import (
    estimate_of,
    paired_delong,
    same_order,
    square_and_add,
    widened,
    widened_difference,
)


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; ties count half.

    Args:
        labels: 0/1, shape (rows,).
        scores: higher means more likely positive, shape (rows,).

    Raises:
        ValueError: for one class only, NaN or infinite scores, or shapes that differ.
    """
    truth, values = both_classes(labels, scores)
    placed = place(truth, rank(values))
    return auc_of_run(placed.truth, placed.counts)[2]


def auc_estimate(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    bins: int | None = None,
) -> Estimate:
    """Return the AUC with DeLong's interval.

    Args:
        labels, scores: as in :func:`auc`.
        bins: count into so many bins (65,536 at most) instead of sorting.

    Raises:
        ValueError: as :func:`auc`.
    """
    truth, values = both_classes(labels, scores)
    estimate = _by_group(truth, values, None, 1, as_confidence(confidence), bins)[0]
    assert estimate is not None
    return estimate


def auc_by_group(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    codes: npt.ArrayLike,
    n_groups: int,
    *,
    confidence: float = 0.95,
    bins: int | None = None,
) -> tuple[Estimate | None, ...]:
    """Return every group's AUC with its interval, from one sort of all rows.

    Args:
        labels, scores: as in :func:`auc`.
        codes: group of each row in ``[0, n_groups)``, or -1 for none; shape (rows,).
        confidence: of each interval by itself; :mod:`simultaneous` has levels for all at once.
        bins: as in :func:`auc_estimate`; 4,096 serve groups well.

    Returns:
        One per group; ``None`` where a class is absent.
    """
    truth = as_binary(labels)
    values = as_finite(scores, "scores", len(truth))
    groups = as_codes(codes, n_groups, len(truth))
    return _by_group(truth, values, groups, n_groups, as_confidence(confidence), bins)


def auc_difference(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    confidence: float = 0.95,
    bins: int | None = None,
) -> Difference:
    """Return the difference of two models' AUC on the same rows, by DeLong's paired method.

    Args:
        labels: 0/1, shape (rows,).
        first, second: scores of the two models, shape (rows,); the difference is first - second.
        bins: as in :func:`auc_estimate`.

    Raises:
        ValueError: as :func:`auc`.
    """
    truth, one = both_classes(labels, first, "first")
    two = as_finite(second, "second", len(truth))
    difference = _differences(truth, (one, two), None, 1, as_confidence(confidence), bins)[0]
    assert difference is not None
    return difference


def auc_difference_by_group(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    codes: npt.ArrayLike,
    n_groups: int,
    *,
    confidence: float = 0.95,
    bins: int | None = None,
) -> tuple[Difference | None, ...]:
    """Return the paired difference of two models' AUC in every group; see :func:`auc_by_group`."""
    truth = as_binary(labels)
    both = (as_finite(first, "first", len(truth)), as_finite(second, "second", len(truth)))
    groups = as_codes(codes, n_groups, len(truth))
    return _differences(truth, both, groups, n_groups, as_confidence(confidence), bins)


def needed_sample_size(difference: Difference, margin: float, *, power: float = 0.5) -> int | None:
    """Return the rows at which ``difference`` would be told from ``margin``, same mix of rows.

    See :func:`promotion_assets.statistics.estimates.rows_needed`.
    """
    return rows_needed(
        difference.n,
        difference.std_error,
        difference.difference - margin,
        confidence=difference.confidence,
        power=power,
    )


def both_classes(
    labels: npt.ArrayLike, scores: npt.ArrayLike, name: str = "scores"
) -> tuple[Bools, Floats]:
    """Return checked labels and scores of rows that hold both classes, else ``ValueError``."""
    truth = as_binary(labels)
    values = as_finite(scores, name, len(truth))
    positives = int(np.count_nonzero(truth))
    if positives in (0, len(truth)):
        raise ValueError(
            f"AUC needs both classes, got {positives} positives among {len(truth)} rows"
        )
    return truth, values


def estimate_from(moments: Moments, confidence: float) -> Estimate | None:
    """Return the AUC that ``moments`` describe with its interval; ``None`` without a class."""
    if not moments.positives or not moments.negatives:
        return None
    return estimate_of(
        moments.auc,
        moments.positive_variance,
        moments.negative_variance,
        moments.positives,
        moments.negatives,
        confidence,
    )


def _by_group(
    truth: Bools,
    values: Floats,
    codes: Codes | None,
    n_groups: int,
    confidence: float,
    bins: int | None,
) -> tuple[Estimate | None, ...]:
    if bins is None:
        placed = place(truth, rank(values, codes, n_groups))
        moments = [moments_of_run(placed.truth[g], placed.counts[g]) for g in placed.groups()]
    else:
        moments = moments_of_table(binned_table(truth, rank_bins(values, bins), codes, n_groups))
    return tuple(
        None
        if (estimate := estimate_from(one, confidence)) is None
        else widened(estimate, one.tolerance)
        for one in moments
    )


def _exact_differences(
    one: Placed, two: Placed, rows: int, confidence: float
) -> tuple[Difference | None, ...]:
    second = two.by_row(rows)[one.ranking.order]
    return tuple(
        _exact_difference(one.truth[part], one.counts[part], second[part], confidence)
        for part in one.groups()
    )


def _exact_difference(
    truth: Bools, first: Floats, second: Floats, confidence: float
) -> Difference | None:
    moments = [moments_of_run(truth, counts) for counts in (first, second)]
    gap = first - second
    spreads = variances_of_run(truth, gap, moments[0].auc - moments[1].auc)
    return difference_from(moments[0], moments[1], spreads, bool(gap.any()), confidence)


def _binned_differences(
    truth: Bools,
    tables: tuple[BinnedTable, BinnedTable],
    codes: Codes | None,
    n_groups: int,
    confidence: float,
) -> tuple[Difference | None, ...]:
    moments = [moments_of_table(table) for table in tables]
    # The mean of the gaps is the difference of the AUCs, in either class.
    means = np.array([a.auc - b.auc for a, b in zip(*moments, strict=True)])
    spread, changed = gap_squares(truth, tables, codes, np.nan_to_num(means))
    return tuple(
        None
        if (difference := _binned_difference(a, b, spread[g], bool(changed[g]), confidence)) is None
        else widened_difference(difference, a.tolerance + b.tolerance)
        for g, (a, b) in enumerate(zip(*moments, strict=True))
    )


def _binned_difference(
    a: Moments, b: Moments, squares: Floats, changed: bool, confidence: float
) -> Difference | None:
    spreads = (
        float(squares[1]) / (a.positives - 1) if a.positives > 1 else np.nan,
        float(squares[0]) / (a.negatives - 1) if a.negatives > 1 else np.nan,
    )
    return difference_from(a, b, spreads, changed, confidence)


def difference_from(
    a: Moments, b: Moments, spreads: tuple[float, float], changed: bool, confidence: float
) -> Difference | None:
    """Return the paired difference of two AUCs from their moments, without any tolerance.

    Args:
        spreads: as in :func:`promotion_assets.statistics.roc_intervals.paired_delong`.
        changed: whether the two order any row differently.
    """
    one, two = estimate_from(a, confidence), estimate_from(b, confidence)
    if one is None or two is None:
        return None
    if not changed:
        return same_order(one.value, a.positives, a.negatives, confidence)
    delong = paired_delong(one, two, spreads, a.positives, a.negatives)
    return square_and_add(one, two) if delong is None else delong


def _differences(
    truth: Bools,
    scores: tuple[Floats, Floats],
    codes: Codes | None,
    n_groups: int,
    confidence: float,
    bins: int | None,
) -> tuple[Difference | None, ...]:
    first, second = scores
    if bins is None:
        one = place(truth, rank(first, codes, n_groups))
        two = place(truth, rank(second, codes, n_groups))
        return _exact_differences(one, two, len(truth), confidence)
    tables = (
        binned_table(truth, rank_bins(first, bins), codes, n_groups),
        binned_table(truth, rank_bins(second, bins), codes, n_groups),
    )
    return _binned_differences(truth, tables, codes, n_groups, confidence)
