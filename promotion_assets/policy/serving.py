"""The policy on serving: what is written down, what a shadow may cost, when a version is out."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from promotion_assets.policy.strict import Strict

MIB = 1024**2


class ShadowWorker(Strict):
    """How much of a server a shadow gets; what is more than that is dropped and counted.

    Attributes:
        queue: copies that wait at most.
        queue_bytes: what they hold at most, all together.
        payload_bytes: a larger request is not copied.
        timeout_seconds: for one copy; then the shadow's process is started anew.
        load_seconds: for the process to start and load the version.
    """

    queue: Annotated[int, Field(ge=1, le=100_000)] = 1000
    queue_bytes: Annotated[int, Field(ge=4096)] = 32 * MIB
    payload_bytes: Annotated[int, Field(ge=1024, le=8 * MIB)] = 256 * 1024
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 1.0
    load_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0


class Breaker(Strict):
    """When a server stops asking a candidate and lets the champion answer in its place.

    Attributes:
        failures: so many failed answers within ``window_seconds`` open the breaker.
        window_seconds: how long a failure counts.
        open_seconds: for so long the candidate is not asked; then one request tries it.
        slow_ms: an answer that takes longer counts as failed; by default none does.
    """

    failures: Annotated[int, Field(ge=1)] = 5
    window_seconds: Annotated[float, Field(gt=0)] = 30.0
    open_seconds: Annotated[float, Field(gt=0)] = 30.0
    slow_ms: Annotated[float, Field(gt=0)] | None = None


class ServingPolicy(Strict):
    """How a model is served.

    Attributes:
        log_features: whether events hold the features themselves, not only their hash.
        retention_days: events older than that are removed. Half a year is what the EU AI Act
            asks of the logs of a high-risk system (Art. 19 and 26).
        body_bytes: a larger request is refused.
        rows: a request with more rows is refused.
        drain_seconds: how long requests and events have to finish when a server is stopped.
        shadow: how much of a server a shadow gets.
        breaker: when a candidate is no longer asked.
    """

    log_features: bool = False
    retention_days: Annotated[int, Field(ge=1)] = 190
    body_bytes: Annotated[int, Field(ge=1024)] = 4 * MIB
    rows: Annotated[int, Field(ge=1)] = 10_000
    drain_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    shadow: ShadowWorker = ShadowWorker()
    breaker: Breaker = Breaker()

    @property
    def retention(self) -> timedelta:
        """``retention_days`` as a time span."""
        return timedelta(days=self.retention_days)
