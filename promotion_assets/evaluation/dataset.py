"""Evaluation dataset versions: immutable snapshots of labelled rows, named by their content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from promotion_assets.evaluation.contract import Column

if TYPE_CHECKING:
    # Half a second to import; gates name the type, and whoever reads a policy imports the gates.
    import pandas as pd


class DatasetSummary(BaseModel):
    """What a person wants to know of a dataset version.

    Attributes:
        digest: SHA-256 over every byte of the canonical columns.
        label_rate: share of positives (binary), else ``None``.
        group_sizes: rows by attribute and group.
        group_positives: positives by attribute and group (binary).
        time_range: first and last timestamp, ISO, where the policy names a time column.
        problems: checks that failed, in sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    uri: str
    rows: int
    columns: tuple[Column, ...]
    label_rate: float | None = None
    group_sizes: Mapping[str, Mapping[str, int]] = {}
    group_positives: Mapping[str, Mapping[str, int]] = {}
    time_range: tuple[str, str] | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationDataset:
    """An evaluation dataset version in memory.

    Attributes:
        summary: its description, with the digest.
        path: the snapshot, one Parquet file in the store.
        frame: all rows and columns.
        labels: binary: 0/1 as int64; multiclass: codes into ``classes``; regression: float64.
        classes: the label values in order, multiclass only.
        features: names of the columns that models are given.
        groups: for each protected attribute (and no intersections), group names by row,
            dtype object, shape (rows,).
        streamed: rows stay in the file, because they may be more than memory holds. ``frame`` is
            then a sample of them, ``labels`` and ``groups`` are empty, so that nothing that
            needs every row can take the sample for the whole.
    """

    summary: DatasetSummary
    path: Path
    frame: pd.DataFrame
    labels: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    groups: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    streamed: bool = False

    @property
    def digest(self) -> str:
        """The dataset version's name."""
        return self.summary.digest

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.summary.rows
