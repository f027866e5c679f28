"""Access of reviewers: tokens given and taken away, signing in, sessions, and their journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from promotion_assets.errors import AccessRefused, UsageError
from promotion_assets.lifecycle.events import AccessRecorded
from promotion_assets.lifecycle.ports import Ledger
from promotion_assets.review.identity import (
    RandomBytes,
    hashed,
    is_secret,
    name_hash,
    new_token,
    split_token,
)
from promotion_assets.review.ports import AccessStore, StoredSession, StoredToken

# No registered model can be called so: MLflow refuses a colon.
JOURNAL = "reviewers:access"
SESSION = timedelta(hours=8)
WINDOW = timedelta(minutes=15)
MOST_FAILURES = 5
MOST_FAILURES_OVERALL = 100
EVERYWHERE = "everywhere"

What = Literal["token_issued", "token_revoked", "login_failed", "locked_out", "request_refused"]


@dataclass(frozen=True)
class Access:
    """Who may come in. Every failure is counted, and recorded in the ledger up to a limit.

    Attributes:
        known: whether a name is a reviewer's in any policy.
    """

    store: AccessStore
    ledger: Ledger
    clock: Callable[[], datetime]
    known: Callable[[str], bool]
    random: RandomBytes = os.urandom

    def issue(self, reviewer: str, actor: str) -> str:
        """Return a new token of ``reviewer``, which is not to be had a second time.

        Raises:
            UsageError: no policy names the reviewer.
        """
        if not self.known(reviewer):
            raise UsageError(
                f"issuing a token for {reviewer}",
                "no model's policy names this reviewer",
                "add the name to `review.reviewers` in promotion.yaml first",
            )
        made = new_token(self.random)
        self.store.add_token(StoredToken(made.token_id, reviewer, made.hash, self.clock()))
        self._journal("token_issued", reviewer, actor=actor, detail=made.token_id)
        return made.text

    def revoke(self, reviewer: str, actor: str) -> int:
        """End all tokens and sessions of ``reviewer``; return how many tokens that were."""
        ended = self.store.revoke(reviewer, self.clock())
        if ended:
            self._journal("token_revoked", reviewer, actor=actor, detail=f"{ended} tokens")
        return ended

    def verify(self, token: str, source: str) -> StoredToken:
        """Return whose token this is.

        Raises:
            AccessRefused: it is nobody's, or revoked, or too many were tried from ``source``.
        """
        since = self.clock() - WINDOW
        if (
            self.store.attempts(source, since) >= MOST_FAILURES
            or self.store.attempts(EVERYWHERE, since) >= MOST_FAILURES_OVERALL
        ):
            raise AccessRefused(
                "signing in",
                "too many tokens were tried in vain",
                f"wait {WINDOW.seconds // 60} minutes",
            )
        found = self._token(token)
        if found is None:
            self.failed(source, "an unknown or revoked token was given")
            raise AccessRefused(
                "signing in",
                "the token is unknown or was revoked",
                "have a new one issued with `promotion reviewer add`",
            )
        return found

    def sign_in(self, token: str, source: str) -> tuple[str, StoredSession]:
        """Return the name of a new session, and the session.

        Raises:
            AccessRefused: as :meth:`verify`.
        """
        found = self.verify(token, source)
        name = self.random(32).hex()
        session = StoredSession(found.token_id, found.reviewer, self.clock() + SESSION)
        self.store.add_session(name_hash(name), session)
        return name, session

    def session(self, name: str) -> StoredSession | None:
        """Return the session called ``name`` if it has not ended, nor its token, nor the policy."""
        found = self.store.session(name_hash(name)) if name else None
        if found is None or found.expires_at <= self.clock():
            return None
        token = self.store.token(found.token_id)
        if token is None or token.revoked_at is not None or not self.known(found.reviewer):
            return None
        return found

    def sign_out(self, name: str) -> None:
        """End a session."""
        self.store.end_session(name_hash(name))

    def failed(self, source: str, detail: str, what: What = "login_failed") -> None:
        """Count and record something that was tried in vain; a flood is recorded once."""
        now = self.clock()
        tried = self.store.attempts(source, now - WINDOW)
        overall = self.store.attempts(EVERYWHERE, now - WINDOW)
        # A flood fills no disk, and one source alone locks nobody else out.
        if tried <= MOST_FAILURES and overall <= MOST_FAILURES_OVERALL:
            for counted in (source, EVERYWHERE):
                self.store.note_attempt(counted, now)
        if tried < MOST_FAILURES and overall < MOST_FAILURES_OVERALL:
            self._journal(what, "", source=source, detail=detail)
        elif tried == MOST_FAILURES or overall == MOST_FAILURES_OVERALL:
            self._journal("locked_out", "", source=source, detail=detail)

    def _token(self, text: str) -> StoredToken | None:
        parts = split_token(text)
        stored = self.store.token(parts[0]) if parts else None
        if parts is None or stored is None:
            # As long as with a known id, so that nobody learns which ids there are.
            hashed("nobody", b"no salt of anyone")
            return None
        good = is_secret(parts[1], stored.hash) and stored.revoked_at is None
        return stored if good and self.known(stored.reviewer) else None

    def _journal(
        self,
        what: What,
        reviewer: str,
        *,
        actor: str = "promotion",
        source: str = "",
        detail: str = "",
    ) -> None:
        self.ledger.append(
            [
                AccessRecorded(
                    model=JOURNAL,
                    actor=actor,
                    what=what,
                    reviewer=reviewer,
                    source=source[:200],
                    detail=detail[:500],
                )
            ]
        )
