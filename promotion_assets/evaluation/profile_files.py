"""Profiles of files of any size, in memory bounded by the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation.feature_counting import count_numbers, feature_like, new_feature
from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature
from promotion_assets.evaluation.profile_merge import merge
from promotion_assets.evaluation.reading import column_names, iter_batches
from promotion_assets.evaluation.sources import find_files, without_credentials
from promotion_assets.evaluation.tables import canonical_frame

SAMPLE_ROWS = 50_000
BINS = 10
MAX_CATEGORIES = 200
FOLD = 32
COLUMNS_AT_ONCE = 16
BATCH_ROWS = 131_072


def profile_parquet(
    path: Path | str,
    *,
    edges_from: FeatureProfile | None = None,
    columns: Sequence[str] | None = None,
    base: Path = Path(),
) -> FeatureProfile:
    """Return the profile of a Parquet file, read batch by batch; also of CSV, and of many files.

    Memory does not grow with the rows, nor for Parquet with the columns.

    Args:
        path: as for :func:`promotion_assets.evaluation.reading.read_frame`.
        edges_from: the profile whose bins and categories are used. Without one they come from
            about :data:`SAMPLE_ROWS` rows spread evenly over the file; the counts are of all
            rows. A category too rare for the sample is counted in ``other``.
        columns: profile these only.
        base: the directory that relative paths start from.

    Raises:
        EvidenceMissing: the file changed while it was read.
        UsageError, StorageUnreachable: as for reading; or it has none of the features.
    """
    uri = str(path)
    if edges_from is None:
        edges_from = _reference(uri, columns, base)
    present = column_names(uri, base=base)
    wanted = set(present if columns is None else columns)
    names = [f.name for f in edges_from.features if f.name in present and f.name in wanted]
    if not names:
        raise UsageError(
            f"Profiling {without_credentials(uri)}",
            f"it has none of the profile's features; its columns are {', '.join(present[:30])}",
            "profile the file that holds the features",
        )
    # A pass per group of columns holds few of a wide file's columns; CSV has only whole rows.
    width = COLUMNS_AT_ONCE if find_files(uri, base).format == "parquet" else len(names)
    groups = [names[start : start + width] for start in range(0, len(names), width)]
    parts = [_folded(_shards(uri, group, edges_from, base)) for group in groups]
    if len({part.rows for part in parts}) > 1:
        raise EvidenceMissing(
            f"Profiling {without_credentials(uri)}",
            "its number of rows changed while it was read",
            "run again when its writer is done",
        )
    return FeatureProfile(
        rows=parts[0].rows,
        features=tuple(feature for part in parts for feature in part.features),
        source=without_credentials(uri),
    )


def _reference(uri: str, columns: Sequence[str] | None, base: Path) -> FeatureProfile:
    sample = _sample(uri, columns, base)
    return FeatureProfile(
        rows=len(sample),
        features=tuple(
            new_feature(sample[name], bins=BINS, max_categories=MAX_CATEGORIES) for name in sample
        ),
    )


def _folded(shards: Iterator[FeatureProfile]) -> FeatureProfile:
    """Merge a few shards at a time, so that their number does not show in memory."""
    whole: list[FeatureProfile] = []
    for shard in shards:
        whole.append(shard)
        if len(whole) == FOLD:
            whole = [merge(whole)]
    return merge(whole)


def _shards(
    uri: str, names: list[str], reference: FeatureProfile, base: Path
) -> Iterator[FeatureProfile]:
    features = [feature for feature in reference.features if feature.name in names]
    batches = iter_batches(uri, base=base, columns=names, batch_rows=BATCH_ROWS)
    for batch in _read_ahead(batches):
        yield FeatureProfile(
            rows=batch.num_rows,
            features=tuple(_counted(batch.column(f.name), f) for f in features),
        )


def _read_ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Decode the next batch while this one is counted; both do without the interpreter's lock."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _counted(
    column: pa.Array, reference: NumericFeature | CategoricalFeature
) -> NumericFeature | CategoricalFeature:
    if isinstance(reference, NumericFeature) and pa.types.is_float64(column.type):
        # Counted where Arrow keeps them: a pandas column costs as much as the count itself.
        numbers = column.to_numpy(zero_copy_only=False)
        return count_numbers(reference.name, "double", numbers, np.array(reference.edges))
    series: pd.Series[Any] = column.to_pandas()
    series.name = reference.name
    return feature_like(series, reference)


def _sample(uri: str, columns: Sequence[str] | None, base: Path) -> pd.DataFrame:
    """Return every n-th row, n such that about :data:`SAMPLE_ROWS` are held at any time."""
    kept: list[pa.RecordBatch] = []
    step, seen = 1, 0
    for batch in iter_batches(uri, base=base, columns=columns):
        first = -seen % step
        kept.append(batch.take(pa.array(range(first, batch.num_rows, step), pa.int64())))
        seen += batch.num_rows
        while sum(part.num_rows for part in kept) > 2 * SAMPLE_ROWS:
            table = pa.Table.from_batches(kept).combine_chunks()
            kept = table.take(pa.array(range(0, table.num_rows, 2), pa.int64())).to_batches()
            step *= 2
    return canonical_frame(pa.Table.from_batches(kept))
