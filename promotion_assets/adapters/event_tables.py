"""The tables of the event log: one a kind of event, drop counts, and who follows which plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_type_hints

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateIndex, CreateTable

from promotion_assets.serving.events import (
    EVENTS,
    Acknowledgement,
    Drop,
    Kind,
    arrow_schema,
)

# Whoever makes the tables holds this lock; another process may be about to make them as well.
_MAKING = 0x70726F6D6F65
_TYPES: Mapping[object, type[sa.types.TypeEngine[Any]]] = {
    str: sa.Text,
    int: sa.BigInteger,
    float: sa.Double,
}
METADATA = sa.MetaData()


def _table(name: str, row: type[NamedTuple], key: Sequence[str]) -> sa.Table:
    # SQLite has no NaN and keeps NULL in its place.
    return sa.Table(
        name,
        METADATA,
        *(
            sa.Column(field, _TYPES[of], primary_key=field in key, nullable=of is float)
            for field, of in get_type_hints(row).items()
        ),
    )


TABLES: Mapping[Kind, sa.Table] = {
    kind: _table(f"serving_{kind}_events", row, ["event_id"]) for kind, row in EVENTS.items()
}
DROPS = _table("serving_drops", Drop, ["drop_id"])
WORKERS = _table("serving_workers", Acknowledgement, ["model", "worker"])
INDEXES = (
    *(
        sa.Index(f"{table.name}_by_time", table.c.model, table.c.time_us)
        for table in (*TABLES.values(), DROPS)
    ),
    sa.Index(
        "serving_request_events_by_request",
        TABLES["request"].c.model,
        TABLES["request"].c.request_id,
    ),
)


def make_tables(connection: Connection) -> None:
    """Make what is missing; two processes may do so at once."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MAKING})"))
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
    for index in INDEXES:
        connection.execute(CreateIndex(index, if_not_exists=True))


def insert_new(connection: Connection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows whose key is not there yet; return how many these were.

    Table and column names are ours. The rows go to the driver as they are: building a mapping
    of each costs more than writing it.
    """
    names = ", ".join(table.columns.keys())
    if connection.dialect.name == "postgresql":
        types = {c.name: c.type.compile(connection.dialect) for c in table.columns}
        values = ", ".join(f"CAST(:{name} AS {of}[])" for name, of in types.items())
        statement = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({values})"  # noqa: S608
        columns = dict(zip(table.columns.keys(), map(list, zip(*rows, strict=True)), strict=True))
        done = connection.execute(sa.text(f"{statement} ON CONFLICT DO NOTHING"), columns)
    else:
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608
        done = connection.exec_driver_sql(f"{statement} ON CONFLICT DO NOTHING", list(rows))
    return int(done.rowcount)


def record_batch(kind: Kind, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Return rows of a table as columns; a missing number is NaN."""
    schema = arrow_schema(kind)
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(_filled(column) if pa.types.is_floating(field.type) else column, field.type)
            for field, column in zip(schema, columns, strict=True)
        ],
        schema=schema,
    )


def _filled(column: Sequence[Any]) -> list[float]:
    return [math.nan if value is None else value for value in column]


def cleaned(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without what no database takes: a NUL, half of a surrogate pair."""
    return tuple(
        value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        if isinstance(value, str)
        else value
        for value in row
    )
