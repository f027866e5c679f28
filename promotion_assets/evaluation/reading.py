"""Rows from wherever a team keeps them: Parquet and CSV at any address, or a SQL query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import sqlalchemy
from sqlalchemy import exc as sql_errors

from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets.evaluation.columns import columns_of
from promotion_assets.evaluation.contract import FeatureContract
from promotion_assets.evaluation.csv_source import header_names, iter_csv
from promotion_assets.evaluation.sources import (
    Fingerprint,
    SourceFiles,
    find_files,
    is_sql,
    reading_errors,
    without_credentials,
)
from promotion_assets.evaluation.tables import canonical_batch, canonical_frame, canonical_table

BATCH_ROWS = 65_536
READ_BYTES = 64 * 1024
REMOTE_READ_BYTES = 4 * 1024**2


def read_frame(
    uri: str, *, query: str | None = None, base: Path, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return all rows behind ``uri`` as a data frame of plain types.

    Args:
        uri: a file, a directory or a pattern of Parquet or CSV files, by path or by any address
            that pyarrow or fsspec knows; or a SQLAlchemy URL.
        query: what to ask of a database.
        base: the directory that relative paths start from.
        columns: read these only.

    Raises:
        StorageUnreachable: nothing is there, or it does not answer.
        UsageError: it is there and cannot be read as rows.
    """
    doing = f"Reading {without_credentials(uri)}"
    if query is not None or is_sql(uri):
        frame = _query(uri, query, base)
        frame = canonical_frame(canonical_table(frame, doing=doing), doing=doing)
        return frame if columns is None else frame[list(columns)]
    batches = list(iter_batches(uri, base=base, columns=columns))
    return canonical_frame(pa.Table.from_batches(batches), doing=doing)


def iter_batches(
    uri: str,
    *,
    query: str | None = None,
    base: Path,
    columns: Sequence[str] | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows behind ``uri`` in batches of one schema, at least one (perhaps empty) batch.

    Memory is bounded by the batch for files; the result of a query is held as a whole, so bound
    it in the query.

    Raises:
        StorageUnreachable, UsageError: as :func:`read_frame`.
    """
    doing = f"Reading {without_credentials(uri)}"
    if query is not None or is_sql(uri):
        table = canonical_table(_query(uri, query, base), doing=doing)
        yield from _never_none(table.to_batches(batch_rows), table.schema)
        return
    source = find_files(uri, base)
    wanted = None if columns is None else tuple(columns)
    with reading_errors(uri):
        schema = None
        raw = (
            iter_csv(source, wanted)
            if source.format == "csv"
            else _parquet(source, wanted, batch_rows)
        )
        for batch in raw:
            ready = canonical_batch(batch, doing=doing)
            schema = schema or ready.schema
            yield ready if ready.schema == schema else ready.cast(schema)


def read_contract(uri: str, *, query: str | None = None, base: Path) -> FeatureContract:
    """Return name and type of the columns behind ``uri``, as a feature pipeline's contract."""
    frame = read_frame(uri, query=query, base=base)
    return FeatureContract(columns=columns_of(frame), source=without_credentials(uri))


def column_names(uri: str, *, base: Path) -> tuple[str, ...]:
    """Return the names of the columns in the files behind ``uri``, without reading rows."""
    source = find_files(uri, base)
    with reading_errors(uri):
        if source.format == "csv":
            return header_names(source)
        return tuple(_common_schema(source).names)


def fingerprint(uri: str, base: Path) -> Fingerprint | None:
    """Return what would show that the files behind ``uri`` changed; ``None`` for a database.

    A query is one statement, which a database answers from one state of its rows.
    """
    return None if is_sql(uri) else find_files(uri, base).fingerprint


def _parquet(
    source: SourceFiles, columns: tuple[str, ...] | None, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    schema = _common_schema(source)
    unknown = sorted(set(columns or ()) - set(schema.names))
    if unknown:
        raise UsageError(
            f"Reading {source.uri}",
            f"there is no column {unknown[0]!r}; the columns are {', '.join(schema.names[:30])}",
            "correct the column's name",
        )
    names = list(columns or schema.names)
    wanted = pa.schema([schema.field(name) for name in names])
    local = isinstance(source.filesystem, pafs.LocalFileSystem)
    for path in source.paths:
        # Both are needed to hold less than a row group: by default all of it is fetched ahead.
        with pq.ParquetFile(
            path,
            filesystem=source.filesystem,
            buffer_size=READ_BYTES if local else REMOTE_READ_BYTES,
            pre_buffer=False,
        ) as file:
            yield from (
                pa.RecordBatch.from_arrays(
                    [batch.column(name).cast(wanted.field(name).type) for name in names],
                    schema=wanted,
                )
                for batch in file.iter_batches(batch_rows, columns=names)
            )
    yield pa.RecordBatch.from_pylist([], schema=wanted)


def _common_schema(source: SourceFiles) -> pa.Schema:
    schemas: dict[str, pa.Schema] = {}
    for path in source.paths:
        schema = pq.read_schema(path, filesystem=source.filesystem).remove_metadata()
        repeated = [name for name in schema.names if schema.names.count(name) > 1]
        first = next(iter(schemas.values()), schema)
        odd = repeated or sorted(set(schema.names) ^ set(first.names))
        if odd:
            raise UsageError(
                f"Reading {source.uri}",
                f"column {odd[0]!r} is "
                + (f"there twice in {path}" if repeated else f"not in every file ({path})"),
                "write every file with the same columns",
            )
        schemas[path] = pa.schema([field.remove_metadata() for field in schema])
    try:
        return pa.unify_schemas(list(schemas.values()), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UsageError(
            f"Reading {source.uri}",
            f"the files disagree on a column's type: {str(error)[:200]}",
            "write every file with the same types",
        ) from error


def _never_none(batches: list[pa.RecordBatch], schema: pa.Schema) -> list[pa.RecordBatch]:
    return batches or [pa.RecordBatch.from_pylist([], schema=schema)]


def _query(uri: str, query: str | None, base: Path) -> pd.DataFrame:
    shown = f"Reading {without_credentials(uri)}"
    if query is None or not is_sql(uri):
        raise UsageError(
            shown,
            "a database is named without a query"
            if query is None
            else "a query is given for a file",
            "give `query:` together with a SQLAlchemy URL such as postgresql+psycopg2://host/db",
        )
    try:
        engine = sqlalchemy.create_engine(_database_url(uri, base), poolclass=sqlalchemy.NullPool)
    except (sql_errors.ArgumentError, ImportError) as error:
        raise UsageError(
            shown,
            f"the address or its driver is not usable: {str(error)[:200]}",
            "write it as dialect+driver://user@host/database and install the driver",
        ) from error
    try:
        with engine.connect() as connection:
            return pd.read_sql_query(sqlalchemy.text(query), connection)
    except (sql_errors.SQLAlchemyError, pd.errors.DatabaseError) as error:
        raise _sql_error(shown, error) from error
    finally:
        engine.dispose()


def _database_url(uri: str, base: Path) -> Any:
    try:
        url = sqlalchemy.make_url(uri)
    except ValueError:
        # What it says may hold a part of the password.
        raise sql_errors.ArgumentError("its port is no number") from None
    if "@" in (url.host or ""):
        # The driver would say the rest of the password where it cannot find the host.
        raise sql_errors.ArgumentError("an @ in its password is to be written as %40")
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return url
    path = Path(url.database or "")
    path = path if path.is_absolute() else base.absolute() / path
    if not path.is_file():
        # SQLite would make an empty database of it.
        raise StorageUnreachable(
            f"Reading {without_credentials(uri)}",
            f"there is no database file {path.name}",
            "check the address in promotion.yaml; relative paths start from its directory",
        )
    return url.set(database=str(path))


def _sql_error(doing: str, error: Exception) -> StorageUnreachable | UsageError:
    # pandas wraps some of SQLAlchemy's errors, SQLAlchemy wraps the driver's.
    cause = error.__cause__ if isinstance(error, pd.errors.DatabaseError) else error
    said = str(getattr(cause, "orig", None) or cause or error).strip().split("\n", 1)[0][:300]
    silent = isinstance(
        cause, sql_errors.OperationalError | sql_errors.InterfaceError | sql_errors.TimeoutError
    )
    # SQLite reports mistakes in a statement as operational errors.
    if not silent or any(words in said for words in ("no such", "syntax error", "not a database")):
        return UsageError(
            doing,
            f"the query is refused: {said}",
            "correct `query:` in promotion.yaml, and try it in the database's own client",
        )
    return StorageUnreachable(
        doing,
        f"the database does not answer: {said}",
        "check that the database runs and takes connections from here, then run again",
    )
