"""Databases by URL: SQLite for one host, PostgreSQL for several; opened, migrated, spoken for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from promotion_assets.adapters.private_files import keep_private, make_private_folder
from promotion_assets.errors import LedgerUnreachable, Refusal, UsageError

# The migration that this release's code needs; see migrations/versions.
SCHEMA_HEAD = "0003"
BUSY_SECONDS = 10.0
# One number for every process of this package: who holds it is migrating, or appending.
MIGRATION_LOCK = 0x70726F6D6F74
_BEGIN = "promotion_begin"


def open_engine(url: str, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Return an engine for ``url`` with this release's tables in place.

    Args:
        url: ``sqlite:///path``, ``postgresql+psycopg2://…``.
        busy_seconds: how long to wait for another writer.

    Raises:
        UsageError: if the URL is not one of a supported database.
        Refusal: if a newer release has migrated it; nothing was changed.
        LedgerUnreachable: if the database does not answer or cannot be migrated.
    """
    engine = _connect(url, busy_seconds)
    with spoken(f"open the database {shown(url)}"):
        try:
            _migrate(engine, shown(url))
        except Refusal:
            engine.dispose()
            raise
    return engine


def open_engine_to_read(url: str, *, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Return an engine that only reads, and neither makes nor migrates anything.

    Raises:
        UsageError: if the URL is not one of a supported database, or names no file.
        LedgerUnreachable: if the database does not answer.
    """
    parsed = parse_url(url)
    if is_sqlite(parsed):
        path = Path(parsed.database or "")
        if not path.is_file():
            raise UsageError(
                f"read the database {shown(url)}",
                "there is no such file",
                "name the ledger's database with PROMOTION_DATABASE_URL",
            )
        parsed = parsed.set(
            database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"}
        )
        # A connection that is kept would go on reading a file that was replaced meanwhile.
        return sa.create_engine(
            parsed, connect_args={"timeout": busy_seconds}, poolclass=sa.pool.NullPool
        )
    engine = _postgres(parsed)

    @event.listens_for(engine, "connect")
    def _only_read(connection: Any, _record: Any) -> None:
        connection.set_session(readonly=True)

    return engine


def _connect(url: str, busy_seconds: float) -> Engine:
    parsed = parse_url(url)
    return _sqlite(parsed, busy_seconds) if is_sqlite(parsed) else _postgres(parsed)


def parse_url(url: str, variable: str = "PROMOTION_DATABASE_URL") -> URL:
    """Return ``url`` if its database is supported and its driver installed.

    Args:
        variable: the environment variable that it comes from, for the message.

    Raises:
        UsageError: it is not.
    """
    try:
        try:
            parsed = make_url(url)
        except ValueError:
            # What it says may hold a part of the password.
            raise ArgumentError("its port is no number") from None
        if parsed.drivername in ("postgres", "postgresql"):
            # SQLAlchemy 2.1 reads a bare "postgresql" as another driver than the one installed.
            parsed = parsed.set(drivername="postgresql+psycopg2")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(f"{parsed.get_backend_name()} is not supported")
        if "@" in (parsed.host or ""):
            # The driver would say the rest of the password where it cannot find the host.
            raise ArgumentError("an @ in its password is to be written as %40")
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise UsageError(
            f"open the database {shown(url)}",
            str(error),
            f"set {variable} to sqlite:///path or "
            "postgresql+psycopg2://user@host/name (extra: postgres)",
        ) from error
    return parsed


def is_sqlite(url: URL) -> bool:
    """Whether a URL names SQLite."""
    return url.get_backend_name() == "sqlite"


def shown(url: str) -> str:
    """Return a URL without its password, nor what stands behind a ?, where drivers take one too."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return "(unreadable URL)"
    if "@" in (parsed.host or ""):
        return f"{parsed.drivername}://(unreadable)"
    return parsed.set(query={}).render_as_string(hide_password=True)


@contextmanager
def spoken(doing: str) -> Iterator[None]:
    """Turn what a driver raises into one sentence.

    Raises:
        LedgerUnreachable: in place of any error of the database.
    """
    try:
        yield
    except DBAPIError as error:
        raise LedgerUnreachable(doing, _cause(error), _remedy(str(error.orig).lower())) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that holds the write lock until the block ends; commit or roll back."""
    with _locked(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT promotion_ledger_lock()"))
        yield connection


@contextmanager
def changing(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction that writes, without the ledger's lock.

    On SQLite there is one write lock for all; PostgreSQL locks the rows that are touched.
    """
    with _locked(engine) as connection:
        yield connection


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    options = {_BEGIN: "IMMEDIATE"}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    if url.database and url.database != ":memory:":
        try:
            make_private_folder(Path(url.database).parent)
        except OSError as error:
            raise LedgerUnreachable(
                f"open the database {url.database}",
                f"its folder cannot be made ({error})",
                "check the path and its permissions",
            ) from error
    engine = sa.create_engine(url, connect_args={"timeout": busy_seconds})
    keep_private(engine)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes too late for a read that a write depends on.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(busy_seconds * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        # NORMAL does not sync each commit in WAL: a power cut would lose recorded entries.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # Without it the delete half of INSERT OR REPLACE fires no trigger.
        cursor.execute("PRAGMA recursive_triggers = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        kind = connection.get_execution_options().get(_BEGIN, "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _postgres(url: URL) -> Engine:
    return sa.create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _migrate(engine: Engine, name: str) -> None:
    """Bring the tables to this release's form; two processes may do so at once."""
    found = _schema(engine)
    if found == SCHEMA_HEAD:
        return
    if found is not None and found > SCHEMA_HEAD:
        raise Refusal(
            f"open the database {name}",
            f"it is newer than this version: its tables have the form {found}, and this release "
            f"knows them up to {SCHEMA_HEAD}",
            "upgrade promotion-assets on this machine to the release that migrated it, or go back "
            "to the backup that was made before; nothing was changed",
        )
    # Imported here: it is slow, and needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _locked(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _schema(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("promotion_schema"):
            return None
        found = connection.execute(sa.text("SELECT version_num FROM promotion_schema")).scalar()
        return None if found is None else str(found)


def _cause(error: DBAPIError) -> str:
    said = str(error.orig).strip().splitlines()
    return said[0] if said else type(error.orig).__name__


def _remedy(said: str) -> str:
    if "locked" in said:
        return "another process holds the database; nothing was changed, try again"
    if "readonly" in said or "read-only" in said or "permission" in said:
        return "make the database and its folder writable for this user; nothing was changed"
    if "full" in said or "no space" in said:
        return "free disk space and try again; nothing was changed"
    if "append-only" in said:
        return "the ledger takes nothing but the next entry; nothing was changed"
    if "disk i/o" in said or "unable to open" in said:
        return (
            "see that the disk has room and that the database's folder is writable for this user; "
            "nothing was changed"
        )
    return "check PROMOTION_DATABASE_URL and that the database runs; nothing was changed"
