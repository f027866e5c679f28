"""What all shards say together: the counts and sums that gates read in the place of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
from pydantic import BaseModel, ConfigDict

from promotion_assets.evaluation.dataset import DatasetSummary
from promotion_assets.evaluation.large.counting import (
    Binning,
    CellPart,
    CellWork,
    Division,
    GapPart,
    GapWork,
    RowSource,
    TablePart,
    TableWork,
    settled,
)
from promotion_assets.evaluation.large.engine import Engine
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.statistics.checks import Floats, Ints
from promotion_assets.statistics.placements import BinnedTable, moments_of_table, placements_of
from promotion_assets.statistics.placements import Moments as RowMoments
from promotion_assets.statistics.running import Running
from promotion_assets.statistics.score_cells import CELLS, bins_of_cells

OVERALL_BINS = 65_536
GROUP_BINS = 8_192
FEWEST_BINS = 256
# A table of this many cells for each version and division; more groups get coarser bins.
TABLE_CELLS = 2**20


class Frozen(BaseModel):
    """Base of the values in this module."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Moments(Frozen):
    """A version's AUC on some rows; see ``statistics.placements.Moments``. ``None`` is unknown."""

    auc: float
    positive_variance: float | None
    negative_variance: float | None
    tolerance: float

    @classmethod
    def of(cls, found: RowMoments) -> Moments | None:
        """Return ``found``, or ``None`` where a class is absent."""
        if not math.isfinite(found.auc):
            return None
        return cls(
            auc=found.auc,
            positive_variance=_known(found.positive_variance),
            negative_variance=_known(found.negative_variance),
            tolerance=found.tolerance,
        )


class Mean(Frozen):
    """Mean of a metric over rows, and the standard deviation (``n - 1``) of its values."""

    mean: float
    deviation: float | None


class PairedMeans(Frozen):
    """A metric of single rows: candidate, champion, and the row-wise difference."""

    candidate: Mean
    champion: Mean | None
    difference: Mean | None


class GroupTally(Frozen):
    """What is known of one group of rows, or of all.

    Attributes:
        gap_squares: sums of squared differences between the versions' placements about their
            mean, over negatives and over positives.
        changed: whether the versions place any row differently.
        joint: sums over negatives and over positives of the candidate's placement in the group
            times that among all rows, both about their means.
        decisions: by threshold, rows by label, candidate's and champion's prediction, the last one
            fastest: eight counts.
        means: by metric.
    """

    name: str
    attributes: tuple[str, ...]
    rows: int
    positives: int
    candidate: Moments | None = None
    champion: Moments | None = None
    gap_squares: tuple[float, float] | None = None
    changed: bool = False
    joint: tuple[float, float] | None = None
    decisions: Mapping[str, tuple[int, ...]] = {}
    means: Mapping[str, PairedMeans] = {}


class Asked(Frozen):
    """What the gates will want to know.

    Attributes:
        auc: whether the AUC (binary).
        thresholds: probabilities from which a row is predicted positive.
        metrics: metrics that are means over rows.
        max_order: how many attributes are crossed.
    """

    auc: bool = True
    thresholds: tuple[float, ...] = ()
    metrics: tuple[str, ...] = ()
    max_order: int = 1


class ScoreTally(Frozen):
    """All that gates read of answers to rows that nobody holds.

    Attributes:
        groups: all rows first, then by division, groups without rows left out.
        candidate_sha256, champion_sha256: of the answers that were counted.
    """

    dataset_digest: str
    model_digest: str
    champion_digest: str | None
    candidate_sha256: str
    champion_sha256: str | None
    rows: int
    shard_rows: int
    asked: Asked
    groups: tuple[GroupTally, ...]

    @property
    def overall(self) -> GroupTally:
        """All rows."""
        return self.groups[0]


def threshold_key(threshold: float) -> str:
    """Return a threshold as it is written in :attr:`GroupTally.decisions`."""
    return repr(float(threshold))


def tally(
    engine: Engine,
    source: RowSource,
    summary: DatasetSummary,
    asked: Asked,
    *,
    shards: Sequence[Shard],
    shard_rows: int,
) -> ScoreTally:
    """Count the stored answers of both versions against labels and groups.

    Raises:
        IntegrityError: rows or answers are not what they were.
    """
    for reader in (source.own, source.theirs):
        if reader is not None:
            reader.verify()
    divisions = tuple(_divisions(source, asked.max_order))
    cells = _cells(engine, source, shards) if asked.auc else None
    binning = tuple(_binning(cells, divisions)) if cells else ()
    thresholds = tuple(dict.fromkeys(asked.thresholds))
    work = TableWork(source, divisions, binning, thresholds, tuple(dict.fromkeys(asked.metrics)))
    tables = reduce(_add_tables, engine.count(work, shards))
    if int(tables.sizes[0].sum()) != summary.rows:
        raise settled(f"{int(tables.sizes[0].sum())} of {summary.rows} rows were counted")
    placed = _Placed.of(tables) if asked.auc else None
    gaps = None
    if placed is not None:
        gaps = reduce(_add_gaps, engine.count(_gap_work(source, work, placed), shards))
    own, theirs = source.own.scores, source.theirs.scores if source.theirs else None
    return ScoreTally(
        dataset_digest=summary.digest,
        model_digest=own.model_digest,
        champion_digest=theirs.model_digest if theirs else None,
        candidate_sha256=own.sha256,
        champion_sha256=theirs.sha256 if theirs else None,
        rows=summary.rows,
        shard_rows=shard_rows,
        asked=asked,
        groups=tuple(_groups(divisions, tables, placed, gaps)),
    )


def _divisions(source: RowSource, max_order: int) -> Iterator[Division]:
    labels = [group.label for group in source.groups]
    for order in range(min(max_order, len(labels)) + 1):
        for chosen in combinations(labels, order):
            yield Division(chosen, tuple(source.names[label] for label in chosen))


def _cells(engine: Engine, source: RowSource, shards: Sequence[Shard]) -> tuple[Ints, Ints | None]:
    own = np.zeros((CELLS, 2), dtype=np.int64)
    theirs = None if source.theirs is None else np.zeros((CELLS, 2), dtype=np.int64)
    parts: Iterable[CellPart] = engine.count(CellWork(source), shards)
    for part in parts:
        part.own.add_to(own)
        if theirs is not None and part.theirs is not None:
            part.theirs.add_to(theirs)
    return own, theirs


def _binning(cells: tuple[Ints, Ints | None], divisions: Sequence[Division]) -> Iterator[Binning]:
    known: dict[int, Binning] = {}
    for division in divisions:
        bins = OVERALL_BINS
        if division.attributes:
            bins = min(GROUP_BINS, max(FEWEST_BINS, TABLE_CELLS // division.size))
        if bins not in known:
            theirs = None if cells[1] is None else bins_of_cells(cells[1], bins)[0]
            known[bins] = Binning(bins_of_cells(cells[0], bins)[0], theirs, bins)
        yield known[bins]


@dataclass(frozen=True)
class _Placed:
    """Placements and moments of each division, as pass 2 settled them."""

    own: tuple[Floats, ...]
    theirs: tuple[Floats, ...] | None
    own_moments: tuple[list[RowMoments], ...]
    their_moments: tuple[list[RowMoments], ...] | None

    @classmethod
    def of(cls, tables: TablePart) -> _Placed:
        """Return the tables with their cells at their places."""
        assert tables.own is not None
        own = [_placed(counts) for counts in tables.own]
        theirs = None if tables.theirs is None else [_placed(counts) for counts in tables.theirs]
        return cls(
            own=tuple(placements for placements, _ in own),
            theirs=None if theirs is None else tuple(placements for placements, _ in theirs),
            own_moments=tuple(moments for _, moments in own),
            their_moments=None if theirs is None else tuple(moments for _, moments in theirs),
        )


def _placed(counts: Ints) -> tuple[Floats, list[RowMoments]]:
    exact = counts.astype(np.float64)
    placements = placements_of(exact)
    no_cells = np.empty(0, dtype=np.intp)
    return placements, moments_of_table(BinnedTable(no_cells, exact, placements))


def _gap_work(source: RowSource, work: TableWork, placed: _Placed) -> GapWork:
    areas = tuple(np.nan_to_num([m.auc for m in moments]) for moments in placed.own_moments)
    means: tuple[Floats, ...] = ()
    if placed.their_moments is not None:
        means = tuple(
            np.nan_to_num([a.auc - b.auc for a, b in zip(own, theirs, strict=True)])
            for own, theirs in zip(placed.own_moments, placed.their_moments, strict=True)
        )
    return GapWork(source, work.divisions, work.binning, placed.own, placed.theirs, areas, means)


def _add_tables(whole: TablePart, part: TablePart) -> TablePart:
    return TablePart(
        sizes=_sums(whole.sizes, part.sizes),
        own=None if whole.own is None or part.own is None else _sums(whole.own, part.own),
        theirs=None
        if whole.theirs is None or part.theirs is None
        else _sums(whole.theirs, part.theirs),
        decisions={t: _sums(whole.decisions[t], part.decisions[t]) for t in whole.decisions},
        means={
            metric: tuple(
                tuple(
                    (a[0].merged(b[0]), a[1].merged(b[1]), a[2].merged(b[2]))
                    for a, b in zip(one, other, strict=True)
                )
                for one, other in zip(whole.means[metric], part.means[metric], strict=True)
            )
            for metric in whole.means
        },
    )


def _sums(whole: tuple[Ints, ...], part: tuple[Ints, ...]) -> tuple[Ints, ...]:
    return tuple(a + b for a, b in zip(whole, part, strict=True))


def _add_gaps(whole: GapPart, part: GapPart) -> GapPart:
    return GapPart(
        squares=tuple(a + b for a, b in zip(whole.squares, part.squares, strict=True)),
        changed=tuple(a | b for a, b in zip(whole.changed, part.changed, strict=True)),
        joint=tuple(a + b for a, b in zip(whole.joint, part.joint, strict=True)),
    )


def _groups(
    divisions: Sequence[Division],
    tables: TablePart,
    placed: _Placed | None,
    gaps: GapPart | None,
) -> Iterator[GroupTally]:
    for at, division in enumerate(divisions):
        for g, (negatives, positives) in enumerate(tables.sizes[at].tolist()):
            if negatives + positives == 0:
                continue
            found = GroupTally(
                name=division.name(g) if division.attributes else "overall",
                attributes=division.attributes,
                rows=negatives + positives,
                positives=positives,
                decisions={
                    threshold_key(t): tuple(counts[at][g].reshape(-1).tolist())
                    for t, counts in tables.decisions.items()
                },
                means={metric: _means(by[at][g]) for metric, by in tables.means.items()},
            )
            yield found if placed is None or gaps is None else _with_auc(found, at, g, placed, gaps)


def _with_auc(found: GroupTally, at: int, g: int, placed: _Placed, gaps: GapPart) -> GroupTally:
    theirs = placed.their_moments
    return found.model_copy(
        update={
            "candidate": Moments.of(placed.own_moments[at][g]),
            "champion": None if theirs is None else Moments.of(theirs[at][g]),
            "gap_squares": tuple(gaps.squares[at][g].tolist()) if gaps.squares else None,
            "changed": bool(gaps.changed[at][g]) if gaps.changed else False,
            "joint": tuple(gaps.joint[at][g].tolist()),
        }
    )


def _means(found: tuple[Running, Running, Running]) -> PairedMeans:
    own, theirs, gap = found
    return PairedMeans(
        candidate=_mean(own),
        champion=_mean(theirs) if theirs.n else None,
        difference=_mean(gap) if gap.n else None,
    )


def _mean(found: Running) -> Mean:
    return Mean(mean=found.mean, deviation=_known(found.deviation))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


__all__ = [
    "Asked",
    "GroupTally",
    "Mean",
    "Moments",
    "PairedMeans",
    "ScoreTally",
    "tally",
    "threshold_key",
]
