"""A shadow: a version that gets copies of requests, in a process of its own, off the request path.

The request path does one thing: it puts a copy in a queue, or counts that there was no room. A
thread hands the copies to the process and takes its answers; whatever this one does (raise,
hang, exit, kill itself) ends in an event and a new process. sampled = written + dropped, to the
row, at the end of the server too.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from promotion_assets.policy.serving import ShadowWorker
from promotion_assets.serving.events import Drop, EventWriter, ShadowEvent
from promotion_assets.serving.payload import Form
from promotion_assets.serving.plan import Arm

log = logging.getLogger(__name__)

BATCH = 64
# Copies gather for so long before they are handed over: waking a thread for each of them would
# take the interpreter from requests as often.
GATHER_SECONDS = 0.02
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
IDLE_SECONDS = 0.05

Outcome = Literal["answered", "error", "timeout", "crashed"]


class Copy(NamedTuple):
    """One request as it was answered, to be answered by the shadow as well.

    Attributes:
        form, body: what the caller sent.
        predictions: JSON text, one a row, of the version that answered; ``scores`` likewise.
        fingerprints, features: one a row; features are empty unless the policy logs them.
    """

    form: Form
    body: bytes
    request_ids: Sequence[str]
    segment: str
    unit: str
    version: str
    predictions: Sequence[str]
    scores: Sequence[float]
    latency_ms: float
    fingerprints: Sequence[str]
    features: Sequence[str]

    @property
    def rows(self) -> int:
        """How many rows it has; each becomes an event."""
        return len(self.request_ids)


class Answered(NamedTuple):
    """What the shadow made of one copy; without predictions where it failed."""

    outcome: Outcome
    latency_ms: float = math.nan
    predictions: Sequence[str] = ()
    scores: Sequence[float] = ()
    error: str = ""


class ShadowGone(Exception):
    """The shadow's process gave no more answers; ``outcome`` says why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(outcome, reason)
        self.outcome: Outcome = outcome
        self.reason = reason


class ShadowProcess(Protocol):
    """A process in which the shadow is loaded."""

    def answers(self, copies: Sequence[Copy]) -> Iterator[Answered]:
        """Send copies and yield their answers as they come, each within its time limit.

        Raises:
            ShadowGone: there is none for the next copy; the process is of no more use.
        """

    def close(self) -> None:
        """End the process."""


class ShadowLine:
    """One shadow version of one server process: its queue, its thread, and its counts.

    Args:
        start: starts a process with the version loaded; raises where it cannot.
        clock: microseconds since 1970.
        new_id: gives ids for events.
    """

    def __init__(
        self,
        model: str,
        arm: Arm,
        settings: ShadowWorker,
        start: Callable[[], ShadowProcess],
        writer: EventWriter,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self.arm = arm
        self.problem = ""
        self.sampled = self.dropped = self.restarts = 0
        self.outcomes: dict[Outcome, int] = dict.fromkeys(
            ("answered", "error", "timeout", "crashed"), 0
        )
        self._model = model
        self._settings = settings
        self._start = start
        self._writer = writer
        self._clock = clock
        self._new_id = new_id
        self._waiting: deque[Copy] = deque()
        self._bytes = 0
        self._in_hand = 0
        self._closing = False
        self._deadline = math.inf
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._process: ShadowProcess | None = None
        self._thread = threading.Thread(target=self._run, name=f"shadow-{arm.version}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Copies that wait or are being answered."""
        return len(self._waiting) + self._in_hand

    def offer(self, copy: Copy) -> bool:
        """Take a copy without waiting; ``False`` says that it was dropped, and counted."""
        size = len(copy.body)
        with self._lock:
            self.sampled += copy.rows
            fits = (
                not self._closing
                and size <= self._settings.payload_bytes
                and len(self._waiting) < self._settings.queue
                and self._bytes + size <= self._settings.queue_bytes
            )
            if fits:
                self._waiting.append(copy)
                self._bytes += size
        if not fits:
            self._drop(copy.rows)
        elif not self._wake.is_set():
            self._wake.set()
        return fits

    def close(self, seconds: float) -> None:
        """Answer what waits, for at most so long; the rest is counted as dropped."""
        with self._lock:
            self._closing = True
            self._deadline = time.monotonic() + seconds
        self._wake.set()
        self._thread.join(seconds + self._settings.timeout_seconds)
        if self._thread.is_alive():
            # It hangs in what the process does not answer, or in starting one.
            if self._process is not None:
                self._process.close()
                self._thread.join(self._settings.timeout_seconds)
            self._abandon()

    def _drop(self, rows: int) -> None:
        with self._lock:
            self.dropped += rows
        self._writer.dropped(
            Drop(self._new_id(), self._clock(), self._model, "shadow", self.arm.version, rows)
        )

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing:
            self._process = self._started()
            if self._process is None:
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            try:
                if self._feed(self._process):
                    pause = FIRST_PAUSE
            finally:
                self._process.close()
            if not self._closing or (self._waiting and time.monotonic() < self._deadline):
                self.restarts += 1
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self._abandon()

    def _started(self) -> ShadowProcess | None:
        try:
            process = self._start()
        except Exception as error:
            if not self.problem:
                log.warning("the shadow %s does not start: %s", self.arm.version, error)
            self.problem = str(error)
            return None
        self.problem = ""
        return process

    def _feed(self, process: ShadowProcess) -> bool:
        """Hand over copies until the process is gone or the line ends; whether any was answered."""
        answered = False
        while True:
            self._gather()
            copies = self._take()
            if not copies:
                if self._closing:
                    return answered
                continue
            done = 0
            try:
                for answer in process.answers(copies):
                    self._write(copies[done], answer)
                    done += 1
                    answered = True
            except ShadowGone as gone:
                log.warning("the shadow %s is gone: %s", self.arm.version, gone.reason)
                self._write(copies[done], Answered(gone.outcome, error=gone.reason))
                self._put_back(copies[done + 1 :])
                return answered
            finally:
                self._in_hand = 0
            if time.monotonic() > self._deadline:
                return answered

    def _gather(self) -> None:
        """Wait for copies, and for a few more where they are few."""
        if len(self._waiting) >= BATCH or self._closing:
            return
        if self._wake.wait(IDLE_SECONDS) and not self._closing:
            time.sleep(GATHER_SECONDS)
        self._wake.clear()

    def _take(self) -> list[Copy]:
        if time.monotonic() > self._deadline:
            return []
        with self._lock:
            copies = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._bytes -= sum(len(copy.body) for copy in copies)
            self._in_hand = len(copies)
        return copies

    def _put_back(self, copies: Sequence[Copy]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(copies))
            self._bytes += sum(len(copy.body) for copy in copies)

    def _abandon(self) -> None:
        with self._lock:
            left = sum(copy.rows for copy in self._waiting)
            self._waiting.clear()
        if left:
            self._drop(left)

    def _sleep(self, seconds: float) -> None:
        until = min(time.monotonic() + seconds, self._deadline)
        while (rest := until - time.monotonic()) > 0:
            if self._closing and not self._waiting:
                return
            time.sleep(min(rest, IDLE_SECONDS))
            until = min(until, self._deadline)

    def _write(self, copy: Copy, answer: Answered) -> None:
        self.outcomes[answer.outcome] += copy.rows
        now = self._clock()
        for row in range(copy.rows):
            answered = answer.outcome == "answered"
            self._writer.offer(
                ShadowEvent(
                    event_id=self._new_id(),
                    time_us=now,
                    request_id=copy.request_ids[row],
                    model=self._model,
                    segment=copy.segment,
                    unit=copy.unit,
                    production_version=copy.version,
                    shadow_version=self.arm.version,
                    shadow_digest=self.arm.digest,
                    production_prediction=copy.predictions[row],
                    shadow_prediction=answer.predictions[row] if answered else "",
                    production_score=copy.scores[row],
                    shadow_score=answer.scores[row] if answered else math.nan,
                    production_latency_ms=copy.latency_ms,
                    shadow_latency_ms=answer.latency_ms,
                    outcome=answer.outcome,
                    error=answer.error,
                    features_hash=copy.fingerprints[row],
                    features=copy.features[row],
                )
            )
