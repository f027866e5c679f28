"""What reviews ask of a database, and what a request, a queue and an answer look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from promotion_assets.review.case import Case
from promotion_assets.review.view import ReviewView


@dataclass(frozen=True)
class StoredToken:
    """A reviewer's token as it is stored."""

    token_id: str
    reviewer: str
    hash: str
    issued_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class StoredSession:
    """A session as it is stored; it ends with its token."""

    token_id: str
    reviewer: str
    expires_at: datetime


class AccessStore(Protocol):
    """Tokens, sessions, attempts, openings, and what may be used only once.

    Raises:
        LedgerUnreachable: from every method, if the database does not answer.
    """

    def add_token(self, token: StoredToken) -> None:
        """Keep a token."""

    def token(self, token_id: str) -> StoredToken | None:
        """Return a token."""

    def tokens(self) -> tuple[StoredToken, ...]:
        """Return all tokens, revoked ones too, in order of their issue."""

    def revoke(self, reviewer: str, at: datetime) -> int:
        """End a reviewer's tokens and sessions; return how many tokens that were."""

    def add_session(self, name: str, session: StoredSession) -> None:
        """Keep a session under the hash of its name."""

    def session(self, name: str) -> StoredSession | None:
        """Return a session by the hash of its name."""

    def end_session(self, name: str) -> None:
        """Forget a session."""

    def note_attempt(self, source: str, at: datetime) -> None:
        """Count an attempt in vain."""

    def attempts(self, source: str, since: datetime) -> int:
        """Return how many attempts in vain there were."""

    def open_part(self, request_id: str, reviewer: str, part: str, at: datetime) -> None:
        """Note that a part was opened; only the first time counts."""

    def openings(self, request_id: str, reviewer: str) -> Mapping[str, datetime]:
        """Return when each part was first opened."""

    def put_once(self, name: str, content: str, expires_at: datetime) -> bool:
        """Keep something that may be used once; return whether the name was new."""

    def take_once(self, name: str, at: datetime) -> str | None:
        """Return it and mark it as used, or ``None`` if it is unknown, used or expired."""


@dataclass(frozen=True)
class QueueItem:
    """One line of the queue."""

    model: str
    version: str
    segment: str
    request_id: str
    assigned: tuple[str, ...]
    requested_at: datetime
    expires_at: datetime | None
    approvals: int
    quorum: int


@dataclass(frozen=True)
class Shown:
    """A request as one reviewer sees it now.

    Attributes:
        view: what is shown, frozen under ``view_digest``.
        pictures: PNG by title.
        opened: ids of the slices that this reviewer has opened.
        hindrances: what keeps this reviewer from approving, whatever she answers.
        closed: why the request is not open, ``None`` where it is.
        told: that it was a drill and what is wrong with it; empty until this reviewer may know.
    """

    case: Case
    view: ReviewView
    view_digest: str
    pictures: Mapping[str, bytes]
    opened: frozenset[str]
    hindrances: tuple[str, ...]
    closed: str | None
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What both versions answered to hand-made inputs, as text: a score or why there is none."""

    candidate: str
    champion: str | None
