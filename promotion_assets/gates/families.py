"""Groups of one division of the rows, and what each of them loses: from rows, or from a tally."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from promotion_assets.evaluation.large.tally import GroupTally, ScoreTally
from promotion_assets.gates import tallied
from promotion_assets.gates.floors import Floor
from promotion_assets.gates.group_losses import (
    How,
    Loss,
    Measure,
    behind,
    fallen_behind,
    losses,
    lost,
    of_decisions,
)
from promotion_assets.gates.partitions import Partition, partitions
from promotion_assets.gates.scored import Answers
from promotion_assets.statistics.groups import ConfusionTable

Sizes = npt.NDArray[np.int64]


class Family(Protocol):
    """The groups of one attribute, or of several at once.

    Attributes:
        order: 1 for a single attribute, 2 for a pair …
        names: how each group is called.
        sizes: rows by group.
        rarer: rows of the rarer class by group (binary).
    """

    @property
    def order(self) -> int: ...  # noqa: D102

    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def sizes(self) -> Sizes: ...  # noqa: D102

    @property
    def rarer(self) -> Sizes: ...  # noqa: D102

    def losses(
        self, measure: Measure, judged: Sequence[int], how: How, confidence: float
    ) -> dict[int, Loss]:
        """Return the loss of every group in ``judged`` for which it is defined, by its code."""


@dataclass(frozen=True)
class RowFamily:
    """Groups of rows that are held; see :class:`Family`."""

    part: Partition
    given: Answers
    floor: Floor

    @property
    def order(self) -> int:
        """Number of attributes."""
        return self.part.order

    @property
    def names(self) -> Sequence[str]:
        """Names by code."""
        return self.part.names

    @property
    def sizes(self) -> Sizes:
        """Rows by code."""
        return self.part.sizes

    @property
    def rarer(self) -> Sizes:
        """Rows of the rarer class by code."""
        return self.floor.rarer(self.part, self.given.labels)

    def losses(
        self, measure: Measure, judged: Sequence[int], how: How, confidence: float
    ) -> dict[int, Loss]:
        """See :class:`Family`."""
        return losses(measure, self.part, judged, self.given, how, confidence)


@dataclass(frozen=True)
class TallyFamily:
    """Groups of rows that were counted; see :class:`Family`."""

    groups: tuple[GroupTally, ...]
    overall: GroupTally

    @property
    def order(self) -> int:
        """Number of attributes."""
        return len(self.groups[0].attributes)

    @property
    def names(self) -> Sequence[str]:
        """Names by code."""
        return [group.name for group in self.groups]

    @property
    def sizes(self) -> Sizes:
        """Rows by code."""
        return np.array([group.rows for group in self.groups], dtype=np.int64)

    @property
    def rarer(self) -> Sizes:
        """Rows of the rarer class by code."""
        return np.array([min(g.positives, g.rows - g.positives) for g in self.groups])

    def losses(
        self, measure: Measure, judged: Sequence[int], how: How, confidence: float
    ) -> dict[int, Loss]:
        """See :class:`Family`."""
        if measure == "drop_vs_champion":
            return self._drops(judged, how, confidence)
        if measure == "gap_to_overall":
            return self._gaps(judged, how, confidence)
        counts = np.stack([tallied.confusion(group, how.threshold) for group in self.groups])
        return of_decisions(measure, ConfusionTable(counts), judged, how, confidence)

    def _drops(self, judged: Sequence[int], how: How, confidence: float) -> dict[int, Loss]:
        found = {}
        for g in judged:
            group = self.groups[g]
            if how.metric == "roc_auc":
                drop = tallied.auc_difference(group, confidence, turned=True)
                if drop is not None:
                    found[g] = lost(drop)
            else:
                found[g] = lost(
                    tallied.compare(group, how.metric, how.threshold, confidence, turned=True)
                )
        return found

    def _gaps(self, judged: Sequence[int], how: How, confidence: float) -> dict[int, Loss]:
        found = {}
        for g in judged:
            group = self.groups[g]
            if how.metric == "roc_auc":
                gap = tallied.auc_gap(group, self.overall, confidence)
                if gap is not None:
                    found[g] = fallen_behind(gap)
            else:
                whole, own = (
                    tallied.estimate(one, how.metric, how.threshold, confidence)
                    for one in (self.overall, group)
                )
                found[g] = behind(whole, own)
        return found


def families_of_rows(
    groups: Mapping[str, npt.NDArray[np.object_]], given: Answers, floor: Floor, max_order: int
) -> tuple[Family, ...]:
    """Return every attribute, then every pair … of rows that are held."""
    return tuple(RowFamily(part, given, floor) for part in partitions(groups, max_order))


def families_of_tally(
    labels: Sequence[str], counted: ScoreTally, max_order: int
) -> tuple[Family, ...]:
    """Return every attribute of ``labels``, then every pair … of rows that were counted."""
    by_division = itertools.groupby(counted.groups, key=lambda group: group.attributes)
    return tuple(
        TallyFamily(tuple(groups), counted.overall)
        for attributes, groups in by_division
        if 1 <= len(attributes) <= max_order and set(attributes) <= set(labels)
    )
