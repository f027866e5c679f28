"""What a server follows a plan with: what the ledger says, the versions, and an event store."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from promotion_assets.errors import StorageUnreachable
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.serving.events import Acknowledgement, Drop, Logged
from promotion_assets.serving.model import Planned
from promotion_assets.serving.plan import Arm
from promotion_assets_tests.serving.engines import Says
from promotion_assets_tests.serving.plans import plan, segment


@dataclass
class Store:
    """An event store that can be away."""

    there: bool = True
    events: list[Logged] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    tried: threading.Event = field(default_factory=threading.Event)
    said: list[Acknowledgement] = field(default_factory=list)
    pruned: list[datetime] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def write(self, events: Sequence[Logged], drops: Sequence[Drop] = ()) -> int:
        self.tried.set()
        self._look()
        self.events += events
        self.drops += drops
        return len(events)

    def acknowledge(self, said: Acknowledgement) -> None:
        self._look()
        self.said.append(said)

    def leave(self, model: str, worker: str) -> None:
        self._look()
        self.left.append(worker)

    def prune(self, model: str, before: datetime) -> int:
        self._look()
        self.pruned.append(before)
        return 7

    def _look(self) -> None:
        if not self.there:
            raise StorageUnreachable("writing to the event log", "it is away", "start it")


@dataclass
class Plans:
    """What the ledger says: a plan, or why there is none."""

    found: Planned | Exception
    reads: int = 0

    def read(self) -> Planned:
        self.reads += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@dataclass
class Source:
    """Loads models that say their version, but for those that cannot be had."""

    broken: dict[str, Exception] = field(default_factory=dict)
    signature: Signature | None = None

    def directory(self, arm: Arm) -> Path:
        raise AssertionError("nobody asks for it here")

    def load(self, arm: Arm) -> Says:
        if arm.version in self.broken:
            raise self.broken[arm.version]
        model = Says(arm)
        model.signature = self.signature  # type: ignore[assignment]
        return model


def planned(number: int, **changes: Any) -> Planned:
    """Return generation ``number`` of the plan."""
    return Planned(plan(segment(**changes), generation=number), number)
