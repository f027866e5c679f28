"""AUC with its interval, and the paired difference of two models' AUC, overall and by group.

The variance is DeLong's (E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44, 1988), computed
from one sort as in X. Sun, W. Xu, IEEE Signal Processing Letters 21, 2014. In their terms the
*placement* of a positive is the share of negatives below it (ties count half), the placement of
a negative the share of positives above it; the AUC is the mean of either, and its variance the
variance of the first over the positives plus that of the second over the negatives. The variance
of a paired difference is that of the row-wise differences of placements.

Intervals take a t distribution with Satterthwaite's degrees of freedom (E. Brunner, U. Munzel,
Biometrical Journal 42, 2000), which matters for a group with 8 positives and not for 10,000. That
of a single AUC is computed on the logit scale, so it stays inside (0, 1).

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
    Codes,
    Moments,
    binned_blocks,
    binned_placements,
    blocks_of,
    moments_of,
    rank,
    row_placements,
)
from promotion_assets.statistics.roc_intervals import difference_of, estimate_of


def auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the area under the ROC curve; ties count half.

    Args:
        labels: 0/1, shape (rows,).
        scores: higher means more likely positive, shape (rows,).

    Raises:
        ValueError: for one class only, NaN or infinite scores, or shapes that differ.
    """
    truth, values = both_classes(labels, scores)
    return float(moments_of(blocks_of(truth, rank(values))).auc[0])


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


def estimates_from(
    moments: Moments, confidence: float, tolerance: Floats | None = None
) -> tuple[Estimate | None, ...]:
    """Return each segment's AUC with its interval, ``None`` where a class is absent."""
    slack = np.zeros(len(moments.auc)) if tolerance is None else tolerance
    return tuple(
        estimate_of(
            float(moments.auc[g]),
            float(moments.positive_variance[g]),
            float(moments.negative_variance[g]),
            int(moments.positives[g]),
            int(moments.negatives[g]),
            confidence,
            float(slack[g]),
        )
        if moments.positives[g] and moments.negatives[g]
        else None
        for g in range(len(moments.auc))
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
        ranking = rank(values, codes, n_groups)
        return estimates_from(moments_of(blocks_of(truth, ranking)), confidence)
    moments = moments_of(binned_blocks(truth, rank_bins(values, bins), codes, n_groups))
    return estimates_from(moments, confidence, moments.tolerance)


def _differences(
    truth: Bools,
    scores: tuple[Floats, Floats],
    codes: Codes | None,
    n_groups: int,
    confidence: float,
    bins: int | None,
) -> tuple[Difference | None, ...]:
    singles: list[tuple[Estimate | None, ...]] = []
    placed: list[Floats] = []
    for values in scores:
        if bins is None:
            ranking = rank(values, codes, n_groups)
            blocks = blocks_of(truth, ranking)
            moments = moments_of(blocks)
            singles.append(estimates_from(moments, confidence))
            placed.append(row_placements(truth, ranking, blocks))
        else:
            binned = rank_bins(values, bins)
            blocks = binned_blocks(truth, binned, codes, n_groups)
            moments = moments_of(blocks)
            singles.append(estimates_from(moments, confidence, moments.tolerance))
            placed.append(binned_placements(truth, binned, blocks, codes))
    gap = placed[0] - placed[1]
    segment = 2 * (np.zeros(len(truth), dtype=np.intp) if codes is None else codes) + truth
    if codes is not None and (inside := codes >= 0).sum() < len(codes):
        gap, segment = gap[inside], segment[inside]
    size = 2 * n_groups
    rows = np.bincount(segment, minlength=size)
    changed = np.bincount(segment, weights=gap != 0.0, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(segment, weights=gap, minlength=size) / rows
        spread = np.bincount(segment, weights=(gap - mean[segment]) ** 2, minlength=size)
        variance = spread / (rows - 1)
    return tuple(
        difference_of(
            one,
            two,
            float(variance[2 * g + 1]),
            float(variance[2 * g]),
            int(rows[2 * g + 1]),
            int(rows[2 * g]),
            confidence,
            identical=not changed[2 * g : 2 * g + 2].any(),
        )
        if one is not None and two is not None
        else None
        for g, (one, two) in enumerate(zip(*singles, strict=True))
    )
