"""What one shard says of labels, groups and answers: three passes, each a piece of work to send.

1. :class:`CellWork`: both versions' answers by fine cell and class;
2. :class:`TableWork`: by group, bin and class, for bins that pass 1 settled; decisions at each
   threshold; means of metrics of single rows;
3. :class:`GapWork`: sums over rows of what candidate and champion place differently, for
   placements that pass 2 settled.

Nothing of a model is loaded here: labels meet answers only on this side of the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.large.score_file import ScoreReader
from promotion_assets.evaluation.large.shards import Shard, Snapshot
from promotion_assets.policy.model import Group, Task
from promotion_assets.statistics.checks import Bools, Floats, Ints
from promotion_assets.statistics.placements import BinnedTable, gap_squares
from promotion_assets.statistics.running import Running
from promotion_assets.statistics.score_cells import CellCounts, Cells, cells_of, count_cells

if TYPE_CHECKING:
    import pandas as pd

Codes = npt.NDArray[np.int64]
# Clipped as scikit-learn does, so that one certain and wrong answer stays finite.
SMALLEST = float(np.finfo(np.float64).eps)

Labels = npt.NDArray[np.generic]
ROW_METRICS: Mapping[tuple[str, Task], Callable[[Floats, Floats], Floats]] = {
    ("neg_brier_score", "binary"): lambda y, v: -((v - y) ** 2),
    ("neg_log_loss", "binary"): lambda y, v: np.log(
        np.clip(np.where(y == 1, v, 1 - v), SMALLEST, 1.0)
    ),
    ("neg_mean_absolute_error", "regression"): lambda y, v: -np.abs(v - y),
    ("neg_mean_squared_error", "regression"): lambda y, v: -((v - y) ** 2),
}
"""What a metric is the mean of over rows."""


@dataclass(frozen=True)
class Division:
    """Rows divided by attributes; by none it is all rows.

    Attributes:
        attributes: their labels.
        names: the values of each attribute, in the order of their codes; the last is fastest.
    """

    attributes: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    @property
    def size(self) -> int:
        """Number of groups, empty ones included."""
        return int(np.prod([len(names) for names in self.names], dtype=np.int64))

    def codes(self, by_attribute: Mapping[str, Codes], rows: int) -> Codes:
        """Return the group of each row."""
        codes = np.zeros(rows, dtype=np.int64)
        for attribute, names in zip(self.attributes, self.names, strict=True):
            codes = codes * len(names) + by_attribute[attribute]
        return codes

    def name(self, code: int) -> str:
        """Return how a group is called: ``education=3 & sex=2``."""
        places = np.unravel_index(code, [len(names) for names in self.names])
        return " & ".join(
            f"{attribute}={names[int(place)]}"
            for attribute, names, place in zip(self.attributes, self.names, places, strict=True)
        )


@dataclass(frozen=True)
class Rows:
    """One shard in memory.

    Attributes:
        labels: 0/1 (binary) or numbers, as float64.
        groups: codes by attribute.
        own, theirs: the answers of candidate and champion.
        truth: whether each row is positive; never in a regression.
    """

    labels: Floats
    groups: Mapping[str, Codes]
    own: Floats
    theirs: Floats | None
    truth: Bools


@dataclass(frozen=True)
class RowSource:
    """Where the rows of a shard are read from, on any machine.

    Attributes:
        names: the values of each attribute, as the dataset's description lists them.
    """

    snapshot: Snapshot
    task: Task
    label: str
    positive: JsonValue
    groups: tuple[Group, ...]
    names: Mapping[str, tuple[str, ...]]
    own: ScoreReader
    theirs: ScoreReader | None

    def read(self, shard: Shard, *, groups: bool = True) -> Rows:
        """Return the rows of ``shard``.

        Raises:
            IntegrityError: rows or answers are not what they were.
        """
        asked = self.groups if groups else ()
        columns = list(dict.fromkeys([self.label, *(g.column for g in asked)]))
        frame = self.snapshot.read(shard, columns).to_pandas()
        column = frame[self.label]
        if self.task == "binary":
            labels = np.asarray(column == self.positive, dtype=np.float64)
        else:
            labels = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if column.isna().any() or not np.isfinite(labels).all():
            raise self.snapshot.changed(f"shard {shard.number} has rows without a label")
        return Rows(
            labels=labels,
            groups={group.label: self._codes(frame, group) for group in asked},
            own=self.own.read(shard),
            theirs=self.theirs.read(shard) if self.theirs else None,
            truth=(labels == 1.0) & (self.task == "binary"),
        )

    def _codes(self, frame: pd.DataFrame, group: Group) -> Codes:
        from promotion_assets.evaluation.grouping import group_codes

        codes, names = group_codes(frame, group)
        order = {name: code for code, name in enumerate(self.names[group.label])}
        unknown = [n for c, n in enumerate(names) if n not in order and (codes == c).any()]
        if unknown:
            raise self.snapshot.changed(f"{group.label} has a value {unknown[0]!r}")
        lookup = np.array([order.get(name, 0) for name in names], dtype=np.int64)
        return lookup[codes]


@dataclass(frozen=True)
class CellPart:
    """Answers by cell and class, of candidate and champion."""

    own: CellCounts
    theirs: CellCounts | None


@dataclass(frozen=True)
class CellWork:
    """Pass 1."""

    source: RowSource

    def __call__(self, shard: Shard) -> CellPart:
        """Count one shard."""
        rows = self.source.read(shard, groups=False)
        theirs = None if rows.theirs is None else count_cells(cells_of(rows.theirs), rows.truth)
        return CellPart(count_cells(cells_of(rows.own), rows.truth), theirs)


@dataclass(frozen=True)
class Binning:
    """The bin of each cell, for candidate and champion, and how many there are."""

    own: Cells
    theirs: Cells | None
    bins: int


@dataclass(frozen=True)
class TablePart:
    """What pass 2 finds, by division.

    Attributes:
        sizes: rows by group and class, shape (groups, 2).
        own, theirs: by group, bin and class, shape (groups, bins, 2); ``None`` where no AUC is
            asked for.
        decisions: by threshold: shape (groups, 2, 2, 2), by group, label, and what candidate and
            champion predict.
        means: by metric: candidate, champion, and the row-wise difference, by group.
    """

    sizes: tuple[Ints, ...]
    own: tuple[Ints, ...] | None
    theirs: tuple[Ints, ...] | None
    decisions: Mapping[float, tuple[Ints, ...]]
    means: Mapping[str, tuple[tuple[tuple[Running, Running, Running], ...], ...]]


@dataclass(frozen=True)
class TableWork:
    """Pass 2.

    Attributes:
        binning: of each division; empty where no AUC is asked for.
    """

    source: RowSource
    divisions: tuple[Division, ...]
    binning: tuple[Binning, ...]
    thresholds: tuple[float, ...]
    metrics: tuple[str, ...]

    def __call__(self, shard: Shard) -> TablePart:
        """Count one shard."""
        rows = self.source.read(shard)
        codes = [d.codes(rows.groups, len(rows.labels)) for d in self.divisions]
        own, theirs = rows.own, rows.theirs
        return TablePart(
            sizes=tuple(
                _counted(c, d.size, rows.truth, 2)
                for c, d in zip(codes, self.divisions, strict=True)
            ),
            own=self._tables(rows, codes, own, "own"),
            theirs=None if theirs is None else self._tables(rows, codes, theirs, "theirs"),
            decisions={t: self._decisions(rows, codes, t) for t in self.thresholds},
            means={m: self._means(rows, codes, m) for m in self.metrics},
        )

    def _tables(
        self, rows: Rows, codes: list[Codes], answers: Floats, who: str
    ) -> tuple[Ints, ...] | None:
        if not self.binning:
            return None
        cells = cells_of(answers)
        return tuple(
            _counted(
                code, d.size, 2 * getattr(b, who).take(cells) + rows.truth, 2 * b.bins
            ).reshape(d.size, b.bins, 2)
            for code, d, b in zip(codes, self.divisions, self.binning, strict=True)
        )

    def _decisions(self, rows: Rows, codes: list[Codes], threshold: float) -> tuple[Ints, ...]:
        cell = 4 * rows.truth.astype(np.int64) + 2 * (rows.own >= threshold)
        if rows.theirs is not None:
            cell += rows.theirs >= threshold
        return tuple(
            _counted(code, d.size, cell, 8).reshape(d.size, 2, 2, 2)
            for code, d in zip(codes, self.divisions, strict=True)
        )

    def _means(
        self, rows: Rows, codes: list[Codes], metric: str
    ) -> tuple[tuple[tuple[Running, Running, Running], ...], ...]:
        measure = ROW_METRICS[metric, self.source.task]
        own = measure(rows.labels, rows.own)
        theirs = np.empty(0) if rows.theirs is None else measure(rows.labels, rows.theirs)
        gap = np.empty(0) if rows.theirs is None else own - theirs
        found = []
        for code, division in zip(codes, self.divisions, strict=True):
            if division.size == 1:
                parts = [np.arange(len(own))]
            else:
                order = np.argsort(code, kind="stable")
                ends = np.cumsum(np.bincount(code, minlength=division.size))
                parts = np.split(order, ends[:-1])
            found.append(
                tuple(
                    (
                        Running.of(own[part]),
                        Running.of(theirs[part] if len(theirs) else theirs),
                        Running.of(gap[part] if len(gap) else gap),
                    )
                    for part in parts
                )
            )
        return tuple(found)


@dataclass(frozen=True)
class GapPart:
    """What pass 3 finds, by division.

    Attributes:
        squares: sums of squared differences of placements about their means, by class, shape
            (groups, 2); empty without a champion.
        changed: whether any row of the group is placed differently, shape (groups,).
        joint: sums over rows of the candidate's placement in the group times that among all rows,
            both about their means, by class, shape (groups, 2).
    """

    squares: tuple[Floats, ...]
    changed: tuple[Bools, ...]
    joint: tuple[Floats, ...]


@dataclass(frozen=True)
class GapWork:
    """Pass 3.

    Attributes:
        own, theirs: placements of each division, shape (groups, bins, 2).
        areas: the candidate's AUC by group, of each division.
        means: of the differences of placements, by group, of each division.
    """

    source: RowSource
    divisions: tuple[Division, ...]
    binning: tuple[Binning, ...]
    own: tuple[Floats, ...]
    theirs: tuple[Floats, ...] | None
    areas: tuple[Floats, ...]
    means: tuple[Floats, ...]

    def __call__(self, shard: Shard) -> GapPart:
        """Sum up one shard."""
        rows = self.source.read(shard)
        truth = rows.truth
        own_cells = cells_of(rows.own)
        their_cells = None if rows.theirs is None else cells_of(rows.theirs)
        squares: list[Floats] = []
        changed: list[Bools] = []
        joint: list[Floats] = []
        overall: Floats | None = None
        for at, division in enumerate(self.divisions):
            codes = division.codes(rows.groups, len(truth))
            binning = self.binning[at]
            own = _table(self.own[at], codes, binning.own.take(own_cells), truth)
            placed = self.own[at].reshape(-1)[own.cells] - self.areas[at][codes]
            overall = placed if overall is None else overall
            key = 2 * codes + truth
            sums = np.bincount(key, weights=placed * overall, minlength=2 * division.size)
            joint.append(sums.reshape(-1, 2).astype(np.float64))
            if self.theirs is not None and binning.theirs is not None and their_cells is not None:
                theirs = _table(self.theirs[at], codes, binning.theirs.take(their_cells), truth)
                spread, moved = gap_squares(
                    truth, (own, theirs), codes if division.size > 1 else None, self.means[at]
                )
                squares.append(spread)
                changed.append(moved)
        return GapPart(tuple(squares), tuple(changed), tuple(joint))


def _table(placements: Floats, codes: Codes, bins: Cells, truth: Bools) -> BinnedTable:
    """Return the settled placements with the places of these rows in them."""
    groups, size, _ = placements.shape
    cells = ((codes * size + bins) * 2 + truth).astype(np.intp)
    return BinnedTable(cells, np.empty((groups, 0, 2)), np.nan_to_num(placements))


def _counted(codes: Codes, groups: int, values: npt.NDArray[np.generic], width: int) -> Ints:
    """Count rows by group and value, shape (groups, width)."""
    flat = codes * width + values.astype(np.int64)
    return np.bincount(flat, minlength=groups * width).reshape(groups, width)


def settled(problem: str) -> IntegrityError:
    """Return the error for counts that contradict each other."""
    return IntegrityError(
        "counting answers shard by shard",
        problem,
        "evaluate the version again; if it stays, the store is being written to by somebody else",
    )
