"""Two models' decisions on the same rows, by group: who became worse under the candidate.

The rows of a group are counted by label and by both predictions, which holds all that a paired
comparison of rates needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Ints, as_binary, as_codes, as_confidence
from promotion_assets.statistics.estimates import Difference
from promotion_assets.statistics.groups import ConfusionTable, Rate, count_cells
from promotion_assets.statistics.intervals import newcombe_paired
from promotion_assets.statistics.numerics import ndtr, ndtri
from promotion_assets.statistics.simultaneous import simultaneous_level


@dataclass(frozen=True)
class PairedTable:
    """Rows by group, label and both predictions.

    Attributes:
        counts: shape (groups, 2, 2, 2), ``counts[g, label, first, second]``.
    """

    counts: Ints

    @property
    def first(self) -> ConfusionTable:
        """The first model's confusion counts."""
        return ConfusionTable(self.counts.sum(axis=3))

    @property
    def second(self) -> ConfusionTable:
        """The second model's confusion counts."""
        return ConfusionTable(self.counts.sum(axis=2))


def paired_confusion_by_group(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    codes: npt.ArrayLike,
    n_groups: int,
) -> PairedTable:
    """Count rows by group, label and both models' predictions in one pass.

    Args:
        labels, first, second: 0/1, shape (rows,).
        codes: group of each row in ``[0, n_groups)``, or -1 for none.
    """
    truth = as_binary(labels)
    one, two = as_binary(first, "first"), as_binary(second, "second")
    if not len(one) == len(two) == len(truth):
        raise ValueError(f"labels, first, second have {len(truth)}, {len(one)}, {len(two)} rows")
    groups = as_codes(codes, n_groups, len(truth))
    counts = count_cells((truth, one, two), groups, n_groups)
    return PairedTable(counts.reshape(n_groups, 2, 2, 2))


def rate_changes(
    table: PairedTable, rate: Rate, *, confidence: float = 0.95
) -> tuple[Difference | None, ...]:
    """Return each group's rate under the first model minus that under the second.

    All rates but precision are shares of the same rows under both models and take Newcombe's
    paired interval. Precision's denominators differ: it takes the delta method.

    Returns:
        One per group; ``None`` where a denominator is empty.
    """
    level = as_confidence(confidence)
    return tuple(_change(cells, rate, level) for cells in table.counts)


def simultaneous_changes(
    table: PairedTable, rate: Rate, *, confidence: float = 0.95
) -> tuple[Difference | None, ...]:
    """Return :func:`rate_changes` with intervals that hold for all groups at once.

    The groups of one attribute share no row, so Šidák's level is exact for them.
    """
    known = sum(change is not None for change in rate_changes(table, rate))
    level = simultaneous_level(confidence, max(1, known))
    return tuple(
        None
        if change is None
        else replace(change, confidence=confidence, method=f"{change.method}, Šidák over {known}")
        for change in rate_changes(table, rate, confidence=level)
    )


def _change(cells: Ints, rate: Rate, confidence: float) -> Difference | None:
    if rate == "precision":
        return _precision_change(cells, confidence)
    if rate in ("tpr", "fnr"):
        square = cells[1]
    elif rate in ("fpr", "tnr"):
        square = cells[0]
    elif rate == "accuracy":
        # Right means 1 for a positive and 0 for a negative row: turn the latter's square around.
        square = cells[1] + cells[0][::-1, ::-1]
    elif rate == "base_rate":
        return None
    else:
        square = cells[0] + cells[1]
    if rate in ("fnr", "tnr"):
        square = square[::-1, ::-1]
    if square.sum() == 0:
        return None
    both, first_only = int(square[1, 1]), int(square[1, 0])
    second_only, neither = int(square[0, 1]), int(square[0, 0])
    return newcombe_paired(both, first_only, second_only, neither, confidence=confidence)


def _precision_change(cells: Ints, confidence: float) -> Difference | None:
    label, first, second = np.indices((2, 2, 2))
    chosen_first, chosen_second = int((cells * first).sum()), int((cells * second).sum())
    if not chosen_first or not chosen_second:
        return None
    one = float((cells * first * label).sum() / chosen_first)
    two = float((cells * second * label).sum() / chosen_second)
    influence = first * (label - one) / chosen_first - second * (label - two) / chosen_second
    std_error = math.sqrt(float((cells * influence**2).sum()))
    z = float(ndtri(0.5 + confidence / 2))
    value = one - two
    if std_error == 0.0:
        # No row tells the two apart: no more than 1 in so many rows does (zero-event bound).
        rows = min(chosen_first, chosen_second)
        std_error = -math.expm1(math.log1p(-confidence) / rows) / z
    return Difference(
        first=one,
        second=two,
        difference=value,
        low=max(-1.0, value - z * std_error),
        high=min(1.0, value + z * std_error),
        confidence=confidence,
        n=int(cells.sum()),
        p_value=min(1.0, 2.0 * float(ndtr(-abs(value) / std_error))),
        method="delta method (paired)",
        std_error=std_error,
    )
