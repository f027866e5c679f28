"""Profiles of files of any size, in memory bounded by the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.feature_counting import feature_like, new_feature
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.profile_merge import merge
from promotion_assets.evaluation.reading import column_names, iter_batches
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.evaluation.tables import canonical_frame

SAMPLE_ROWS = 50_000
BINS = 10
MAX_CATEGORIES = 200
FOLD = 32


def profile_parquet(
    path: Path | str,
    *,
    edges_from: FeatureProfile | None = None,
    columns: Sequence[str] | None = None,
    base: Path = Path(),
) -> FeatureProfile:
    """Return the profile of a Parquet file, read batch by batch; also of CSV, and of many files.

    Args:
        path: as for :func:`promotion_assets.evaluation.reading.read_frame`.
        edges_from: the profile whose bins and categories are used. Without one they come from
            about :data:`SAMPLE_ROWS` rows spread evenly over the file; the counts are of all
            rows. A category too rare for the sample is counted in ``other``.
        columns: profile these only.
        base: the directory that relative paths start from.
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
    whole = _folded(_shards(uri, names, edges_from, base))
    return whole.model_copy(update={"source": without_credentials(uri)})


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
    features = [reference.feature(name) for name in names]
    for batch in iter_batches(uri, base=base, columns=names):
        yield FeatureProfile(
            rows=batch.num_rows,
            features=tuple(
                feature_like(_series(batch, feature.name), feature)
                for feature in features
                if feature is not None
            ),
        )


def _series(batch: pa.RecordBatch, name: str) -> pd.Series[Any]:
    series: pd.Series[Any] = batch.column(name).to_pandas()
    series.name = name
    return series


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
