"""The outbox in the ledger's database; see :class:`promotion_assets.notification.ports.Outbox`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from promotion_assets.adapters.database import changing, open_engine, shown, spoken
from promotion_assets.notification.outgoing import OutgoingEvent
from promotion_assets.notification.ports import Delivery, Depth
from promotion_assets.notification.retry import is_within
from promotion_assets.policy.notifications import Subscription

PARTS = 16
BATCH = 500


def _table(name: str, *columns: str, integers: Sequence[str] = ()) -> Any:
    return sa.table(
        name,
        *(sa.column(c, sa.BigInteger if c in integers else sa.Text) for c in columns),
    )


_EVENTS = _table(
    "notification_events",
    *("place", "event_id", "type", "model", "version", "segment", "at", "data", "shared_at"),
    integers=("place",),
)
_DELIVERIES = _table(
    "notification_deliveries",
    *("subscription", "place", "model", "state", "attempts", "attempted_at", "next_at"),
    *("settled_at", "problem"),
    integers=("place", "attempts"),
)
_LEASES = _table("notification_leases", "subscription", "holder", "since", "until")
_SUBSCRIPTIONS = _table("notification_subscriptions", "name", "content", "added_by", "added_at")
_JOINED = sa.select(_DELIVERIES, *(c for c in _EVENTS.c if c.name not in ("place", "model"))).join(
    _EVENTS, _EVENTS.c.place == _DELIVERIES.c.place
)


def note_events(connection: Connection, events: Iterable[OutgoingEvent]) -> None:
    """Write outgoing events in the transaction of the entries that they are about."""
    parts: dict[int, int] = {}
    rows = []
    for event in events:
        part = parts[event.sequence] = parts.get(event.sequence, -1) + 1
        assert part < PARTS
        rows.append(
            {
                "place": event.sequence * PARTS + part,
                "event_id": event.id,
                "type": event.type,
                "model": event.model,
                "version": event.version,
                "segment": event.segment,
                "at": _text(event.at),
                "data": json.dumps(dict(event.data)),
            }
        )
    if rows:
        connection.execute(sa.insert(_EVENTS), rows)


def open_outbox(url: str) -> DatabaseOutbox:
    """Open the outbox in the database at ``url``.

    Raises:
        UsageError, LedgerUnreachable: as :func:`.database.open_engine`.
    """
    return DatabaseOutbox(open_engine(url), shown(url))


class DatabaseOutbox:
    """The :class:`promotion_assets.notification.ports.Outbox` on SQLAlchemy."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()

    def share(self, subscriptions: Sequence[Subscription], now: datetime) -> int:
        """Make deliveries of events that have none yet; see the protocol."""
        shared = 0
        while batch := self._share_some(subscriptions, now):
            shared += batch
        return shared

    def _share_some(self, subscriptions: Sequence[Subscription], now: datetime) -> int:
        unshared = (
            sa.select(_EVENTS.c.place, _EVENTS.c.type, _EVENTS.c.model)
            .where(_EVENTS.c.shared_at.is_(None))
            .order_by(_EVENTS.c.place)
            .limit(BATCH)
        )
        # A look first: an idle round takes no write lock.
        if not self._all(unshared.limit(1)):
            return 0
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            found = list(connection.execute(unshared))
            rows = [
                {
                    "subscription": each.name,
                    "place": row.place,
                    "model": row.model,
                    "state": "pending",
                    "attempts": 0,
                }
                for row in found
                for each in subscriptions
                if each.wants(row.type, row.model)
            ]
            if rows:
                connection.execute(insert_new(connection, _DELIVERIES), rows)
            if found:
                places = [row.place for row in found]
                connection.execute(
                    sa.update(_EVENTS)
                    .where(_EVENTS.c.place.in_(places))
                    .values(shared_at=_text(now))
                )
        return len(found)

    def lease(self, subscription: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or renew the right to deliver to a subscription; see the protocol."""
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            mine = {"subscription": subscription, "holder": holder}
            mine |= {"since": _text(now), "until": _text(until)}
            new = connection.execute(insert_new(connection, _LEASES), mine)
            if new.rowcount == 1:
                return True
            row = connection.execute(
                sa.select(_LEASES).where(_LEASES.c.subscription == subscription)
            ).first()
            if row is None:
                return False
            held = is_within(_time(row.since), _time(row.until), now)
            if row.holder != holder and held:
                return False
            taken = connection.execute(
                sa.update(_LEASES)
                .where(
                    _LEASES.c.subscription == subscription,
                    _LEASES.c.holder == row.holder,
                    _LEASES.c.since == row.since,
                )
                .values(holder=holder, since=_text(now), until=_text(until))
            )
            return taken.rowcount == 1

    def release(self, subscription: str, holder: str) -> None:
        """Give the right back."""
        self._write(
            sa.delete(_LEASES).where(
                _LEASES.c.subscription == subscription, _LEASES.c.holder == holder
            )
        )

    def heads(self, subscription: str) -> list[Delivery]:
        """Return the oldest pending delivery of each model, the oldest first."""
        oldest = (
            sa.select(sa.func.min(_DELIVERIES.c.place))
            .where(_DELIVERIES.c.subscription == subscription, _DELIVERIES.c.state == "pending")
            .group_by(_DELIVERIES.c.model)
        )
        query = _JOINED.where(
            _DELIVERIES.c.subscription == subscription, _DELIVERIES.c.place.in_(oldest)
        ).order_by(_DELIVERIES.c.place)
        return [_delivery(row) for row in self._all(query)]

    def head(self, subscription: str, model: str) -> Delivery | None:
        """Return the oldest pending delivery of a model."""
        query = (
            _JOINED.where(
                _DELIVERIES.c.subscription == subscription,
                _DELIVERIES.c.model == model,
                _DELIVERIES.c.state == "pending",
            )
            .order_by(_DELIVERIES.c.place)
            .limit(1)
        )
        return next((_delivery(row) for row in self._all(query)), None)

    def delivered(self, delivery: Delivery, now: datetime) -> None:
        """Note that the receiver has it."""
        self._settle(delivery, state="delivered", settled_at=_text(now), problem=None)

    def failed(
        self, delivery: Delivery, now: datetime, next_at: datetime | None, problem: str
    ) -> None:
        """Note an attempt in vain; see the protocol."""
        self._settle(
            delivery,
            state="pending" if next_at else "dead",
            attempts=delivery.attempts + 1,
            attempted_at=_text(now),
            next_at=_text(next_at) if next_at else None,
            settled_at=None if next_at else _text(now),
            problem=problem[:500],
        )

    def revive(self, subscription: str, event_id: str | None = None) -> int:
        """Make dead letters pending again, one or all of a subscription; return how many."""
        chosen = [_DELIVERIES.c.subscription == subscription, _DELIVERIES.c.state == "dead"]
        if event_id is not None:
            place = sa.select(_EVENTS.c.place).where(_EVENTS.c.event_id == event_id)
            chosen.append(_DELIVERIES.c.place.in_(place))
        fresh = {"state": "pending", "attempts": 0, "next_at": None, "settled_at": None}
        return self._write(sa.update(_DELIVERIES).where(*chosen).values(**fresh))

    def drop(self, subscription: str) -> int:
        """Give up what is pending for a subscription; return how many deliveries that were."""
        return self._write(
            sa.update(_DELIVERIES)
            .where(_DELIVERIES.c.subscription == subscription, _DELIVERIES.c.state == "pending")
            .values(state="dropped")
        )

    def depth(self) -> Depth:
        """Count."""
        counts: dict[str, dict[str, int]] = {}
        grouped = sa.select(
            _DELIVERIES.c.state, _DELIVERIES.c.subscription, sa.func.count().label("number")
        ).group_by(_DELIVERIES.c.state, _DELIVERIES.c.subscription)
        for row in self._all(grouped):
            counts.setdefault(row.state, {})[row.subscription] = int(row.number)
        pending = sa.select(_DELIVERIES.c.place).where(_DELIVERIES.c.state == "pending")
        waiting = sa.or_(_EVENTS.c.shared_at.is_(None), _EVENTS.c.place.in_(pending))
        ((unshared,),) = self._all(
            sa.select(sa.func.count()).select_from(_EVENTS).where(_EVENTS.c.shared_at.is_(None))
        )
        ((oldest,),) = self._all(sa.select(sa.func.min(_EVENTS.c.at)).where(waiting))
        return Depth(
            unshared=int(unshared),
            pending=counts.get("pending", {}),
            delivered=counts.get("delivered", {}),
            dead=counts.get("dead", {}),
            oldest=_time(oldest) if oldest else None,
        )

    def deliveries(self, *, state: str, most: int = 100) -> list[Delivery]:
        """Return the newest deliveries in ``state``."""
        query = (
            _JOINED.where(_DELIVERIES.c.state == state)
            .order_by(_DELIVERIES.c.place.desc(), _DELIVERIES.c.subscription)
            .limit(most)
        )
        return [_delivery(row) for row in self._all(query)]

    def event(self, event_id: str) -> OutgoingEvent | None:
        """Return an outgoing event by its id."""
        query = sa.select(_EVENTS).where(_EVENTS.c.event_id == event_id)
        return next((_event(row) for row in self._all(query)), None)

    def receivers(self, event_id: str) -> tuple[str, ...]:
        """Return the subscriptions to which an event was shared out."""
        query = _JOINED.where(_EVENTS.c.event_id == event_id).order_by(_DELIVERIES.c.subscription)
        return tuple(str(row.subscription) for row in self._all(query))

    def prune(self, before: datetime) -> int:
        """Forget events recorded before then of which no delivery is pending."""
        pending = sa.select(_DELIVERIES.c.place).where(_DELIVERIES.c.state == "pending")
        old = sa.select(_EVENTS.c.place).where(
            _EVENTS.c.at < _text(before),
            _EVENTS.c.shared_at.is_not(None),
            _EVENTS.c.place.not_in(pending),
        )
        if not self._all(old.limit(1)):
            return 0
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            places = list(connection.execute(old.limit(BATCH)).scalars())
            connection.execute(sa.delete(_DELIVERIES).where(_DELIVERIES.c.place.in_(places)))
            connection.execute(sa.delete(_EVENTS).where(_EVENTS.c.place.in_(places)))
        return len(places)

    def add(self, subscription: Subscription, added_by: str, now: datetime) -> bool:
        """Keep a subscription; return whether its name was new."""
        row = {
            "name": subscription.name,
            "content": subscription.model_dump_json(),
            "added_by": added_by,
            "added_at": _text(now),
        }
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            return connection.execute(insert_new(connection, _SUBSCRIPTIONS), row).rowcount == 1

    def remove(self, name: str) -> bool:
        """Forget a subscription; return whether it was there."""
        return self._write(sa.delete(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.name == name)) == 1

    def added(self) -> tuple[Subscription, ...]:
        """Return the subscriptions that were added by command, by name."""
        query = sa.select(_SUBSCRIPTIONS.c.content).order_by(_SUBSCRIPTIONS.c.name)
        return tuple(Subscription.model_validate_json(row.content) for row in self._all(query))

    def _settle(self, delivery: Delivery, **values: Any) -> None:
        # Only if nobody else has settled or tried it meanwhile.
        self._write(
            sa.update(_DELIVERIES)
            .where(
                _DELIVERIES.c.subscription == delivery.subscription,
                _DELIVERIES.c.place == delivery.place,
                _DELIVERIES.c.state == "pending",
                _DELIVERIES.c.attempts == delivery.attempts,
            )
            .values(**values)
        )

    def _write(self, statement: Any) -> int:
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            return int(connection.execute(statement).rowcount)

    def _all(self, query: Any) -> list[Any]:
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return list(connection.execute(query))


def insert_new(connection: Connection, table: Any) -> Any:
    """Return an insert that leaves a row alone which is there."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def _event(row: Any) -> OutgoingEvent:
    data: Mapping[str, Any] = json.loads(row.data)
    return OutgoingEvent(
        id=str(row.event_id),
        type=str(row.type),
        model=str(row.model),
        version=str(row.version),
        segment=str(row.segment),
        at=_time(row.at),
        sequence=int(row.place) // PARTS,
        data=data,
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        subscription=str(row.subscription),
        place=int(row.place),
        event=_event(row),
        state=row.state,
        attempts=int(row.attempts),
        attempted_at=_time(row.attempted_at) if row.attempted_at else None,
        next_at=_time(row.next_at) if row.next_at else None,
        settled_at=_time(row.settled_at) if row.settled_at else None,
        problem=row.problem or "",
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
