"""Confusion counts by group from one pass, and what follows from them: rates, gaps, ratios.

A *rate* is a share of a group's rows: ``selection_rate`` of all rows are predicted positive,
``tpr`` of the positives, ``fpr`` of the negatives; ``accuracy`` of all rows are predicted right,
``precision`` of the predicted positives are positive; ``fnr`` and ``tnr`` complete ``tpr`` and
``fpr``; ``base_rate`` of all rows are positive. A rate whose denominator is empty is NaN in
arrays and ``None`` in tuples, and no disparity counts it.

The disparities are fairlearn's: ``demographic_parity_difference`` is the largest less the
smallest selection rate, ``…_ratio`` the smallest over the largest; ``equalized_odds_difference``
is the larger of the TPR and the FPR difference, ``…_ratio`` the smaller of the two ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Bools, Floats, Ints, as_binary, as_codes
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.intervals import newcombe, wilson_bounds
from promotion_assets.statistics.numerics import ndtri

Rate = Literal["selection_rate", "tpr", "fpr", "fnr", "tnr", "accuracy", "precision", "base_rate"]
RATES: tuple[Rate, ...] = get_args(Rate)

Disparity = Literal[
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
]
DISPARITIES: tuple[Disparity, ...] = get_args(Disparity)

# Which of the cells (label, prediction) = 00, 01, 10, 11 a rate counts, and among which.
_CELLS: dict[Rate, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "selection_rate": ((1, 3), (0, 1, 2, 3)),
    "tpr": ((3,), (2, 3)),
    "fpr": ((1,), (0, 1)),
    "fnr": ((2,), (2, 3)),
    "tnr": ((0,), (0, 1)),
    "accuracy": ((0, 3), (0, 1, 2, 3)),
    "precision": ((3,), (1, 3)),
    "base_rate": ((2, 3), (0, 1, 2, 3)),
}


@dataclass(frozen=True)
class ConfusionTable:
    """Rows by group, label and prediction.

    Attributes:
        counts: shape (groups, 2, 2), ``counts[g, label, prediction]``.
    """

    counts: Ints

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.counts)

    @property
    def sizes(self) -> Ints:
        """Rows of each group."""
        sizes: Ints = self.counts.sum(axis=(1, 2))
        return sizes

    @property
    def positives(self) -> Ints:
        """Rows of each group whose label is positive."""
        positives: Ints = self.counts[:, 1].sum(axis=1)
        return positives

    @property
    def total(self) -> ConfusionTable:
        """All groups as one."""
        return ConfusionTable(self.counts.sum(axis=0, keepdims=True))


def confusion_by_group(
    labels: npt.ArrayLike, predictions: npt.ArrayLike, codes: npt.ArrayLike, n_groups: int
) -> ConfusionTable:
    """Count rows by group, label and prediction in one pass.

    Args:
        labels, predictions: 0/1, shape (rows,).
        codes: group of each row in ``[0, n_groups)``, or -1 for none.

    Raises:
        ValueError: for other values than 0 and 1, NaN, or shapes that differ.
    """
    truth, predicted = as_binary(labels), as_binary(predictions, "predictions")
    if len(predicted) != len(truth):
        raise ValueError(f"predictions have {len(predicted)} rows, labels {len(truth)}")
    groups = as_codes(codes, n_groups, len(truth))
    return ConfusionTable(count_cells((truth, predicted), groups, n_groups).reshape(n_groups, 2, 2))


def cross(*codes: tuple[npt.ArrayLike, int]) -> tuple[Ints, int]:
    """Return codes of the intersection of attributes, and how many intersections there are.

    Args:
        codes: for each attribute its codes, shape (rows,), and its number of groups. A row
            that is in no group of one attribute (-1) is in no intersection.

    Returns:
        Codes in ``[0, product of group numbers)``, the last attribute fastest; unravel with
        ``numpy.unravel_index``. Empty intersections keep their code.
    """
    if not codes:
        raise ValueError("cross needs at least one attribute")
    rows = np.asarray(codes[0][0]).shape[0]
    result = np.zeros(rows, dtype=np.int64)
    outside = np.zeros(rows, dtype=np.bool_)
    size = 1
    for attribute, n_groups in codes:
        groups = as_codes(attribute, n_groups, rows)
        outside |= groups < 0
        result = result * n_groups + groups
        size *= n_groups
    result[outside] = -1
    return result, size


def parts(table: ConfusionTable, rate: Rate) -> tuple[Ints, Ints]:
    """Return a rate's numerator and denominator by group, shapes (groups,)."""
    hits, trials = _parts(table.counts.reshape(table.n_groups, 4), rate)
    return hits.astype(np.int64), trials.astype(np.int64)


def rate_values(table: ConfusionTable, rate: Rate) -> Floats:
    """Return a rate by group, shape (groups,); NaN where its denominator is empty."""
    return values_of(table.counts.reshape(table.n_groups, 4), rate)


def rates(
    table: ConfusionTable, rate: Rate, *, confidence: float = 0.95
) -> tuple[Estimate | None, ...]:
    """Return a rate by group with Wilson's interval; ``None`` where the denominator is empty."""
    hits, trials = parts(table, rate)
    low, high = wilson_bounds(hits, trials, float(ndtri(0.5 + confidence / 2)))
    return tuple(
        Estimate(
            value=float(k / n),
            low=float(low[g]),
            high=float(high[g]),
            confidence=confidence,
            n=int(n),
            method="Wilson",
            std_error=float(np.sqrt(k / n * (1 - k / n) / n)),
        )
        if n
        else None
        for g, (k, n) in enumerate(zip(hits, trials, strict=True))
    )


def gaps_to_overall(
    table: ConfusionTable, rate: Rate, *, confidence: float = 0.95
) -> tuple[Difference | None, ...]:
    """Return each group's rate minus the rate of all rows, with its interval.

    The whole is the group and the rest, so the gap is the difference between group and rest,
    which are independent, times the rest's share of the denominator: Newcombe's interval of that
    difference is scaled by this share, which counts as fixed.
    """
    hits, trials = parts(table, rate)
    all_hits, all_trials = int(hits.sum()), int(trials.sum())
    return tuple(
        _gap(int(k), int(n), all_hits, all_trials, confidence)
        for k, n in zip(hits, trials, strict=True)
    )


def disparity(table: ConfusionTable, name: Disparity) -> float:
    """Return one of fairlearn's disparities over all groups; NaN where no group has the rate."""
    return float(disparity_values(table.counts.reshape(1, table.n_groups, 4), name)[0])


def _gap(k: int, n: int, all_k: int, all_n: int, confidence: float) -> Difference | None:
    if n == 0:
        return None
    overall = all_k / all_n
    if n == all_n:
        return Difference(
            overall, overall, 0.0, 0.0, 0.0, confidence, n, 1.0, "the group is all rows", 0.0
        )
    apart = newcombe(k, n, all_k - k, all_n - n, confidence=confidence)
    share = (all_n - n) / all_n
    return Difference(
        first=k / n,
        second=overall,
        difference=k / n - overall,
        low=apart.low * share,
        high=apart.high * share,
        confidence=confidence,
        n=n,
        p_value=apart.p_value,
        method="Newcombe method 10 against the rest, scaled",
        std_error=apart.std_error * share,
    )


def count_cells(
    columns: Sequence[Bools], codes: npt.NDArray[np.signedinteger], n_groups: int
) -> Ints:
    """Count rows by group and the bits of ``columns``, the last one fastest."""
    width = 2 ** len(columns)
    # Small integers keep the pass within the cache; -1 becomes group 0 of a shifted table.
    cell_type = np.int16 if (n_groups + 1) * width < 2**15 else np.int64
    cells: npt.NDArray[np.signedinteger] = codes.astype(cell_type)
    cells += 1
    for column in columns:
        cells *= 2
        cells += column
    return np.bincount(cells, minlength=(n_groups + 1) * width)[width:]


def _parts(cells: npt.NDArray[np.generic], rate: Rate) -> tuple[Floats, Floats]:
    hit, trial = _CELLS[rate]
    columns = cells.astype(np.float64, copy=False)
    return columns[..., list(hit)].sum(axis=-1), columns[..., list(trial)].sum(axis=-1)


def values_of(cells: npt.NDArray[np.generic], rate: Rate) -> Floats:
    """Return a rate for cells (label, prediction) of shape (…, 4) as shape (…)."""
    hits, trials = _parts(cells, rate)
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: Floats = hits / trials
    return quotient


def disparity_values(cells: npt.NDArray[np.generic], name: Disparity) -> Floats:
    """Return a disparity for cells of shape (…, groups, 4) as shape (…)."""
    if name.startswith("demographic_parity"):
        spreads = [spread(values_of(cells, "selection_rate"))]
    else:
        spreads = [spread(values_of(cells, "tpr")), spread(values_of(cells, "fpr"))]
    differences, ratios = zip(*spreads, strict=True)
    combined: Floats
    if name.endswith("difference"):
        combined = np.fmax.reduce(differences)
    else:
        combined = np.fmin.reduce(ratios)
    return combined


def spread(by_group: Floats) -> tuple[Floats, Floats]:
    """Return largest less smallest, and smallest over largest, over the last axis."""
    low, high = np.fmin.reduce(by_group, axis=-1), np.fmax.reduce(by_group, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.where(high == 0, np.nan, low / high)
    return high - low, ratio
