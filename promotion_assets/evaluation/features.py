"""Features on their way into the sandbox: an Arrow file of batches, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.row_ranges import batches_between

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class ParquetFeatures:
    """The feature columns of a Parquet file, which is streamed and never held as a whole.

    Attributes:
        path: the file; it may hold labels and groups, which are not read.
        columns: the features, in the order in which models are given them.
        first: the first row that is asked about.
        rows: how many from there on; all where not given. A column's type is that of the whole
            file all the same.
    """

    path: Path
    columns: tuple[str, ...]
    first: int = 0
    rows: int | None = None


Features = pd.DataFrame | ParquetFeatures


def column_names(features: Features) -> tuple[str, ...]:
    """Return the names of the feature columns, in order."""
    if isinstance(features, ParquetFeatures):
        return features.columns
    return tuple(map(str, features.columns))


def write_features(features: Features, target: Path, batch_rows: int = BATCH_ROWS) -> int:
    """Write ``features`` to ``target`` as an Arrow IPC file and return the number of rows.

    One batch of rows is in memory at a time where ``features`` is a file.

    Raises:
        UsageError: a column mixes types, or is not in the file.
    """
    try:
        if isinstance(features, ParquetFeatures):
            schema, batches = _from_parquet(features, batch_rows)
        else:
            table = pa.Table.from_pandas(features, preserve_index=False)
            schema, batches = table.schema, iter(table.to_batches(max_chunksize=batch_rows))
        rows = 0
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            "preparing the evaluation dataset's features for scoring",
            f"a column cannot be written as Arrow ({str(error).splitlines()[0]})",
            "give each feature column one type in the dataset, or list it under dataset.ignore",
        ) from error
    return rows


def _from_parquet(
    features: ParquetFeatures, batch_rows: int
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    file = pq.ParquetFile(features.path)
    absent = [name for name in features.columns if name not in file.schema_arrow.names]
    if absent:
        raise UsageError(
            f"preparing the features in {features.path} for scoring",
            f"the file has no column {', '.join(absent)}",
            "correct the columns, or snapshot the dataset again",
        )
    schema = pa.schema([_as_pandas_would(file, name) for name in features.columns])
    rows = file.metadata.num_rows if features.rows is None else features.rows
    batches = batches_between(file, features.columns, features.first, rows, batch_rows)
    return schema, (
        pa.RecordBatch.from_arrays(
            [
                batch.column(field.name).cast(field.type)
                for field in (schema.field(i) for i in range(len(schema)))
            ],
            schema=schema,
        )
        for batch in batches
    )


def _as_pandas_would(file: pq.ParquetFile, name: str) -> pa.Field:
    """Return the type a column has in every batch, by what is missing in the whole file.

    pandas reads integers with a missing value as floats; taken batch by batch the type would
    change within one file.
    """
    field: pa.Field = file.schema_arrow.field(name)
    if pa.types.is_integer(field.type) and _has_nulls(file, name):
        return pa.field(name, pa.float64())
    return pa.field(name, field.type)


def _has_nulls(file: pq.ParquetFile, name: str) -> bool:
    index: Sequence[int] = [
        i for i in range(file.metadata.num_columns) if file.schema.column(i).path == name
    ]
    for group in range(file.metadata.num_row_groups):
        for i in index:
            statistics = file.metadata.row_group(group).column(i).statistics
            if statistics is None or statistics.null_count is None or statistics.null_count:
                return True
    return False
