"""Rows of any number into the store, under the same digest as rows in memory have."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from promotion_assets.errors import EvidenceMissing, StorageUnreachable
from promotion_assets.evaluation.columns import column_type
from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.dataset import DatasetSummary, EvaluationDataset
from promotion_assets.evaluation.dataset_checks import feature_columns, require_columns
from promotion_assets.evaluation.large.describing import Described
from promotion_assets.evaluation.large.digest import ColumnFacts, as_canonical, file_digest
from promotion_assets.evaluation.large.shards import Snapshot
from promotion_assets.evaluation.reading import fingerprint, iter_batches
from promotion_assets.evaluation.row_ranges import batches_between
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.evaluation.tables import canonical_frame
from promotion_assets.policy.model import ModelPolicy

DATA = "data.parquet"
SUMMARY = "summary.json"
GROUP_BYTES = 64 * 1024**2
GROUP_ROWS = 1024 * 1024
SAMPLE_STRETCHES = 16
SAMPLE_ROWS = 10_240


@dataclass(frozen=True)
class Kept:
    """Rows in the store: their digest, their file, and what is known of their columns."""

    digest: str
    path: Path
    rows: int
    facts: tuple[ColumnFacts, ...]

    def columns(self) -> tuple[Column, ...]:
        """Return name and type of every column; ``required`` where no value is missing."""
        with pq.ParquetFile(self.path) as file:
            sample = _typed_frame(
                pa.Table.from_batches(
                    batches_between(file, _names(self.facts), 0, SAMPLE_ROWS, SAMPLE_ROWS)
                ),
                self.facts,
            )
        return tuple(
            Column(name=f.name, type=column_type(sample[f.name]), required=not f.missing)
            for f in self.facts
        )


def keep_rows(
    uri: str, *, query: str | None, base: Path, store: Path, batch_rows: int, doing: str
) -> Kept:
    """Copy rows of any number to ``store/<digest>``, a batch in memory at a time.

    The same rows give the same digest, however often and from wherever they are read, and the
    digest that :func:`~promotion_assets.evaluation.tables.frame_digest` gives.

    Raises:
        EvidenceMissing: they changed while they were read, or there are none.
        UsageError, StorageUnreachable: as for reading; or the store cannot be written.
        IntegrityError: the store holds other rows under this digest.
    """
    before = fingerprint(uri, base)
    batches = iter_batches(uri, query=query, base=base, batch_rows=batch_rows)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=store) as folder:
            draft = Path(folder) / DATA
            rows = _write(batches, draft)
            if before != fingerprint(uri, base):
                raise EvidenceMissing(
                    doing,
                    f"{without_credentials(uri)} changed while it was read",
                    "run again when its writer is done; better, let it write a new file and "
                    "rename it",
                )
            if not rows:
                raise EvidenceMissing(
                    doing,
                    "it has no rows",
                    "check the source or the query: nothing can be judged on nothing",
                )
            with pq.ParquetFile(draft, pre_buffer=False) as file:
                digest, facts = file_digest(file)
            path = _put(draft, store / digest / DATA)
    except OSError as error:
        raise StorageUnreachable(
            doing,
            f"the snapshot cannot be written to {store}: {error}",
            "make room or mend the access rights there, then run again",
        ) from error
    return Kept(digest, path, rows, facts)


def load_rows(store: Path, digest: str, *, doing: str) -> Kept:
    """Return the rows called ``digest`` once they are proven to be those.

    Raises:
        EvidenceMissing: there are none.
        IntegrityError: they are not the ones that they are named by.
    """
    path = store / digest / DATA
    if not path.is_file():
        raise EvidenceMissing(
            doing,
            f"there is no snapshot {digest} in {store}",
            "materialise the evaluation dataset again; rows that are gone from the source are lost",
        )
    snapshot = Snapshot.of(path)
    with snapshot.opened() as file:
        found, facts = file_digest(file)
    if found != digest:
        raise snapshot.changed(f"its content has digest {found}")
    return Kept(digest, path, snapshot.rows, facts)


def snapshot_large(policy: ModelPolicy, store: Path, *, model: str) -> EvaluationDataset:
    """Take in the policy's source as :func:`~..snapshot.snapshot` does, without holding it.

    Raises:
        EvidenceMissing, UsageError, StorageUnreachable, IntegrityError: as there.
    """
    source = policy.dataset
    kept = keep_rows(
        source.uri,
        query=source.query,
        base=Path(policy.base),
        store=store / "datasets",
        batch_rows=policy.evaluation.batch_rows,
        doing=f"Taking in {model}'s evaluation dataset",
    )
    dataset = describe_large(kept, policy, model=model)
    summary = kept.path.with_name(SUMMARY)
    if not summary.exists():
        summary.write_text(dataset.summary.model_dump_json(indent=2), encoding="utf-8")
    return dataset


def load_large(
    policy: ModelPolicy, store: Path, digest: str, *, model: str = "a model"
) -> EvaluationDataset:
    """Return the version called ``digest`` from ``store``, described by ``policy``.

    Raises:
        EvidenceMissing: there is no such version.
        IntegrityError: its rows are not the ones that it is named by.
    """
    doing = f"Loading evaluation dataset {digest[:12]} of {model}"
    return describe_large(load_rows(store / "datasets", digest, doing=doing), policy, model=model)


def describe_large(kept: Kept, policy: ModelPolicy, *, model: str) -> EvaluationDataset:
    """Return kept rows as a dataset version, described by ``policy``; see ``streamed`` there."""
    snapshot = Snapshot.of(kept.path)
    # Beside the rows: a temporary directory may be memory.
    scratch_in = kept.path.parents[1]
    with (
        snapshot.opened() as file,
        tempfile.TemporaryDirectory(prefix=".scratch-", dir=scratch_in) as scratch,
    ):
        sample = _sample(file, kept)
        require_columns(sample, policy, model=model)
        described = Described(policy, model=model, scratch=Path(scratch))
        batch_rows = policy.evaluation.batch_rows
        for batch in batches_between(file, described.columns(), 0, kept.rows, batch_rows):
            described.add(batch)
        described.settle()
        problems = tuple(described.problems())
    features = feature_columns(sample, policy)
    empty = {f.name for f in kept.facts if f.missing == f.rows}
    summary = DatasetSummary(
        digest=kept.digest,
        uri=without_credentials(policy.dataset.uri),
        rows=kept.rows,
        columns=kept.columns(),
        label_rate=described.label_rate,
        group_sizes=_sorted(described.group_sizes),
        group_positives=_sorted(described.group_positives) if policy.task == "binary" else {},
        time_range=described.time_range,
        problems=(
            *problems,
            *(
                f"{model}: feature column {name!r} has no value in any of {kept.rows} rows"
                for name in features
                if name in empty
            ),
        ),
    )
    return EvaluationDataset(
        summary=summary,
        path=kept.path,
        frame=sample,
        labels=np.empty(0, dtype=np.int64),
        features=features,
        streamed=True,
    )


def _sorted(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {label: dict(sorted(sizes.items())) for label, sizes in counts.items()}


def _write(batches: Iterable[pa.RecordBatch], target: Path) -> int:
    """Write batches in row groups of bounded size; return the rows."""
    rows = 0
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(target, batch.schema, compression="zstd")
            waiting.append(batch)
            rows += batch.num_rows
            full = sum(part.num_rows for part in waiting) >= GROUP_ROWS
            if full or sum(part.nbytes for part in waiting) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if writer is not None and any(part.num_rows for part in waiting):
            writer.write_table(pa.Table.from_batches(waiting))
    finally:
        if writer is not None:
            writer.close()
    return rows


def _put(draft: Path, target: Path) -> Path:
    """Move a file under its content's name; keep what is there already, if it is the same."""
    if target.is_file():
        load_rows(target.parents[1], target.parent.name, doing="Keeping rows in the store")
        return target
    _sync(draft)
    draft.chmod(0o444)
    target.parent.mkdir(exist_ok=True)
    draft.rename(target)
    _sync(target.parent)
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sample(file: pq.ParquetFile, kept: Kept) -> pd.DataFrame:
    """Return a few stretches of rows, spread evenly over the file."""
    names = _names(kept.facts)
    if kept.rows <= SAMPLE_ROWS:
        parts = list(batches_between(file, names, 0, kept.rows, SAMPLE_ROWS))
    else:
        stretch = SAMPLE_ROWS // SAMPLE_STRETCHES
        step = (kept.rows - stretch) // (SAMPLE_STRETCHES - 1)
        parts = [
            batch
            for number in range(SAMPLE_STRETCHES)
            for batch in batches_between(file, names, number * step, stretch, stretch)
        ]
    return _typed_frame(pa.Table.from_batches(parts), kept.facts)


def _typed_frame(table: pa.Table, facts: Iterable[ColumnFacts]) -> pd.DataFrame:
    """Return rows as a frame whose types are those of the whole columns."""
    arrays = {f.name: as_canonical(table.column(f.name).combine_chunks(), f.type) for f in facts}
    return canonical_frame(pa.table(arrays))


def _names(facts: Iterable[ColumnFacts]) -> list[str]:
    return [f.name for f in facts]
