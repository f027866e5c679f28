"""The digest of a file's rows, the same as :func:`~..tables.frame_digest` gives for a data frame.

A dataset version has one name, whether its rows are held in memory or not. The digest runs over
the columns one after the other, so each is read by itself, a batch at a time: once where no value
is missing, once more for the missing ones, and once more for the lengths of texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from promotion_assets.canonical import canonical_json
from promotion_assets.errors import UsageError
from promotion_assets.evaluation.row_ranges import batches_between
from promotion_assets.evaluation.tables import DIGEST_FORM, canonical_type, plain_bytes, zero_of

BATCH_ROWS = 131_072
_EXACT_IN_FLOAT = 2**53


@dataclass(frozen=True)
class ColumnFacts:
    """What must be known of a whole column before its first value can be taken in.

    Attributes:
        type: its canonical type.
        missing: rows without a value; NaN is none.
        rows: all rows.
    """

    name: str
    type: pa.DataType
    missing: int
    rows: int


@dataclass
class _Column:
    """One column's facts while its batches pass."""

    field: pa.Field
    missing: int = 0
    rows: int = 0
    past_float: bool = False
    whole_micros: bool = True

    def add(self, array: pa.Array) -> None:
        """Take in one shard of the column."""
        present = _without_nan(array)
        self.rows += len(array)
        self.missing += present.null_count
        type_ = array.type
        if pa.types.is_int64(type_) or pa.types.is_uint64(type_):
            ends = pc.min_max(present).as_py()
            if ends["min"] is not None:
                self.past_float |= ends["min"] < -_EXACT_IN_FLOAT or ends["max"] > _EXACT_IN_FLOAT
        elif _is_moment(type_) and type_.unit == "ns" and self.whole_micros:
            try:
                array.cast(_in_micros(type_))
            except pa.ArrowInvalid:
                self.whole_micros = False

    def facts(self) -> ColumnFacts:
        return ColumnFacts(self.field.name, self._type(), self.missing, self.rows)

    def _type(self) -> pa.DataType:
        stored = self.field.type
        type_ = canonical_type(stored.value_type if pa.types.is_dictionary(stored) else stored)
        if type_ is None:
            raise UsageError(
                "Reading a data set",
                f"column {self.field.name!r} holds {self.field.type}, which is not one plain "
                "value a row",
                "spread it over plain columns in the source, or leave it out",
            )
        if self.missing and pa.types.is_integer(type_):
            return type_ if self.past_float else pa.float64()
        if self.missing == self.rows and (
            pa.types.is_boolean(type_) or pa.types.is_large_binary(type_)
        ):
            # Without any value pandas does not know what they would have been.
            return pa.null()
        if _is_moment(type_):
            return _in_micros(type_) if self.whole_micros else type_
        return type_


def file_digest(file: pq.ParquetFile) -> tuple[str, tuple[ColumnFacts, ...]]:
    """Return the digest of a file's rows and what is known of its columns.

    Raises:
        UsageError: a column has no canonical form.
    """
    facts = column_facts(file)
    digest = hashlib.sha256()
    digest.update(
        canonical_json(
            {
                "form": DIGEST_FORM,
                "rows": file.metadata.num_rows,
                "columns": [[fact.name, str(fact.type)] for fact in facts],
            }
        )
    )
    for fact in facts:
        _hash_column(digest, file, fact)
    return digest.hexdigest(), facts


def column_facts(file: pq.ParquetFile) -> tuple[ColumnFacts, ...]:
    """Return what is known of every column, from one pass over all rows."""
    columns = [_Column(field) for field in file.schema_arrow]
    for column in columns:
        for array in _arrays(file, column.field.name):
            column.add(array)
    return tuple(column.facts() for column in columns)


def as_canonical(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """Return a piece of a column in the type that the whole column has; NaN is missing."""
    if pa.types.is_null(type_):
        return pa.nulls(len(array))
    return _without_nan(array if array.type == type_ else array.cast(type_))


def _hash_column(digest: Any, file: pq.ParquetFile, fact: ColumnFacts) -> None:
    digest.update(b"nulls" if fact.missing else b"whole")
    if pa.types.is_null(fact.type):
        return

    def _update(take: Callable[[pa.Array], memoryview | None]) -> None:
        for array in _arrays(file, fact.name):
            taken = take(as_canonical(array, fact.type))
            if taken is not None:
                digest.update(taken)

    zero = zero_of(fact.type) if fact.missing else None

    def _filled(array: pa.Array) -> pa.Array:
        return array if zero is None else array.fill_null(zero)

    if fact.missing:
        _update(lambda array: plain_bytes(array.is_null()))
    if pa.types.is_large_string(fact.type) or pa.types.is_large_binary(fact.type):
        _update(lambda array: plain_bytes(pc.binary_length(_filled(array))))
        _update(lambda array: _text_bytes(_filled(array)))
    else:
        _update(lambda array: plain_bytes(_filled(array)))


def _arrays(file: pq.ParquetFile, name: str) -> Iterator[pa.Array]:
    for batch in batches_between(file, [name], 0, file.metadata.num_rows, BATCH_ROWS):
        column = batch.column(0)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        type_ = canonical_type(column.type)
        # Nanoseconds stay: whether microseconds hold them all, one batch cannot tell.
        exact = type_ is None or _is_moment(type_) or column.type == type_
        yield column if exact else column.cast(type_)


def _text_bytes(array: pa.Array) -> memoryview | None:
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return None
    ends = np.frombuffer(offsets, dtype=np.int64)
    first, last = ends[array.offset], ends[array.offset + len(array)]
    return memoryview(data)[int(first) : int(last)]


def _without_nan(array: pa.Array) -> pa.Array:
    if not pa.types.is_floating(array.type):
        return array
    numbers = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
    absent = pc.is_nan(numbers)
    if not pc.any(absent).as_py():
        return array
    return pc.if_else(absent, pa.scalar(None, array.type), array)


def _is_moment(type_: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type_) or pa.types.is_duration(type_))


def _in_micros(type_: pa.DataType) -> pa.DataType:
    return pa.duration("us") if pa.types.is_duration(type_) else pa.timestamp("us", type_.tz)
