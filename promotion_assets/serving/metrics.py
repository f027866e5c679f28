"""What Prometheus reads of a server: latencies and failures by arm, and what was not written down.

With several server processes the counts of all are added up, through files that the library
shares between them where ``PROMETHEUS_MULTIPROC_DIR`` names a folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Counted(NamedTuple):
    """What other parts count themselves; all of it only grows.

    Attributes:
        dropped: events by ``kind`` and ``arm``.
        shadow: by shadow version, what became of copies: ``sampled``, ``answered``, ``error``,
            ``timeout``, ``crashed``, ``dropped``, ``restarts``.
        breaker_opened: by version.
    """

    written: int
    dropped: Mapping[tuple[str, str], int]
    shadow: Mapping[tuple[str, str], int]
    breaker_opened: Mapping[str, int]


class Metrics:
    """The metrics of one server process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._latency = Histogram(
            "promotion_answer_seconds",
            "Time to answer, by the version that answered and its role.",
            ("version", "arm"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._failures = self._counter(
            "promotion_failures", "Versions that failed to answer.", "version", "arm"
        )
        self._refused = self._counter(
            "promotion_refused", "Requests that no model can answer.", "status"
        )
        self._written = self._counter("promotion_events_written", "Events written down.")
        self._dropped = self._counter(
            "promotion_events_dropped", "Events that were dropped.", "kind", "arm"
        )
        self._shadow = self._counter(
            "promotion_shadow_rows", "Copied rows, by what became of them.", "version", "what"
        )
        self._opened = self._counter(
            "promotion_breaker_opened", "How often a candidate's breaker opened.", "version"
        )
        self._waiting = self._gauge("promotion_events_waiting", "Events to be written.", "livesum")
        self._generation = self._gauge(
            "promotion_plan_generation", "Generation that is followed.", "livemin"
        )
        self._refusing = self._gauge(
            "promotion_plan_refused", "1 while a newer plan cannot be followed.", "livemax"
        )
        self._latencies: dict[tuple[str, str], Histogram] = {}
        self._before = Counted(0, {}, {}, {})

    def answered(self, version: str, arm: str, seconds: float) -> None:
        """Count an answer."""
        key = (version, arm)
        found = self._latencies.get(key)
        if found is None:
            found = self._latencies[key] = self._latency.labels(*key)
        found.observe(seconds)

    def failed(self, version: str, arm: str) -> None:
        """Count a version that failed to answer."""
        self._failures.labels(version, arm).inc()

    def refused(self, status: int) -> None:
        """Count a request that no model can answer."""
        self._refused.labels(str(status)).inc()

    def follows(self, generation: int) -> None:
        """Show the generation that holds."""
        self._generation.set(generation)
        self._refusing.set(0)

    def refuses_plan(self) -> None:
        """Show that a newer plan cannot be followed."""
        self._refusing.set(1)

    def count(self, counted: Counted, waiting: int) -> None:
        """Take over what others counted since the last time."""
        before, self._before = self._before, counted
        self._written.inc(counted.written - before.written)
        for (kind, arm), number in counted.dropped.items():
            self._dropped.labels(kind, arm).inc(number - before.dropped.get((kind, arm), 0))
        for (version, what), number in counted.shadow.items():
            self._shadow.labels(version, what).inc(
                max(0, number - before.shadow.get((version, what), 0))
            )
        for version, number in counted.breaker_opened.items():
            self._opened.labels(version).inc(max(0, number - before.breaker_opened.get(version, 0)))
        self._waiting.set(waiting)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        if not os.environ.get(MULTIPROCESS):
            return generate_latest(self._registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, mode: str) -> Gauge:
        return Gauge(name, text, multiprocess_mode=mode, registry=self._registry)  # type: ignore[arg-type]
