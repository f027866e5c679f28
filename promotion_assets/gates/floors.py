"""Groups that are too small to say anything about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.gates.contract import Measurement, Outcome
from promotion_assets.gates.partitions import Partition


@dataclass(frozen=True)
class Floor:
    """How many rows a group must have, and of each class where the model is binary."""

    min_rows: int
    min_per_class: int
    binary: bool

    def large_enough(self, part: Partition, labels: npt.NDArray[np.generic]) -> list[int]:
        """Return the codes of the groups that are not under the floor."""
        return self.large(part.sizes, self.rarer(part, labels))

    def large(self, sizes: npt.NDArray[np.int64], rarer: npt.NDArray[np.int64]) -> list[int]:
        """Return which of the groups of these sizes are not under the floor.

        Args:
            sizes: rows by group.
            rarer: rows of the rarer class by group.
        """
        return [
            g
            for g in range(len(sizes))
            if sizes[g] >= self.min_rows and (not self.binary or rarer[g] >= self.min_per_class)
        ]

    def rarer(self, part: Partition, labels: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        """Return the rows of the rarer class by group, shape (groups,)."""
        truth = np.asarray(labels) == 1
        positives = np.bincount(part.codes[truth], minlength=len(part.names))
        rarer: npt.NDArray[np.int64] = np.minimum(positives, part.sizes - positives)
        return rarer


def below_floor(
    names: Sequence[str],
    sizes: npt.NDArray[np.int64],
    rarer: npt.NDArray[np.int64],
    floor: Floor,
) -> Iterator[Measurement]:
    """Yield one inconclusive measurement for every group under the floor.

    The sample that is needed assumes the group's own mix of classes; without any row of the
    rarer class there is no such figure.
    """
    large = set(floor.large(sizes, rarer))
    for g, name in enumerate(names):
        if g in large:
            continue
        rows, few = int(sizes[g]), int(rarer[g])
        needed: int | None = floor.min_rows
        words = f"{rows} rows"
        if floor.binary:
            words += f", {few} of the rarer class"
            by_class = math.ceil(floor.min_per_class * rows / few) if few else None
            needed = max(floor.min_rows, by_class) if by_class else None
        yield Measurement(
            name="group_rows",
            subject=name,
            observed=float(rows),
            limit=float(floor.min_rows),
            direction="min",
            sample_size=rows,
            needed_sample_size=needed,
            outcome=Outcome.INCONCLUSIVE,
            reason=f"{words}: {name} is too small to judge; "
            + (f"about {needed:,} rows would do" if needed else "it has one class only"),
        )
