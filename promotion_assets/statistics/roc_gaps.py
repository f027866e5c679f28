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

from promotion_assets.statistics.checks import Floats, as_codes, as_confidence
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.placements import blocks_of, moments_of, rank, row_placements
from promotion_assets.statistics.roc import both_classes, estimates_from
from promotion_assets.statistics.roc_intervals import difference_of


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
    whole = rank(values)
    whole_blocks = blocks_of(truth, whole)
    overall = estimates_from(moments_of(whole_blocks), level)[0]
    ranking = rank(values, groups, n_groups)
    blocks = blocks_of(truth, ranking)
    singles = estimates_from(moments_of(blocks), level)
    assert overall is not None

    rows = np.bincount(truth, minlength=2)
    outer = (row_placements(truth, whole, whole_blocks) - overall.value) / rows[truth.astype(int)]
    constant = np.bincount(truth, weights=outer**2, minlength=2)
    inside = groups >= 0
    segment = 2 * groups[inside].astype(np.intp) + truth[inside]
    size = 2 * n_groups
    group_rows = np.bincount(segment, minlength=size)
    value = np.array([s.value if s is not None else math.nan for s in singles])
    inner = row_placements(truth, ranking, blocks)[inside] - value[segment // 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        inner /= group_rows[segment]
        own = np.bincount(segment, weights=inner**2, minlength=size)
        own *= group_rows / (group_rows - 1)
    shared = np.bincount(segment, weights=inner * outer[inside], minlength=size)
    variance = own - 2 * shared + np.tile(constant, n_groups)
    return tuple(
        _gap(single, overall, variance[2 * g : 2 * g + 2], group_rows[2 * g : 2 * g + 2], level)
        for g, single in enumerate(singles)
    )


def _gap(
    single: Estimate | None,
    overall: Estimate,
    variance: Floats,
    rows: npt.NDArray[np.integer],
    confidence: float,
) -> Difference | None:
    if single is None:
        return None
    negatives, positives = int(rows[0]), int(rows[1])
    if single.n == overall.n:
        return Difference(
            overall.value, overall.value, 0.0, 0.0, 0.0, confidence, single.n, 1.0,
            "the group is all rows", 0.0,
        )  # fmt: skip
    gap = difference_of(
        single,
        overall,
        max(0.0, float(variance[1])) * positives,
        max(0.0, float(variance[0])) * negatives,
        positives,
        negatives,
        confidence,
        identical=False,
    )
    return replace(gap, method=f"{gap.method}, group against all rows")
