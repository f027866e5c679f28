"""A rollout with a real ledger, a real event log, a clock, and traffic that is told how to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from promotion_assets.adapters.event_log import EventLog, open_event_log
from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.rollouts import Ticked, tick
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.serving.events import Drop, RequestEvent, microseconds
from promotion_assets.serving.router import route
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, go_live, new_ledger

#: Steps of minutes, and units as a test can afford them.
POLICY = RolloutPolicy.model_validate(
    {
        "steps": [
            {"share": 0.05, "minimum_minutes": 10, "maximum_minutes": 60, "minimum_units": 100},
            {"share": 0.25, "minimum_minutes": 10, "maximum_minutes": 60, "minimum_units": 200},
            {"share": 1, "minimum_minutes": 20, "maximum_minutes": 120, "minimum_units": 300},
        ],
        "errors": {"max_rate": 0.05},
        "latency": {"max_rate": 0.06, "freeze_requests": 200},
        "decision_rate": {"limit": 0.25},
    }
)


class NoCheckpoints:
    """Publishes nothing."""

    def publish(self) -> None:
        """Do nothing."""


@dataclass
class ModelStanza:
    """The part of a model's policy that a rollout reads."""

    rollout: RolloutPolicy
    task: str = "binary"


@dataclass
class World:
    """Everything that a tick reads, and a way to make traffic."""

    home: Path
    policy: RolloutPolicy = POLICY
    clock: Clock = field(default_factory=Clock)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    checkpointer: NoCheckpoints = field(default_factory=NoCheckpoints)
    ledger: DatabaseLedger = field(init=False)
    events: EventLog = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        self.ledger = new_ledger(self.home, self.clock)
        self.events = open_event_log(f"sqlite:///{self.home}/events.db")

    def policy_of(self, model: str) -> ModelStanza:
        """Return the policy of any model."""
        assert model == MODEL
        return ModelStanza(self.policy)

    def close(self) -> None:
        """Close both databases."""
        self.ledger.close()
        self.events.close()

    @property
    def state(self) -> ModelState:
        """What the ledger says now."""
        return self.ledger.state(MODEL)

    @property
    def share(self) -> int:
        """Basis points of the candidate now."""
        assert self.state.traffic is not None
        return self.state.traffic.segments[0].share

    def begin(self, version: str = "2") -> None:
        """Bring a version to where its rollout begins, beside champion 1."""
        if not self.state.champions:
            adopted(self.ledger, self.registry)
        go_live(self.ledger, self.registry, version, self.clock)

    def tick(self, segment: str = "default") -> Ticked:
        """Tick once."""
        return tick(self, self.events, MODEL, segment)  # type: ignore[arg-type]

    def steps(self) -> list[RolloutStepped]:
        """Return what was recorded of rollouts."""
        events = [recorded.event for recorded in self.ledger.events(MODEL)]
        return [event for event in events if isinstance(event, RolloutStepped)]

    def traffic(
        self,
        minutes: float,
        units: int,
        *,
        fails: Callable[[str], float] = lambda role: 0.0,
        slower: float = 1.0,
        positive: Callable[[str], float] = lambda role: 0.2,
        lost: int = 0,
        seed: int = 0,
    ) -> None:
        """Let ``minutes`` pass in which so many new units ask once each, evenly.

        Args:
            fails, positive: chance of an error, and of a positive decision, by role.
            slower: factor of the candidate's latency.
            lost: events of the candidate that are dropped.
        """
        rng = np.random.default_rng([seed, self.sent])
        plan = self.state.traffic
        assert plan is not None
        begin, written = self.clock(), []
        for number in range(units):
            unit = f"unit-{self.sent}"
            self.sent += 1
            routed = route(plan, unit=unit)
            candidate = routed.role == "candidate"
            failed = rng.random() < fails(routed.role)
            waited = float(rng.lognormal(1.0, 0.4)) * (slower if candidate else 1.0)
            score = float(rng.random() < positive(routed.role))
            values: dict[str, Any] = {
                "event_id": unit,
                "time_us": microseconds(begin + timedelta(minutes=minutes * number / units)),
                "request_id": unit,
                "model": MODEL,
                "segment": routed.segment,
                "generation": plan.generation,
                "share": routed.share,
                "salt": routed.salt,
                "unit": unit,
                "assigned": routed.role,
                "role": "fallback" if failed and candidate else routed.role,
                "version": plan.segments[0].stable.version if failed else routed.arm.version,
                "digest": routed.arm.digest,
                "latency_ms": waited,
                "prediction": "" if failed else str(score),
                "score": float("nan") if failed else score,
                "error": "raised ValueError" if failed else "",
                "features_hash": "",
                "features": "",
            }
            written.append(RequestEvent(**values))
        drops = []
        if lost:
            name, moment = f"drop-{self.sent}", microseconds(begin)
            candidate_version = self.state.rolling["default"]
            drops = [Drop(name, moment, MODEL, "request", candidate_version, lost)]
        self.events.write(written, drops)
        self.clock.advance(minutes=minutes)
