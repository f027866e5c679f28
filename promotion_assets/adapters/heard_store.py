"""What was heard from outside, once each, in the ledger's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from promotion_assets.adapters.database import changing, open_engine, shown, spoken
from promotion_assets.adapters.outbox_store import insert_new
from promotion_assets.notification.heard import Hint

_HEARD = sa.table(
    "notification_heard",
    *(sa.column(c, sa.Text) for c in ("name", "model", "version", "heard_at", "taken_at")),
)
_WAITING = sa.select(_HEARD).where(_HEARD.c.taken_at.is_(None)).order_by(_HEARD.c.heard_at)
_HINT = "mlflow:"


def open_heard(url: str) -> DatabaseHeard:
    """Open the store in the database at ``url``.

    Raises:
        UsageError, LedgerUnreachable: as :func:`.database.open_engine`.
    """
    return DatabaseHeard(open_engine(url), shown(url))


class DatabaseHeard:
    """Hints that wait to be looked at, and names of what counts only once."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()

    def hint(self, hint: Hint, now: datetime) -> bool:
        """Keep a hint; return whether its delivery is new."""
        return self._keep(f"{_HINT}{hint.delivery}", hint.model, hint.version, now, taken=False)

    def once(self, name: str, now: datetime) -> bool:
        """Note a name; return whether it is new."""
        return self._keep(name, "", "", now, taken=True)

    def forget(self, name: str) -> None:
        """Forget a name, so that it counts again."""
        self._write(sa.delete(_HEARD).where(_HEARD.c.name == name))

    def waiting(self) -> tuple[Hint, ...]:
        """Return the hints that nobody has looked at, the oldest first."""
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return tuple(
                Hint(str(row.name).removeprefix(_HINT), str(row.model), str(row.version))
                for row in connection.execute(_WAITING)
            )

    def take(self, hints: tuple[Hint, ...], now: datetime) -> None:
        """Note that hints were looked at."""
        names = [f"{_HINT}{hint.delivery}" for hint in hints]
        self._write(sa.update(_HEARD).where(_HEARD.c.name.in_(names)).values(taken_at=_text(now)))

    def prune(self, before: datetime) -> int:
        """Forget what was heard before then and needs no further look."""
        return self._write(
            sa.delete(_HEARD).where(
                _HEARD.c.heard_at < _text(before), _HEARD.c.taken_at.is_not(None)
            )
        )

    def _keep(self, name: str, model: str, version: str, now: datetime, *, taken: bool) -> bool:
        row = {
            "name": name,
            "model": model,
            "version": version,
            "heard_at": _text(now),
            "taken_at": _text(now) if taken else None,
        }
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            return connection.execute(insert_new(connection, _HEARD), row).rowcount == 1

    def _write(self, statement: Any) -> int:
        with spoken(f"write to {self.name}"), changing(self.engine) as connection:
            return int(connection.execute(statement).rowcount)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
