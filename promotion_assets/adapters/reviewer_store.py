"""Reviewers' access in the ledger's database; see :class:`promotion_assets.review.ports`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from promotion_assets.adapters.database import open_engine, shown, spoken, writing
from promotion_assets.review.ports import StoredSession, StoredToken


def _table(name: str, *columns: str) -> Any:
    return sa.table(name, *(sa.column(column, sa.Text) for column in columns))


_TOKENS = _table("reviewer_tokens", "token_id", "reviewer", "hash", "issued_at", "revoked_at")
_SESSIONS = _table("reviewer_sessions", "session_hash", "token_id", "reviewer", "expires_at")
_ATTEMPTS = _table("reviewer_attempts", "source", "at")
_OPENINGS = _table("review_openings", "request_id", "reviewer", "part", "opened_at")
_ONCE = _table("review_once", "name", "content", "expires_at", "used_at")
ATTEMPTS_KEPT = timedelta(days=1)


def open_access_store(url: str) -> DatabaseAccessStore:
    """Open the store in the database at ``url``.

    Raises:
        UsageError, LedgerUnreachable: as :func:`.database.open_engine`.
    """
    return DatabaseAccessStore(open_engine(url), shown(url))


class DatabaseAccessStore:
    """The :class:`promotion_assets.review.ports.AccessStore` on SQLAlchemy."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def close(self) -> None:
        """Close the database's connections."""
        self.engine.dispose()

    def add_token(self, token: StoredToken) -> None:
        """Keep a token."""
        self._write(
            sa.insert(_TOKENS).values(
                token_id=token.token_id,
                reviewer=token.reviewer,
                hash=token.hash,
                issued_at=_text(token.issued_at),
            )
        )

    def token(self, token_id: str) -> StoredToken | None:
        """Return a token."""
        row = self._first(sa.select(_TOKENS).where(_TOKENS.c.token_id == token_id))
        return None if row is None else _token(row)

    def tokens(self) -> tuple[StoredToken, ...]:
        """Return all tokens, in order of their issue."""
        query = sa.select(_TOKENS).order_by(_TOKENS.c.issued_at, _TOKENS.c.token_id)
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return tuple(_token(row) for row in connection.execute(query))

    def revoke(self, reviewer: str, at: datetime) -> int:
        """End a reviewer's tokens and sessions; return how many tokens that were."""
        ending = (
            sa.update(_TOKENS)
            .where(_TOKENS.c.reviewer == reviewer, _TOKENS.c.revoked_at.is_(None))
            .values(revoked_at=_text(at))
        )
        ended = self._write(ending)
        self._write(sa.delete(_SESSIONS).where(_SESSIONS.c.reviewer == reviewer))
        return ended

    def add_session(self, name: str, session: StoredSession) -> None:
        """Keep a session under the hash of its name."""
        self._write(
            sa.insert(_SESSIONS).values(
                session_hash=name,
                token_id=session.token_id,
                reviewer=session.reviewer,
                expires_at=_text(session.expires_at),
            )
        )

    def session(self, name: str) -> StoredSession | None:
        """Return a session by the hash of its name."""
        row = self._first(sa.select(_SESSIONS).where(_SESSIONS.c.session_hash == name))
        if row is None:
            return None
        return StoredSession(str(row.token_id), str(row.reviewer), _time(row.expires_at))

    def end_session(self, name: str) -> None:
        """Forget a session."""
        self._write(sa.delete(_SESSIONS).where(_SESSIONS.c.session_hash == name))

    def note_attempt(self, source: str, at: datetime) -> None:
        """Count an attempt in vain, and forget those of days ago."""
        self._write(sa.delete(_ATTEMPTS).where(_ATTEMPTS.c.at < _text(at - ATTEMPTS_KEPT)))
        self._write(sa.insert(_ATTEMPTS).values(source=source[:200], at=_text(at)))

    def attempts(self, source: str, since: datetime) -> int:
        """Return how many attempts in vain there were."""
        counted = (
            sa.select(sa.func.count())
            .select_from(_ATTEMPTS)
            .where(_ATTEMPTS.c.source == source[:200], _ATTEMPTS.c.at >= _text(since))
        )
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return int(connection.execute(counted).scalar_one())

    def open_part(self, request_id: str, reviewer: str, part: str, at: datetime) -> None:
        """Note that a part was opened; only the first time counts."""
        place = (
            _OPENINGS.c.request_id == request_id,
            _OPENINGS.c.reviewer == reviewer,
            _OPENINGS.c.part == part,
        )
        with spoken(f"write to {self.name}"), writing(self.engine) as connection:
            if connection.execute(sa.select(_OPENINGS).where(*place)).first() is None:
                connection.execute(
                    sa.insert(_OPENINGS).values(
                        request_id=request_id, reviewer=reviewer, part=part, opened_at=_text(at)
                    )
                )

    def openings(self, request_id: str, reviewer: str) -> Mapping[str, datetime]:
        """Return when each part was first opened."""
        query = sa.select(_OPENINGS).where(
            _OPENINGS.c.request_id == request_id, _OPENINGS.c.reviewer == reviewer
        )
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return {str(r.part): _time(r.opened_at) for r in connection.execute(query)}

    def put_once(self, name: str, content: str, expires_at: datetime) -> bool:
        """Keep something that may be used once; return whether the name was new."""
        with spoken(f"write to {self.name}"), writing(self.engine) as connection:
            if connection.execute(sa.select(_ONCE).where(_ONCE.c.name == name)).first():
                return False
            connection.execute(
                sa.insert(_ONCE).values(name=name, content=content, expires_at=_text(expires_at))
            )
            return True

    def take_once(self, name: str, at: datetime) -> str | None:
        """Return it and mark it as used, or ``None`` if it is unknown, used or expired."""
        usable = (_ONCE.c.name == name, _ONCE.c.used_at.is_(None), _ONCE.c.expires_at > _text(at))
        with spoken(f"write to {self.name}"), writing(self.engine) as connection:
            row = connection.execute(sa.select(_ONCE).where(*usable)).first()
            if row is None:
                return None
            connection.execute(sa.update(_ONCE).where(*usable).values(used_at=_text(at)))
            return str(row.content)

    def _write(self, statement: Any) -> int:
        with spoken(f"write to {self.name}"), writing(self.engine) as connection:
            return int(connection.execute(statement).rowcount)

    def _first(self, query: Any) -> Any:
        with spoken(f"read {self.name}"), self.engine.connect() as connection:
            return connection.execute(query).first()


def _token(row: Any) -> StoredToken:
    return StoredToken(
        str(row.token_id),
        str(row.reviewer),
        str(row.hash),
        _time(row.issued_at),
        None if row.revoked_at is None else _time(row.revoked_at),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
