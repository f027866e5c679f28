"""The event log in a database: SQLite for one host, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from promotion_assets.adapters.database import is_sqlite, parse_url, shown
from promotion_assets.adapters.event_tables import (
    DROPS,
    TABLES,
    WORKERS,
    cleaned,
    insert_new,
    make_tables,
    record_batch,
)
from promotion_assets.adapters.private_files import keep_private, make_private_folder
from promotion_assets.errors import StorageUnreachable
from promotion_assets.serving.events import (
    Acknowledgement,
    Drop,
    Kind,
    Logged,
    Pace,
    kind_of,
    microseconds,
)

VARIABLE = "PROMOTION_EVENTS_URL"
FILE_NAME = "events.db"
BUSY_SECONDS = 5.0
PAGE = 8192
IDS_AT_ONCE = 500
PRUNED_AT_ONCE = 5000


def event_log_url(home: Path, environ: Mapping[str, str]) -> str:
    """Return where the event log is: what the environment names, else a file in ``home``."""
    return environ.get(VARIABLE) or f"sqlite:///{home}/{FILE_NAME}"


def open_event_log(url: str, *, busy_seconds: float = BUSY_SECONDS) -> EventLog:
    """Open the event log at ``url``; its tables are made when it is first written or read.

    Opening needs no database that answers: a server starts and answers without one.

    Raises:
        UsageError: if the URL is not one of a supported database.
    """
    parsed = parse_url(url, VARIABLE)
    if not is_sqlite(parsed):
        connecting = {"connect_timeout": max(1, int(busy_seconds))}
        return EventLog(
            sa.create_engine(parsed, pool_pre_ping=True, connect_args=connecting), shown(url)
        )
    # A connection that is kept would go on writing to a file that was moved away or replaced.
    engine = sa.create_engine(
        parsed, connect_args={"timeout": busy_seconds}, poolclass=sa.pool.NullPool
    )
    keep_private(engine)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        # Without a sync at each commit a power cut may cost the last second of events. It cannot
        # damage the file, and no stage or plan depends on these tables.
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return EventLog(engine, shown(url))


class EventLog:
    """The :class:`promotion_assets.serving.events.EventStore` on SQLAlchemy."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._made = False

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()

    def write(self, events: Sequence[Logged], drops: Sequence[Drop] = ()) -> int:
        """Write events and counts in one transaction; see the protocol."""
        rows: dict[Kind, list[tuple[Any, ...]]] = {}
        for one in events:
            rows.setdefault(kind_of(one), []).append(one)
        try:
            return self._write(rows, drops)
        except ValueError:
            # What a caller names a request by is a stranger's text. One that no database takes
            # must not cost the other events of its transaction.
            clean = {kind: [cleaned(row) for row in of] for kind, of in rows.items()}
            return self._write(clean, drops)

    def _write(self, rows: Mapping[Kind, list[tuple[Any, ...]]], drops: Sequence[Drop]) -> int:
        with self._writing() as connection:
            written = sum(insert_new(connection, TABLES[kind], of) for kind, of in rows.items())
            if drops:
                insert_new(connection, DROPS, drops)
        return written

    def batches(
        self,
        kind: Kind,
        model: str,
        *,
        segment: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield events in order of time; see the protocol."""
        table = TABLES[kind]
        query = _between(sa.select(table), table, model, since, until)
        if segment is not None and "segment" in table.c:
            query = query.where(table.c.segment == segment)
        query = query.order_by(table.c.time_us, table.c.event_id).limit(PAGE)
        after: tuple[int, str] | None = None
        while True:
            page = query
            if after is not None:
                # Spelt out: SQLite finds no index for a comparison of pairs with another column
                # in front.
                page = query.where(
                    table.c.time_us >= after[0],
                    sa.or_(table.c.time_us > after[0], table.c.event_id > after[1]),
                )
            with self._reading() as connection:
                rows = connection.execute(page).cursor.fetchall()
            if rows:
                yield record_batch(kind, rows)
            if len(rows) < PAGE:
                return
            after = (rows[-1][1], rows[-1][0])

    def drops(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Mapping[str, int]:
        """Return how many events were dropped, by ``kind:arm``."""
        query = _between(
            sa.select(DROPS.c.kind, DROPS.c.arm, sa.func.sum(DROPS.c.number)),
            DROPS,
            model,
            since,
            until,
        ).group_by(DROPS.c.kind, DROPS.c.arm)
        with self._reading() as connection:
            return {f"{kind}:{arm}": int(n) for kind, arm, n in connection.execute(query)}

    def requested(self, model: str, request_ids: Sequence[str]) -> Mapping[str, int]:
        """Return when each of these requests was answered first."""
        table = TABLES["request"]
        found: dict[str, int] = {}
        wanted = list(dict.fromkeys(request_ids))
        with self._reading() as connection:
            for start in range(0, len(wanted), IDS_AT_ONCE):
                query = (
                    sa.select(table.c.request_id, sa.func.min(table.c.time_us))
                    .where(
                        table.c.model == model,
                        table.c.request_id.in_(wanted[start : start + IDS_AT_ONCE]),
                    )
                    .group_by(table.c.request_id)
                )
                found |= {str(name): int(time) for name, time in connection.execute(query)}
        return found

    def pace(self, model: str, *, since: datetime) -> tuple[Pace, ...]:
        """Return how the requests since then went, by segment and role; one without any lacks.

        Raises:
            StorageUnreachable: if the event log does not answer.
        """
        table = TABLES["request"]
        failed = sa.or_(table.c.error != "", table.c.role == "fallback")
        query = (
            sa.select(
                table.c.segment,
                table.c.assigned,
                sa.func.count(),
                sa.func.sum(sa.case((failed, 1), else_=0)),
                sa.func.avg(table.c.latency_ms),
            )
            .where(table.c.model == model, table.c.time_us >= microseconds(since))
            .group_by(table.c.segment, table.c.assigned)
            .order_by(table.c.segment, table.c.assigned)
        )
        with self._reading() as connection:
            return tuple(
                Pace(segment, assigned, int(answers), int(lost), float(latency))
                for segment, assigned, answers, lost, latency in connection.execute(query)
            )

    def acknowledge(self, said: Acknowledgement) -> None:
        """Record what a server process says of itself, in place of what it said before."""
        with self._writing() as connection:
            self._forget(connection, said.model, said.worker)
            insert_new(connection, WORKERS, [said])

    def leave(self, model: str, worker: str) -> None:
        """Record that a server process has ended."""
        with self._writing() as connection:
            self._forget(connection, model, worker)

    def acknowledged(self, model: str) -> tuple[Acknowledgement, ...]:
        """Return what each server process said last of the plan that it follows."""
        query = sa.select(WORKERS).where(WORKERS.c.model == model).order_by(WORKERS.c.worker)
        with self._reading() as connection:
            return tuple(Acknowledgement(*row) for row in connection.execute(query))

    def prune(self, model: str, before: datetime) -> int:
        """Remove events and counts of ``model`` older than ``before``, a few at a time."""
        removed = 0
        for table in (*TABLES.values(), DROPS):
            key = next(iter(table.primary_key))
            old = (
                sa.select(key)
                .where(table.c.model == model, table.c.time_us < microseconds(before))
                .limit(PRUNED_AT_ONCE)
            )
            while True:
                with self._writing() as connection:
                    gone = connection.execute(sa.delete(table).where(key.in_(old))).rowcount
                removed += gone if table is not DROPS else 0
                if gone < PRUNED_AT_ONCE:
                    break
        return removed

    def _forget(self, connection: Connection, model: str, worker: str) -> None:
        connection.execute(
            sa.delete(WORKERS).where(WORKERS.c.model == model, WORKERS.c.worker == worker)
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._make()
        with self._told("read"), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._make()
        with self._told("write to"), self._locked() as connection:
            yield connection

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        options = {"begin": "BEGIN IMMEDIATE"}
        with (
            self.engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def _make(self) -> None:
        if self._made:
            return
        with self._told("open"):
            if is_sqlite(self.engine.url) and self.engine.url.database:
                make_private_folder(Path(self.engine.url.database).parent)
            with self._locked() as connection:
                make_tables(connection)
        self._made = True

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, OSError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            said = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise StorageUnreachable(
                f"{doing} the event log {self.name}",
                said,
                self._remedy(said),
            ) from error

    def _remedy(self, said: str) -> str:
        if "not a database" in said or "malformed" in said:
            return (
                "move the file away and keep it: a new one is made, and shadows and rollouts count "
                "from then on"
            )
        if "readonly" in said or "unable to open" in said:
            return (
                "make the file and its folder writable for this user, which reading needs as well"
            )
        return f"check {VARIABLE}, the disk's free space, and that the database runs"


def _between(
    query: sa.Select[Any],
    table: sa.Table,
    model: str,
    since: datetime | None,
    until: datetime | None,
) -> sa.Select[Any]:
    query = query.where(table.c.model == model)
    if since is not None:
        query = query.where(table.c.time_us >= microseconds(since))
    if until is not None:
        query = query.where(table.c.time_us < microseconds(until))
    return query
