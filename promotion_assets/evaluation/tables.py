"""One form of the same rows: Arrow tables and data frames in canonical types, and their digest.

The digest names an evaluation dataset version for ever, so it must not depend on how the rows
lay in files or in memory (chunks, row groups, dictionaries, a pandas index, the unit of a
timestamp, the bytes behind a missing value), nor on the release of Arrow: it is SHA-256 over
Arrow's columnar layout of the canonical arrays, under a header of our own, and not over an IPC
stream's metadata, which may change with the library. It does depend on every value, missing
value, type, column name and on the order of rows and of columns.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from promotion_assets.canonical import canonical_json
from promotion_assets.errors import UsageError

DIGEST_FORM = "promotion-assets/dataset/1"
_EXACT_IN_FLOAT = 2**53


def frame_digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 over every byte of the canonical columns, as 64 hexadecimal digits.

    Raises:
        UsageError: a column has no canonical form (mixed types, nested values, no text name).
    """
    return table_digest(canonical_table(frame))


def table_digest(table: pa.Table) -> str:
    """Return the digest of a table that :func:`canonical_table` gave."""
    digest = hashlib.sha256()
    digest.update(
        canonical_json(
            {
                "form": DIGEST_FORM,
                "rows": table.num_rows,
                "columns": [[field.name, str(field.type)] for field in table.schema],
            }
        )
    )
    for column in table.columns:
        _hash_array(digest, _one_chunk(column))
    return digest.hexdigest()


def canonical_table(frame: pd.DataFrame, *, doing: str = "Reading a data set") -> pa.Table:
    """Return ``frame`` as one Arrow table of canonical types; the index is left out.

    Args:
        doing: begins the error's message.

    Raises:
        UsageError: two columns of one name, a name that is no text, a column of mixed types.
    """
    names = list(frame.columns)
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None or len(set(names)) < len(names):
        repeated = next((name for name in names if names.count(name) > 1), None)
        raise UsageError(
            doing,
            f"two columns are called {repeated!r}"
            if odd is None
            else f"a column is called {odd!r}",
            "give every column a name of its own, as text",
        )
    arrays = [_canonical(_to_arrow(frame[name], doing), str(name), doing) for name in names]
    return pa.table(dict(zip(names, arrays, strict=True)))


def canonical_frame(table: pa.Table, *, doing: str = "Reading a data set") -> pd.DataFrame:
    """Return ``table`` as a data frame of plain numpy types.

    Integers with missing values become floats, as models expect them, unless a value would
    lose digits: then the column keeps pandas' ``Int64``.
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = _canonical(column, name, doing)
        if pa.types.is_integer(array.type) and array.null_count and _past_float(array):
            columns[name] = array.to_pandas(types_mapper=_nullable)
        else:
            columns[name] = array.to_pandas()
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def canonical_batch(batch: pa.RecordBatch, *, doing: str = "Reading a data set") -> pa.RecordBatch:
    """Return ``batch`` with dictionaries decoded and every column in its canonical type.

    Nanoseconds stay nanoseconds: whether microseconds hold them all, one batch cannot tell.
    """
    arrays = [
        column if _nanoseconds(column.type) else _canonical(column, name, doing)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.record_batch(arrays, names=batch.schema.names)


def _to_arrow(column: pd.Series[Any], doing: str) -> pa.Array:
    try:
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            # Arrow asks pandas for the values in a way that pandas has deprecated.
            zone = pa.lib.tzinfo_to_string(column.dtype.tz)
            moments = pa.array(column.dt.tz_convert("UTC").dt.tz_localize(None), from_pandas=True)
            return moments.cast(pa.timestamp(moments.type.unit, zone))
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            doing,
            f"column {column.name!r} mixes types: {_kinds(column)}",
            "make the column of one type in the source",
        ) from error


def _kinds(column: pd.Series[Any]) -> str:
    examples: dict[str, Any] = {}
    for value in column.dropna():
        examples.setdefault(type(value).__name__, value)
    return ", ".join(f"{kind} (such as {value!r:.40})" for kind, value in examples.items())


def _one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    combined = column.combine_chunks()
    # A column past 2 GiB of text stays in chunks unless its offsets are 64 bits wide.
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _canonical(column: pa.ChunkedArray | pa.Array, name: str, doing: str) -> pa.Array:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        column = column.cast(type_.value_type)
        type_ = column.type
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
        column = column.cast(type_)
    target = canonical_type(type_)
    if target is None:
        raise UsageError(
            doing,
            f"column {name!r} holds {type_}, which is not one plain value a row",
            "spread it over plain columns in the source, or leave it out",
        )
    if pa.types.is_timestamp(type_) or pa.types.is_duration(type_):
        return _one_chunk(_coarsest(column, type_, name, doing))
    return _one_chunk(column if target == type_ else column.cast(target))


def canonical_type(type_: pa.DataType) -> pa.DataType | None:
    """Return the type that columns of ``type_`` are brought to; ``None`` where there is none."""
    if pa.types.is_date(type_):
        return pa.timestamp("us")
    if pa.types.is_string(type_) or pa.types.is_string_view(type_) or pa.types.is_time(type_):
        return pa.large_string()
    if (
        pa.types.is_binary(type_)
        or pa.types.is_binary_view(type_)
        or pa.types.is_fixed_size_binary(type_)
    ):
        return pa.large_binary()
    if pa.types.is_decimal(type_):
        return pa.float64()
    plain = (
        pa.types.is_primitive(type_)
        or pa.types.is_null(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_large_binary(type_)
    )
    return type_ if plain else None


def _coarsest(column: Any, type_: pa.DataType, name: str, doing: str) -> Any:
    """Return moments in microseconds, or in nanoseconds where microseconds would lose some.

    Parquet has no seconds and CSV no milliseconds: a unit says how the file was written, not
    when something happened.
    """
    of = pa.duration if pa.types.is_duration(type_) else lambda unit: pa.timestamp(unit, type_.tz)
    try:
        return column.cast(of("us"))
    except pa.ArrowInvalid:
        if type_.unit == "ns":
            return column
        raise UsageError(
            doing,
            f"column {name!r} holds a moment that is out of range for microseconds",
            "correct the value in the source",
        ) from None


def _nanoseconds(type_: pa.DataType) -> bool:
    moment = pa.types.is_timestamp(type_) or pa.types.is_duration(type_)
    return bool(moment and type_.unit == "ns")


def _past_float(array: pa.Array) -> bool:
    ends = pc.min_max(array).as_py()
    low, high = ends["min"], ends["max"]
    return low is not None and (low < -_EXACT_IN_FLOAT or high > _EXACT_IN_FLOAT)


def _nullable(type_: pa.DataType) -> Any:
    return pd.UInt64Dtype() if pa.types.is_unsigned_integer(type_) else pd.Int64Dtype()


def _hash_array(digest: Any, array: pa.Array) -> None:
    digest.update(b"nulls" if array.null_count else b"whole")
    if pa.types.is_null(array.type):
        return
    if array.null_count:
        digest.update(plain_bytes(array.is_null()))
        # What lies behind a missing value is whatever the writer left there.
        array = array.fill_null(zero_of(array.type))
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        digest.update(plain_bytes(pc.binary_length(array)))
        _, offsets, data = array.buffers()
        if data is not None and len(array):
            ends = np.frombuffer(offsets, dtype=np.int64)
            first, last = ends[array.offset], ends[array.offset + len(array)]
            digest.update(memoryview(data)[int(first) : int(last)])
        return
    digest.update(plain_bytes(array))


def zero_of(type_: pa.DataType) -> pa.Scalar:
    """Return what takes the place of a missing value in a digest."""
    if pa.types.is_large_string(type_) or pa.types.is_large_binary(type_):
        return pa.scalar("" if pa.types.is_large_string(type_) else b"", type_)
    if pa.types.is_temporal(type_):
        return pa.scalar(0, pa.int64()).cast(type_)
    return pa.scalar(False) if pa.types.is_boolean(type_) else pa.scalar(0, type_)


def plain_bytes(array: pa.Array) -> memoryview:
    """Return the values of an array without nulls as they lie, one after the other."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    width = array.type.bit_width // 8
    start = array.offset * width
    if not len(array):
        return memoryview(b"")
    return memoryview(array.buffers()[1])[start : start + len(array) * width]
