"""The local breaker: after some failures a candidate is not asked for a while, then tried again."""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from promotion_assets.policy.serving import Breaker

State = Literal["closed", "open", "half_open"]


class CandidateBreaker:
    """One candidate's breaker, of one server process; times are seconds of one clock.

    Closed, it lets everything through. Open, nothing. Half open, one request at a time, until
    one is answered: then it closes; or fails: then it opens anew.
    """

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._failures: deque[float] = deque()
        self._opened: float | None = None
        self._trying = False
        self._lock = threading.Lock()
        self.opened = 0

    def allows(self, now: float) -> bool:
        """Whether the candidate may be asked now; whoever may must say how it went."""
        if self._opened is None:
            return True
        with self._lock:
            if self._opened is None:
                return True
            if self._trying or now < self._opened + self._settings.open_seconds:
                return False
            self._trying = True
            return True

    def went(self, now: float, *, well: bool) -> None:
        """Record an answer that is good, or none."""
        if well and self._opened is None:
            return
        with self._lock:
            self._trying = False
            if well:
                self._opened = None
                self._failures.clear()
                return
            self._failures.append(now)
            while self._failures[0] <= now - self._settings.window_seconds:
                self._failures.popleft()
            if self._opened is not None or len(self._failures) >= self._settings.failures:
                self._opened = now
                self._failures.clear()
                self.opened += 1

    def given_up(self) -> None:
        """Record that the candidate was let through and not asked after all."""
        with self._lock:
            self._trying = False

    def too_slow(self, milliseconds: float) -> bool:
        """Whether an answer that took so long counts as failed."""
        limit = self._settings.slow_ms
        return limit is not None and milliseconds > limit

    def state(self, now: float) -> State:
        """Return where it stands."""
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + self._settings.open_seconds else "half_open"
