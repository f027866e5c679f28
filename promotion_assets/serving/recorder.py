"""What is written down of an answered request: events, and copies for the shadow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import NamedTuple
from uuid import uuid4

from promotion_assets.serving.events import EventWriter, ExposureEvent, RequestEvent
from promotion_assets.serving.payload import Payload
from promotion_assets.serving.plan import Arm
from promotion_assets.serving.router import Routed
from promotion_assets.serving.shadow import Copy, ShadowLine

REMEMBERED_UNITS = 200_000


class Outcome(NamedTuple):
    """How a request went.

    Attributes:
        assigned: the router's role; ``role`` and ``arm`` are who answered.
        predictions: JSON text, one a row; empty where it failed.
    """

    request_id: str
    unit: str
    routed: Routed
    generation: int
    assigned: str
    role: str
    arm: Arm
    latency_ms: float
    predictions: Sequence[str] = ()
    scores: Sequence[float] = ()
    error: str = ""


def new_ids() -> Callable[[], str]:
    """Return what gives ids that no other process gives, cheaper than one random number each."""
    prefix, numbers = uuid4().hex[:20], count()
    return lambda: f"{prefix}-{next(numbers):x}"


def microseconds_now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


class Recorder:
    """Writes down what one server process answers about one model.

    Args:
        log_features: whether events hold the features themselves.
    """

    def __init__(
        self,
        model: str,
        writer: EventWriter,
        *,
        log_features: bool,
        clock: Callable[[], int] = microseconds_now,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self.model = model
        self.new_id = new_id or new_ids()
        self.clock = clock
        self.writer = writer
        self._log_features = log_features
        self._exposed: set[tuple[str, str]] = set()

    def record(self, payload: Payload, outcome: Outcome, shadows: Mapping[str, ShadowLine]) -> None:
        """Write down one request; nothing here waits."""
        rows = len(outcome.predictions)
        prints, features = self._features(payload, rows)
        ids = _row_ids(outcome.request_id, rows)
        unit = hashed_unit(self.model, outcome.unit)
        now = self.clock()
        routed = outcome.routed
        for row in range(max(rows, 1)):
            self.writer.offer(
                RequestEvent(
                    self.new_id(),
                    now,
                    ids[row],
                    self.model,
                    routed.segment,
                    outcome.generation,
                    routed.share,
                    routed.salt,
                    unit,
                    outcome.assigned,
                    outcome.role,
                    outcome.arm.version,
                    outcome.arm.digest,
                    outcome.latency_ms,
                    outcome.predictions[row] if rows else "",
                    outcome.scores[row] if rows else math.nan,
                    outcome.error,
                    prints[row],
                    features[row],
                )
            )
        if rows and unit and routed.share:
            self._expose(outcome, unit, now)
        if rows and routed.shadow is not None and outcome.assigned != PINNED:
            line = shadows.get(routed.shadow.digest)
            if line is not None:
                line.offer(_copy(payload, outcome, ids, unit, prints, features))

    def _features(self, payload: Payload, rows: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return hash and text of each row; of the whole body where it has no named columns."""
        try:
            prints: Sequence[str] = payload.fingerprints
        except Exception:
            return [sha256(payload.body).hexdigest()] * max(rows, 1), [""] * max(rows, 1)
        if len(prints) < max(rows, 1):
            prints = [sha256(payload.body).hexdigest()] * max(rows, 1)
        if not self._log_features:
            return prints, [""] * max(rows, 1)
        return prints, [payload.row_as_json(n) for n in range(max(rows, 1))]

    def _expose(self, outcome: Outcome, unit: str, now: int) -> None:
        routed = outcome.routed
        known = (routed.salt, unit)
        if known in self._exposed:
            return
        if len(self._exposed) >= REMEMBERED_UNITS:
            # What is forgotten is written once more and dropped by its id.
            self._exposed.clear()
        self._exposed.add(known)
        arm = routed.arm
        name = f"{self.model}\n{routed.segment}\n{routed.salt}\n{unit}\n{arm.version}"
        self.writer.offer(
            ExposureEvent(
                event_id=f"exposure-{sha256(name.encode()).hexdigest()[:32]}",
                time_us=now,
                request_id=outcome.request_id,
                model=self.model,
                segment=routed.segment,
                salt=routed.salt,
                unit=unit,
                model_label=outcome.assigned,
                version=arm.version,
                prediction=outcome.predictions[0],
                score=outcome.scores[0],
            )
        )


PINNED = "pinned"
"""The role of who asked for one version by its number, past the router."""


def hashed_unit(model: str, unit: str) -> str:
    """Return what stands for a unit in events: the same everywhere, another for each model."""
    if not unit:
        return ""
    return sha256(f"{model}\n{unit}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _row_ids(request_id: str, rows: int) -> Sequence[str]:
    """Return one id a row: the request's own where it has one row."""
    if rows <= 1:
        return (request_id,)
    return [f"{request_id}/{row}" for row in range(rows)]


def _copy(
    payload: Payload,
    outcome: Outcome,
    ids: Sequence[str],
    unit: str,
    prints: Sequence[str],
    features: Sequence[str],
) -> Copy:
    return Copy(
        form=payload.form,
        body=payload.body,
        request_ids=ids,
        segment=outcome.routed.segment,
        unit=unit,
        version=outcome.arm.version,
        predictions=outcome.predictions,
        scores=outcome.scores,
        latency_ms=outcome.latency_ms,
        fingerprints=prints,
        features=features,
    )
