"""Protected groups and their intersections, as codes by row."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Partition:
    """Rows divided by one attribute, or by several at once.

    Attributes:
        attributes: the attributes, in the policy's order.
        names: how each group is called: ``education=3`` or ``education=3 & sex=2``.
        codes: index into ``names`` by row, shape (rows,).
    """

    attributes: tuple[str, ...]
    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]

    @property
    def order(self) -> int:
        """1 for a single attribute, 2 for a pair …"""
        return len(self.attributes)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Rows by group."""
        return np.bincount(self.codes, minlength=len(self.names)).astype(np.int64)


def partitions(
    groups: Mapping[str, npt.NDArray[np.object_]], max_order: int
) -> tuple[Partition, ...]:
    """Return the partitions of every attribute, then of every pair … up to ``max_order``.

    Only groups with rows are named, in sorted order.
    """
    singles = [_single(label, values) for label, values in groups.items()]
    found: list[Partition] = list(singles)
    for order in range(2, min(max_order, len(singles)) + 1):
        found += [_crossed(chosen) for chosen in itertools.combinations(singles, order)]
    return tuple(found)


def _single(label: str, values: npt.NDArray[np.object_]) -> Partition:
    names, codes = np.unique(values.astype(str), return_inverse=True)
    return Partition(
        (label,), tuple(f"{label}={name}" for name in names), codes.astype(np.int64).reshape(-1)
    )


def _crossed(chosen: tuple[Partition, ...]) -> Partition:
    shape = tuple(len(part.names) for part in chosen)
    flat = np.ravel_multi_index(tuple(part.codes for part in chosen), shape)
    present, codes = np.unique(flat, return_inverse=True)
    members = np.unravel_index(present, shape)
    names = tuple(
        " & ".join(part.names[index] for part, index in zip(chosen, indices, strict=True))
        for indices in zip(*members, strict=True)
    )
    attributes = tuple(part.attributes[0] for part in chosen)
    return Partition(attributes, names, codes.astype(np.int64).reshape(-1))
