"""Metrics of the platform itself, counted from ledger and outbox when they are asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from promotion_assets.adapters.heard_store import DatabaseHeard
from promotion_assets.audit.entries import recorded_of
from promotion_assets.errors import PromotionError
from promotion_assets.lifecycle.events import (
    AnyEvent,
    EvaluationFinished,
    ReviewDecided,
    RolledBack,
    StageChanged,
)
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.review_queue import waiting

# Seconds; a gate takes milliseconds or minutes.
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
Labels = tuple[str, ...]


@dataclass
class Spread:
    """A histogram: how many were at most each bound, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        at = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.counts[at] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by bound, as Prometheus wants them."""
        bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
        reached, found = 0, []
        for bound, count in zip(bounds, self.counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found


@dataclass
class Tally:
    """What the entries of the ledger up to ``sequence`` count up to."""

    sequence: int = 0
    evaluations: Counter[Labels] = field(default_factory=Counter)
    gates: Counter[Labels] = field(default_factory=Counter)
    transitions: Counter[Labels] = field(default_factory=Counter)
    reviews: Counter[Labels] = field(default_factory=Counter)
    rollbacks: Counter[Labels] = field(default_factory=Counter)
    entries: Counter[Labels] = field(default_factory=Counter)
    gate_seconds: dict[Labels, Spread] = field(default_factory=dict)
    evaluation_seconds: dict[Labels, Spread] = field(default_factory=dict)
    review_seconds: dict[Labels, Spread] = field(default_factory=dict)

    def add(self, event: AnyEvent) -> None:
        """Count one event."""
        model = event.model
        self.entries[(event.kind,)] += 1
        match event:
            case EvaluationFinished():
                self.evaluations[(model, event.verdict)] += 1
                self._durations(event)
            case StageChanged():
                self.transitions[(model, str(event.promoted_to), event.cause)] += 1
            case ReviewDecided():
                self.reviews[(model, event.verdict)] += 1
                if event.seconds is not None:
                    self.review_seconds.setdefault((model,), Spread()).add(event.seconds)
            case RolledBack():
                self.rollbacks[(model,)] += 1
            case _:
                pass

    def _durations(self, event: EvaluationFinished) -> None:
        for gate in event.gates:
            self.gates[(event.model, gate.gate, gate.outcome)] += 1
        total = 0.0
        results = event.decision.get("results")
        for result in results if isinstance(results, list) else ():
            if not isinstance(result, Mapping):
                continue
            seconds = result.get("duration_seconds")
            if isinstance(seconds, int | float):
                total += seconds
                labels = (event.model, str(result.get("gate")))
                self.gate_seconds.setdefault(labels, Spread()).add(seconds)
        self.evaluation_seconds.setdefault((event.model,), Spread()).add(total)


class PlatformMetrics(Collector):
    """Gives the metrics; a part that does not answer is said to be down and the rest is given."""

    def __init__(
        self,
        notifier: Notifier,
        heard: Callable[[], DatabaseHeard],
        heard_of: Mapping[tuple[str, str], int],
    ) -> None:
        self.notifier = notifier
        self.heard = heard
        self.heard_of = heard_of
        self.tally = Tally()
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Say nothing at registration: it would read the whole ledger."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        up = GaugeMetricFamily("promotion_part_up", "Whether a part answers.", labels=["part"])
        for part, give in (("ledger", self._ledger), ("outbox", self._outbox)):
            try:
                found = list(give())
            except PromotionError:
                up.add_metric([part], 0)
                continue
            up.add_metric([part], 1)
            yield from found
        yield up
        heard = CounterMetricFamily(
            "promotion_heard", "Webhooks that came in.", labels=["from", "result"]
        )
        for labels, number in sorted(dict(self.heard_of).items()):
            heard.add_metric(list(labels), number)
        yield heard

    def _ledger(self) -> Iterator[Metric]:
        ledger = self.notifier.workspace.ledger
        with self._lock:
            tally = self.tally
            for entry in ledger.entries(after=tally.sequence or None):
                tally.add(recorded_of(entry).event)
                tally.sequence = entry.sequence
            yield from _counted(tally)
        yield from self._states()
        size = GaugeMetricFamily("promotion_ledger_bytes", "Size of the ledger's database.")
        size.add_metric([], self._bytes())
        yield size

    def _states(self) -> Iterator[Metric]:
        workspace = self.notifier.workspace
        versions = GaugeMetricFamily(
            "promotion_versions", "Versions by stage.", labels=["model", "segment", "stage"]
        )
        opened = GaugeMetricFamily(
            "promotion_reviews_open",
            "Reviews that wait for a person now, as the queue shows them.",
            labels=["model"],
        )
        oldest = GaugeMetricFamily(
            "promotion_reviews_oldest_seconds",
            "How long the oldest open review has waited.",
            labels=["model"],
        )
        intents = GaugeMetricFamily(
            "promotion_intents_open", "Changes announced and not finished.", labels=["model"]
        )
        moved = GaugeMetricFamily(
            "promotion_registry_deviations",
            "What the registry says against the ledger.",
            labels=["model"],
        )
        for model in sorted(workspace.policy.models):
            state = workspace.ledger.state(model)
            for segment, held in sorted(state.stages.items()):
                for stage, number in sorted(Counter(map(str, held.values())).items()):
                    versions.add_metric([model, segment, stage], number)
            asked = [item.requested_at for item in waiting(workspace, model)]
            waited = (workspace.clock() - min(asked)).total_seconds() if asked else 0.0
            opened.add_metric([model], len(asked))
            oldest.add_metric([model], max(0.0, waited))
            intents.add_metric([model], int(state.intent is not None))
            moved.add_metric([model], len(state.deviations))
        yield from (versions, opened, oldest, intents, moved)

    def _outbox(self) -> Iterator[Metric]:
        depth = self.notifier.outbox.depth()
        names = [each.name for each in self.notifier.subscriptions()]
        for state, counts in (
            ("pending", depth.pending),
            ("dead", depth.dead),
            ("delivered", depth.delivered),
        ):
            metric = GaugeMetricFamily(
                f"promotion_outbox_{state}",
                f"Deliveries that are {state} and still kept.",
                labels=["subscription"],
            )
            for name in sorted({*names, *counts}):
                metric.add_metric([name], counts.get(name, 0))
            yield metric
        now = self.notifier.workspace.clock()
        waits = (now - depth.oldest).total_seconds() if depth.oldest else 0.0
        for name, words, value in (
            ("promotion_outbox_unshared", "Events no dispatcher has looked at.", depth.unshared),
            ("promotion_outbox_oldest_seconds", "Age of the oldest waiting event.", max(0, waits)),
            ("promotion_hints_waiting", "Hints not looked at.", len(self.heard().waiting())),
        ):
            gauge = GaugeMetricFamily(name, words)
            gauge.add_metric([], value)
            yield gauge

    def _bytes(self) -> float:
        engine = self.notifier.outbox.engine
        if engine.dialect.name == "postgresql":
            with engine.connect() as connection:
                size = sa.text("SELECT pg_total_relation_size('ledger_entries')")
                return float(connection.execute(size).scalar_one())
        path = Path(engine.url.database or "")
        files = (path, path.with_name(f"{path.name}-wal"))
        return float(sum(file.stat().st_size for file in files if file.is_file()))


def _counted(tally: Tally) -> Iterator[Metric]:
    for name, words, labels, counts in (
        ("promotion_evaluations", "Evaluations.", ("model", "verdict"), tally.evaluations),
        ("promotion_gate_results", "Gate results.", ("model", "gate", "outcome"), tally.gates),
        ("promotion_transitions", "Stage changes.", ("model", "to", "cause"), tally.transitions),
        ("promotion_reviews", "Votes of reviewers.", ("model", "verdict"), tally.reviews),
        ("promotion_rollbacks", "Rollbacks.", ("model",), tally.rollbacks),
        ("promotion_ledger_entries", "Entries of the ledger.", ("kind",), tally.entries),
    ):
        counter = CounterMetricFamily(name, words, labels=labels)
        for values, number in sorted(counts.items()):
            counter.add_metric(values, number)
        yield counter
    for name, words, labels, spreads in (
        ("promotion_gate_seconds", "Time of a gate.", ("model", "gate"), tally.gate_seconds),
        (
            "promotion_evaluation_seconds",
            "Time of all gates of an evaluation.",
            ("model",),
            tally.evaluation_seconds,
        ),
        ("promotion_review_seconds", "From opening to vote.", ("model",), tally.review_seconds),
    ):
        histogram = HistogramMetricFamily(name, words, labels=labels)
        for values, spread in sorted(spreads.items()):
            histogram.add_metric(values, spread.buckets(), spread.total)
        yield histogram
