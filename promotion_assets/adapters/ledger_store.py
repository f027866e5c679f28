"""The ledger in a database: signed entries, chained, appended under one lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from securesystemslib.signer import SSlibKey
from sqlalchemy.engine import Connection, Engine

from promotion_assets.adapters.database import (
    open_engine,
    open_engine_to_read,
    shown,
    spoken,
    writing,
)
from promotion_assets.adapters.outbox_store import note_events
from promotion_assets.adapters.tracing import span
from promotion_assets.audit.entries import (
    FIRST_PREVIOUS,
    Entry,
    Place,
    Signer,
    keyid_of,
    make_entry,
    recorded_of,
    verify_signature,
)
from promotion_assets.audit.ledger import Head
from promotion_assets.errors import Conflict, IntegrityError, UsageError
from promotion_assets.lifecycle.events import AnyEvent, Recorded
from promotion_assets.lifecycle.fold import check_whole, fold
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.notification.outgoing import outgoing

Clock = Callable[[], datetime]
PAGE = 5000

_ENTRIES = sa.table(
    "ledger_entries",
    sa.column("seq", sa.BigInteger),
    sa.column("model", sa.Text),
    sa.column("model_seq", sa.BigInteger),
    sa.column("kind", sa.Text),
    sa.column("previous", sa.Text),
    sa.column("hash", sa.Text),
    sa.column("envelope", sa.Text),
)
_COLUMNS = sa.select(_ENTRIES)
# One statement for any number of entries: a round trip each would be what takes the time.
_APPEND_POSTGRES = sa.text(
    "SELECT promotion_ledger_append(seq, model, model_seq, kind, previous, envelope) FROM unnest("
    "CAST(:seq AS bigint[]), CAST(:model AS text[]), CAST(:model_seq AS bigint[]), "
    "CAST(:kind AS text[]), CAST(:previous AS text[]), CAST(:envelope AS text[])"
    ") WITH ORDINALITY AS entry(seq, model, model_seq, kind, previous, envelope, place) "
    "ORDER BY place"
)


def open_ledger(
    url: str, signer: Signer, clock: Clock, *, trusted: Sequence[SSlibKey] = ()
) -> DatabaseLedger:
    """Open the ledger at ``url``, with its tables made or migrated.

    Args:
        signer: signs what is appended.
        clock: gives the time, with its time zone, that entries are stamped with.
        trusted: public keys of earlier signers whose entries count as well.

    Raises:
        UsageError, LedgerUnreachable: as :func:`open_engine`.
    """
    return DatabaseLedger(open_engine(url), signer, clock, trusted, shown(url))


def open_entries(url: str) -> StoredEntries:
    """Open the ledger at ``url`` for reading alone: no key, no migration, no write.

    Raises:
        UsageError, LedgerUnreachable: as :func:`open_engine_to_read`.
    """
    return StoredEntries(open_engine_to_read(url), shown(url))


def open_verified(url: str, keys: Sequence[SSlibKey]) -> VerifiedEntries:
    """Open the ledger at ``url`` for reading verified states, with public keys alone.

    Raises:
        UsageError, LedgerUnreachable: as :func:`open_engine_to_read`.
    """
    return VerifiedEntries(open_engine_to_read(url), keys, shown(url))


class StoredEntries:
    """The ledger's rows as they are stored, unverified."""

    def __init__(self, engine: Engine, name: str = "ledger") -> None:
        self.engine = engine
        self.name = name

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()

    def entries(self, model: str | None = None, after: int | None = None) -> Iterator[Entry]:
        """Yield the rows as they are stored, past sequence ``after``, a page at a time."""
        while True:
            query = _COLUMNS.order_by(_ENTRIES.c.seq).limit(PAGE)
            if after is not None:
                query = query.where(_ENTRIES.c.seq > after)
            if model is not None:
                query = query.where(_ENTRIES.c.model == model)
            with spoken(f"read {self.name}"), self.engine.connect() as connection:
                # The driver's own tuples, in the order of the columns: half the time of rows.
                rows = connection.execute(query).cursor.fetchall()
            page = [Entry._make((*row[:-1], row[-1].encode())) for row in rows]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].sequence

    def head(self) -> Head:
        """Return the ledger's size and last hash."""
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return _head(connection)

    def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        query = sa.select(_ENTRIES.c.model).distinct().order_by(_ENTRIES.c.model)
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return tuple(str(name) for name in connection.execute(query).scalars())


class VerifiedEntries(StoredEntries):
    """The ledger's rows, of which a state is folded once they are verified.

    Each entry's signature and its place are checked; public keys are all that it needs.
    """

    def __init__(self, engine: Engine, keys: Sequence[SSlibKey], name: str = "ledger") -> None:
        super().__init__(engine, name)
        self.keys = {key.keyid: key for key in keys}
        self._states: dict[str, ModelState] = {}
        self._lock = threading.Lock()

    def state(self, model: str) -> ModelState:
        """Return the model's state, folded from its verified entries.

        Raises:
            IntegrityError: if an entry is not what its signer signed, or is out of place.
        """
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            found = self._catch_up(connection, model)
        with self._lock:
            self._states[model] = found
        return found

    def _catch_up(self, connection: Connection, model: str) -> ModelState:
        with self._lock:
            known = self._states.get(model) or ModelState(model)
        last = sa.select(sa.func.coalesce(sa.func.max(_ENTRIES.c.model_seq), 0)).where(
            _ENTRIES.c.model == model
        )
        reached = int(connection.execute(last).scalar_one())
        if reached == known.sequence:
            return known
        if reached < known.sequence:
            raise IntegrityError(
                f"read the history of model {model!r}",
                f"the ledger had {known.sequence} entries of it and now has {reached}",
                "run `promotion audit verify`, and compare with a backup",
            )
        query = _COLUMNS.where(
            _ENTRIES.c.model == model, _ENTRIES.c.model_seq > known.sequence
        ).order_by(_ENTRIES.c.model_seq)
        new: list[AnyEvent] = []
        for row in connection.execute(query):
            entry = _entry(row)
            self._verify(entry, known.sequence + len(new) + 1)
            new.append(recorded_of(entry).event)
        return fold(model, new, known)

    def _verify(self, entry: Entry, place: int) -> None:
        recorded = recorded_of(entry)
        key = self.keys.get(keyid_of(entry.envelope))
        problem = None
        if key is None:
            problem = "it is signed by a key that this installation does not trust"
        elif (recorded.sequence, recorded.model_sequence) != (entry.sequence, place):
            problem = "it was signed for another place in the ledger"
        if problem is not None:
            raise IntegrityError(
                f"read entry {entry.sequence} of {self.name}",
                problem,
                "run `promotion audit verify`, and compare with a backup",
            )
        assert key is not None
        verify_signature(entry.envelope, key, entry.sequence)


class DatabaseLedger(VerifiedEntries):
    """The :class:`promotion_assets.audit.ledger.Ledger` on SQLAlchemy."""

    def __init__(
        self,
        engine: Engine,
        signer: Signer,
        clock: Clock,
        trusted: Sequence[SSlibKey] = (),
        name: str = "ledger",
    ) -> None:
        own = signer.public_key
        assert isinstance(own, SSlibKey)
        super().__init__(engine, (own, *trusted), name)
        self._signer = signer
        self._clock = clock

    def append(
        self, events: Sequence[AnyEvent], *, expect_sequence: int | None = None
    ) -> tuple[Recorded, ...]:
        """Record ``events`` in one transaction; see the protocol."""
        return self.append_all([(events, expect_sequence)])[0]

    def append_all(
        self, batches: Sequence[tuple[Sequence[AnyEvent], int | None]]
    ) -> list[tuple[Recorded, ...]]:
        """Record several batches, each as :meth:`append` would, with one sync of the disk.

        What the outside is told of them is written to the outbox in the same transaction.

        Raises:
            As :meth:`append`; then none of the batches is recorded.
        """
        written: list[tuple[Recorded, ...]] = []
        states: dict[str, ModelState] = {}
        signed: list[Entry] = []
        with (
            span("ledger append") as traced,
            spoken(f"append to {self.name}"),
            writing(self.engine) as connection,
        ):
            head = _head(connection)
            for events, expected in batches:
                model = _model_of(events)
                if model not in states:
                    states[model] = self._catch_up(connection, model)
                _compare(states[model], expected)
                new = fold(model, events, states[model])
                check_whole(new)
                entries = self._sign(events, head, states[model].sequence)
                signed += entries
                states[model] = new
                head = Head(entries[-1].sequence, entries[-1].hash)
                written.append(tuple(recorded_of(entry) for entry in entries))
            _insert(connection, signed)
            note_events(connection, (told for new in written for r in new for told in outgoing(r)))
            traced.note(
                model=", ".join(states),
                entries=len(signed),
                kinds=", ".join(dict.fromkeys(entry.kind for entry in signed)),
                sequence=head.size,
            )
        with self._lock:
            self._states.update(states)
        return written

    def events(self, model: str | None = None) -> Iterator[Recorded]:
        """Yield what is recorded, in order."""
        for entry in self.entries(model):
            yield recorded_of(entry)

    def _sign(self, events: Sequence[AnyEvent], head: Head, model_sequence: int) -> list[Entry]:
        now = self._clock()
        entries: list[Entry] = []
        previous = head.hash
        for at, event in enumerate(events, start=1):
            place = Place(head.size + at, model_sequence + at, previous, now)
            entries.append(make_entry(event, place, self._signer))
            previous = entries[-1].hash
        return entries


def _model_of(events: Sequence[AnyEvent]) -> str:
    models = {event.model for event in events}
    if len(models) != 1:
        raise UsageError(
            "append to the ledger",
            f"a transaction holds events of {len(models)} models: {', '.join(sorted(models))}",
            "append the events of one model at a time",
        )
    return models.pop()


def _compare(state: ModelState, expected: int | None) -> None:
    if expected is not None and state.sequence != expected:
        raise Conflict(
            f"append to the history of model {state.model!r}",
            f"it has {state.sequence} entries and the writer had seen {expected}",
            "somebody else was first: look at `promotion status`, and run the command again if it "
            "still stands",
        )


def _insert(connection: Connection, entries: Sequence[Entry]) -> None:
    rows = [
        {
            "seq": entry.sequence,
            "model": entry.model,
            "model_seq": entry.model_sequence,
            "kind": entry.kind,
            "previous": entry.previous,
            "hash": entry.hash,
            "envelope": entry.envelope.decode(),
        }
        for entry in entries
    ]
    if connection.dialect.name == "postgresql":
        names = ("seq", "model", "model_seq", "kind", "previous", "envelope")
        columns = {name: [row[name] for row in rows] for name in names}
        connection.execute(_APPEND_POSTGRES, columns)
    else:
        connection.execute(sa.insert(_ENTRIES), rows)


def _head(connection: Connection) -> Head:
    query = sa.select(_ENTRIES.c.seq, _ENTRIES.c.hash).order_by(_ENTRIES.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return Head(0, FIRST_PREVIOUS) if row is None else Head(int(row.seq), str(row.hash))


def _entry(row: Any) -> Entry:
    return Entry(
        sequence=int(row.seq),
        model=str(row.model),
        model_sequence=int(row.model_seq),
        kind=str(row.kind),
        previous=str(row.previous),
        hash=str(row.hash),
        envelope=str(row.envelope).encode(),
    )
