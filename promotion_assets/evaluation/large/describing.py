"""What a person and the policy want to know of rows, gathered while they pass."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.dataset_checks import times_of
from promotion_assets.evaluation.grouping import expected_names, group_codes
from promotion_assets.evaluation.labels import labels_of
from promotion_assets.policy.model import ModelPolicy

MOST_GROUPS = 10_000
MOST_LABELS = 100
BUCKETS = 64


class Described:
    """Counts over all rows that :meth:`add` was given.

    Attributes:
        rows: how many.
        positives: rows with the positive label (binary).
        group_sizes, group_positives: as in ``DatasetSummary``.
    """

    def __init__(self, policy: ModelPolicy, *, model: str, scratch: Path) -> None:
        self.policy = policy
        self.model = model
        self.rows = 0
        self.positives = 0
        self.group_sizes: dict[str, Counter[str]] = {g.label: Counter() for g in policy.groups}
        self.group_positives: dict[str, Counter[str]] = {g.label: Counter() for g in policy.groups}
        self._values: set[Any] = set()
        self._time: tuple[pd.Timestamp, pd.Timestamp] | None = None
        self._timeless = 0
        self._ids = _Ids(scratch) if policy.dataset.id else None

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of one batch; see :meth:`columns` for what it must hold.

        Raises:
            EvidenceMissing: a label is missing, or is one that cannot be judged on.
        """
        dataset = self.policy.dataset
        frame = pa.Table.from_batches([batch]).to_pandas()
        truth = self._labels(batch.column(dataset.label), frame[dataset.label])
        for group in self.policy.groups:
            self._count_groups(frame, group.label, truth)
        if dataset.time:
            moments = times_of(frame, dataset.time)
            self._timeless += int(moments.isna().sum())
            present = moments.dropna()
            if len(present):
                low, high = present.min(), present.max()
                known = self._time or (low, high)
                self._time = (min(known[0], low), max(known[1], high))
        if self._ids is not None:
            self._ids.add(frame[dataset.id])
        self.rows += len(frame)

    def columns(self) -> tuple[str, ...]:
        """Return the columns that are looked at, each once."""
        dataset = self.policy.dataset
        named = [dataset.label, dataset.id, dataset.time, *(g.column for g in self.policy.groups)]
        return tuple(dict.fromkeys(name for name in named if name))

    def settle(self) -> None:
        """Check what only all labels together show.

        Raises:
            EvidenceMissing: there is one class only, or never the positive one.
        """
        if self.policy.task == "regression":
            return
        # The words and the rules of rows in memory, on one row for each label that occurs.
        label = self.policy.dataset.label
        labels_of(pd.DataFrame({label: list(self._values)}), self.policy, model=self.model)

    @property
    def label_rate(self) -> float | None:
        """Share of positives (binary)."""
        return self.positives / self.rows if self.policy.task == "binary" else None

    @property
    def time_range(self) -> tuple[str, str] | None:
        """First and last moment, ISO."""
        return (self._time[0].isoformat(), self._time[1].isoformat()) if self._time else None

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with rows that can be judged all the same, in sentences."""
        dataset, model = self.policy.dataset, self.model
        if self.rows < dataset.min_rows:
            yield f"{model}: {self.rows} rows, fewer than the {dataset.min_rows} of the policy"
        rate = self.label_rate
        if rate is not None and dataset.label_rate:
            low, high = dataset.label_rate
            if not low <= rate <= high:
                yield (
                    f"{model}: {rate:.2%} of label column {dataset.label!r} are positive, "
                    f"outside {low:.2%} to {high:.2%}"
                )
        for group in self.policy.groups:
            sizes = {**dict.fromkeys(expected_names(group), 0), **self.group_sizes[group.label]}
            for name, rows in sizes.items():
                if rows < max(dataset.min_group_rows, 1):
                    yield (
                        f"{model}: group {group.label}={name} (column {group.column!r}) has "
                        f"{rows} rows, fewer than the {dataset.min_group_rows} of the policy"
                    )
        if self._timeless:
            yield (
                f"{model}: time column {dataset.time!r} holds no moment in {self._timeless} rows"
            )
        if self._ids is not None:
            repeated, missing = self._ids.counted()
            if repeated:
                yield f"{model}: id column {dataset.id!r} repeats {repeated} times"
            if missing:
                yield f"{model}: id column {dataset.id!r} is missing in {missing} rows"

    def _labels(self, values: pa.Array, column: pd.Series[Any]) -> np.typing.NDArray[np.bool_]:
        doing = f"Reading the labels of {self.model}'s evaluation dataset"
        absent = column.isna().to_numpy()
        if absent.any():
            raise EvidenceMissing(
                doing,
                f"label column {column.name!r} is missing (NaN or null), first in row "
                f"{self.rows + int(absent.argmax())}",
                "drop the rows that have no label yet, or complete them",
            )
        if self.policy.task == "regression":
            labels_of(column.to_frame(), self.policy, model=self.model)
            return np.zeros(len(column), dtype=np.bool_)
        self._values.update(pc.unique(values).to_pylist())
        if len(self._values) > MOST_LABELS:
            raise EvidenceMissing(
                doing,
                f"label column {column.name!r} has more than {MOST_LABELS} values for a "
                f"{self.policy.task} task",
                "correct the labels, or set the task that they are of",
            )
        truth = np.asarray(column == self.policy.dataset.positive, dtype=np.bool_)
        self.positives += int(truth.sum())
        return truth

    def _count_groups(
        self, frame: pd.DataFrame, label: str, truth: np.typing.NDArray[np.bool_]
    ) -> None:
        group = next(g for g in self.policy.groups if g.label == label)
        codes, names = group_codes(frame, group, model=self.model)
        sizes = np.bincount(codes, minlength=len(names))
        positives = np.bincount(codes[truth], minlength=len(names))
        for name, rows, hits in zip(names, sizes.tolist(), positives.tolist(), strict=True):
            if rows:
                self.group_sizes[label][name] += rows
                self.group_positives[label][name] += hits
        if len(self.group_sizes[label]) > MOST_GROUPS:
            raise EvidenceMissing(
                f"Grouping the evaluation rows of {self.model} by {label}",
                f"column {group.column!r} has more than {MOST_GROUPS:,} values",
                "cut it into bands in the policy, or name a coarser column",
            )


class _Ids:
    """Counts ids that occur twice, by their 64-bit hash, in files of one part of the hashes each.

    Memory is that of one part. Two ids of one hash are taken for one: about once in 15,000
    datasets of 50 million ids, and reported as a problem, never as a fault that stops anything.
    """

    def __init__(self, scratch: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=".ids-", dir=scratch))
        self._missing = 0

    def add(self, ids: pd.Series[Any]) -> None:
        """Take in the ids of one shard."""
        present = ids.dropna()
        self._missing += len(ids) - len(present)
        hashes = pd.util.hash_pandas_object(present, index=False).to_numpy()
        bucket = (hashes % BUCKETS).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=BUCKETS))
        for number, part in enumerate(np.split(hashes[order], ends[:-1])):
            with (self._folder / str(number)).open("ab") as file:
                file.write(part.tobytes())

    def counted(self) -> tuple[int, int]:
        """Return how many ids repeat an earlier one, and how many are missing."""
        repeated = 0
        for path in self._folder.iterdir():
            hashes = np.fromfile(path, dtype=np.uint64)
            repeated += len(hashes) - len(np.unique(hashes))
        return repeated, self._missing
