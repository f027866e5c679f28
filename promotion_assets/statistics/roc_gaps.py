"""Each group's AUC against the AUC of all rows.

A group is part of all rows, so the two are not independent. The variance of the gap is that of
the rows' joint influence on both: a positive row of the group adds its placement in the group
over the group's positives, less its placement among all over all positives; every other positive
only the latter; negatives alike. Degrees of freedom are Satterthwaite's, from the group's sizes.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Bools, Floats, as_codes, as_confidence
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.placements import moments_of_run, place
from promotion_assets.statistics.ranking import rank
from promotion_assets.statistics.roc import both_classes, estimate_from
from promotion_assets.statistics.roc_intervals import paired_delong, square_and_add


def auc_gap_by_group(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    codes: npt.ArrayLike,
    n_groups: int,
    *,
    confidence: float = 0.95,
) -> tuple[Difference | None, ...]:
    """Return every group's AUC minus the AUC of all rows, with the interval of that gap.

    Args:
        labels, scores: 0/1 and numbers, shape (rows,).
        codes: group of each row in ``[0, n_groups)``, or -1 for none (it counts overall).

    Returns:
        One per group; ``None`` where a class is absent.

    Raises:
        ValueError: as :func:`promotion_assets.statistics.roc.auc`.
    """
    truth, values = both_classes(labels, scores)
    groups = as_codes(codes, n_groups, len(truth))
    level = as_confidence(confidence)
    placed = place(truth, rank(values))
    overall = estimate_from(moments_of_run(placed.truth, placed.counts), level)
    assert overall is not None
    grouped = place(truth, rank(values, groups, n_groups))
    outer = _influence(placed.by_row(len(truth)), truth, overall.value)
    shared_by_all = [float(np.sum(outer[truth == label] ** 2)) for label in (False, True)]
    result: list[Difference | None] = []
    for part in grouped.groups():
        own_truth, rows = grouped.truth[part], grouped.ranking.order[part]
        single = estimate_from(moments_of_run(own_truth, grouped.counts[part]), level)
        if single is None:
            result.append(None)
            continue
        inner = _influence(grouped.counts[part], own_truth, single.value)
        variances, sizes = [], []
        for label in (False, True):
            kept = own_truth == label
            size = int(np.count_nonzero(kept))
            u, w = inner[kept], outer[rows[kept]]
            own = float(u @ u) * size / (size - 1) if size > 1 else math.nan
            variances.append(own - 2 * float(u @ w) + shared_by_all[label])
            sizes.append(size)
        result.append(gap_between(single, overall, variances, sizes, level))
    return tuple(result)


def _influence(counts: Floats, truth: Bools, auc: float) -> Floats:
    """Return what each row adds to the error of the AUC: its placement's deviation, weighted."""
    positives = int(np.count_nonzero(truth))
    negatives = len(truth) - positives
    share = counts / np.where(truth, negatives, positives)
    weighted: Floats = (share - auc) / np.where(truth, positives, negatives)
    return weighted


def gap_between(
    single: Estimate,
    overall: Estimate,
    variances: list[float],
    sizes: list[int],
    confidence: float,
) -> Difference:
    """Return a group's AUC less that of all rows.

    Args:
        variances: of the gap, by class, negatives first: the sums of squared joint influences.
        sizes: the group's rows by class, negatives first.
    """
    negatives, positives = sizes
    if single.n == overall.n:
        return Difference(
            overall.value, overall.value, 0.0, 0.0, 0.0, confidence, single.n, 1.0,
            "the group is all rows", 0.0,
        )  # fmt: skip
    spreads = (max(0.0, variances[1]) * positives, max(0.0, variances[0]) * negatives)
    gap = paired_delong(single, overall, spreads, positives, negatives)
    if gap is None:
        gap = square_and_add(single, overall)
    return replace(gap, method=f"{gap.method}, group against all rows")
