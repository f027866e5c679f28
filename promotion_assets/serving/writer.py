"""Writing events down beside the requests: a queue that never waits, and a thread that does.

A request that waited for a disk would be as slow as the disk (0.2 ms, and 14 ms at worst,
against 1 µs). So an event is put in a queue with a limit, a thread writes what is there in one
transaction, and what does not fit is dropped and counted. Nothing is lost without a count:
offered = written + dropped, whatever fails.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from uuid import uuid4

from promotion_assets.errors import StorageUnreachable
from promotion_assets.serving.events import (
    Drop,
    EventStore,
    Logged,
    RequestEvent,
    ShadowEvent,
    arm_of,
    kind_of,
)

log = logging.getLogger(__name__)

QUEUE_EVENTS = 50_000
QUEUE_CHARACTERS = 64 * 1024**2
BATCH = 512
FLUSH_SECONDS = 0.1
LONGEST_PAUSE = 2.0

Key = tuple[str, str, str]
"""Model, kind and arm."""


class BackgroundWriter:
    """An :class:`~promotion_assets.serving.events.EventWriter` in front of a store.

    Args:
        store: where events go.
        clock: the time in microseconds since 1970.
        limit: events that wait at most.
        characters: of predictions and features that wait at most; what bounds the memory where
            the policy logs features.
    """

    def __init__(
        self,
        store: EventStore,
        clock: Callable[[], int],
        *,
        limit: int = QUEUE_EVENTS,
        characters: int = QUEUE_CHARACTERS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._limit = limit
        self._characters = characters
        self._waiting: deque[Logged] = deque()
        self._held = 0
        self._lock = threading.Lock()
        self._drops: Counter[Key] = Counter()
        self._wake = threading.Event()
        self._closing = False
        self._deadline = float("inf")
        self.total_drops: Counter[Key] = Counter()
        self.written = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._thread.start()

    def offer(self, event: Logged) -> bool:
        """Take an event without waiting; ``False`` says that it was dropped, and counted."""
        weight = _weight(event)
        with self._lock:
            fits = (
                not self._closing
                and len(self._waiting) < self._limit
                and self._held + weight <= self._characters
            )
            if fits:
                self._waiting.append(event)
                self._held += weight
            else:
                self._count(_key(event), 1)
        if fits and len(self._waiting) == BATCH:
            self._wake.set()
        return fits

    def dropped(self, drop: Drop) -> None:
        """Count an event that could not even be made."""
        with self._lock:
            self._count((drop.model, drop.kind, drop.arm), drop.number)

    @property
    def waiting(self) -> int:
        """How many events wait to be written."""
        return len(self._waiting)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, for at most so long; what is left then is counted as dropped."""
        with self._lock:
            self._closing = True
            self._deadline = time.monotonic() + seconds
        self._wake.set()
        self._thread.join()

    def _count(self, key: Key, count: int) -> None:
        self._drops[key] += count
        self.total_drops[key] += count

    def _run(self) -> None:
        while not (self._closing and not self._waiting and not self._drops):
            if len(self._waiting) < BATCH and not self._closing:
                self._wake.wait(FLUSH_SECONDS)
                self._wake.clear()
            events, drops = self._take()
            if events or drops:
                self._write(events, drops)

    def _take(self) -> tuple[list[Logged], list[Drop]]:
        with self._lock:
            events = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._held -= sum(map(_weight, events))
            drops, self._drops = self._drops, Counter()
        now = self._clock()
        return events, [Drop(uuid4().hex, now, *key, count) for key, count in drops.items()]

    def _write(self, events: list[Logged], drops: list[Drop]) -> None:
        """Write a batch, as often as it takes; only the end of the process gives it up."""
        pause = FLUSH_SECONDS
        while True:
            try:
                self._store.write(events, drops)
            except StorageUnreachable as error:
                if not self.problem:
                    log.warning("events wait: %s", error)
                self.problem = str(error)
                if self._closing and time.monotonic() + pause > self._deadline:
                    self._give_up(events, drops)
                    return
                self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self.problem:
                    log.warning("events are written again")
                self.problem = ""
                self.written += len(events)
                return

    def _pause(self, seconds: float) -> None:
        """Wait, but not past the end; while closing nobody wakes it."""
        if self._closing:
            time.sleep(min(seconds, max(0.0, self._deadline - time.monotonic())))
        else:
            self._wake.wait(seconds)
            self._wake.clear()

    def _give_up(self, events: list[Logged], drops: list[Drop]) -> None:
        with self._lock:
            lost = [*events, *self._waiting]
            self._waiting.clear()
            for event in lost:
                self.total_drops[_key(event)] += 1
            self._drops.clear()
        uncounted = len(lost) + sum(drop.number for drop in drops)
        log.error("the event log did not come back: %d events are lost", uncounted)


def _key(event: Logged) -> Key:
    return event.model, kind_of(event), arm_of(event)


def _weight(event: Logged) -> int:
    match event:
        case RequestEvent():
            return len(event.prediction) + len(event.features)
        case ShadowEvent():
            return len(event.production_prediction) + len(event.features)
        case _:
            return 0
