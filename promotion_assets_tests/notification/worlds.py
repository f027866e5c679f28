"""A home with a policy for two models, whose notifications go where a test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from promotion_assets.lifecycle.events import AnyEvent, RolledBack
from promotion_assets.notification.dispatch import Round
from promotion_assets.notification.web import webhook_app
from promotion_assets.pipeline.listening import Listener
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, evaluated

OTHER = "churn"
KEY = "a key of the tests, 32 bytes long"
SECRETS = {"HOOK_KEY": KEY}
STANZA = {
    "task": "binary",
    "dataset": {"uri": "rows.parquet", "label": "default"},
    "gates": {"schema": {}},
}


@dataclass
class World:
    """A home, its clock, and what is sent from it."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    environ: dict[str, str] = field(default_factory=lambda: dict(SECRETS))
    policy: dict[str, Any] = field(
        default_factory=lambda: {"allow_hosts": ["127.0.0.1"], "timeout_seconds": 5.0}
    )
    models: dict[str, Any] = field(default_factory=lambda: {MODEL: STANZA, OTHER: STANZA})
    chance: Callable[[], float] = lambda: 0.0
    database: str = ""

    def subscribe(self, name: str, url: str, **more: Any) -> None:
        """Name a receiver in the policy."""
        known = self.policy.setdefault("subscriptions", [])
        known.append({"name": name, "url": url, "secret_env": "HOOK_KEY", **more})

    def workspace(self) -> Workspace:
        """Open the home as a new process would."""
        self.root.mkdir(exist_ok=True)
        config = self.root / "promotion.yaml"
        config.write_text(yaml.safe_dump({"models": self.models, "notifications": self.policy}))
        environ: Mapping[str, str] = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root}/mlflow.db",
            **({"PROMOTION_DATABASE_URL": self.database} if self.database else {}),
            **self.environ,
        }
        return Workspace.open(
            home=self.root / "home", config=config, environ=environ, clock=self.clock
        )

    def notifier(self) -> Notifier:
        """Return the notifications of the home."""
        return Notifier(self.workspace(), chance=self.chance)

    def deliver(self) -> Round:
        """Send what is due, once."""
        return self.notifier().deliver()

    def judge(self, *versions: str, model: str = MODEL) -> None:
        """Record an evaluation of each version, without tags: one event to tell of."""
        ledger = self.workspace().ledger
        for version in versions:
            ledger.append([evaluated(version, self.clock, model=model, tags={})])

    def adopt(self) -> None:
        """Take version 1 in as the champion: one change of stage."""
        adopted(self.workspace().ledger, FakeRegistry())  # type: ignore[arg-type]

    def events(self, kind: type[AnyEvent], model: str = MODEL) -> list[Any]:
        """What is recorded of a kind."""
        found = self.workspace().ledger.events(model)
        return [recorded.event for recorded in found if isinstance(recorded.event, kind)]


def rolled_back() -> RolledBack:
    """A rollback, as the ledger records one."""
    return RolledBack(model=MODEL, from_version="2", to_version="1", reason="errors tripled")


@contextmanager
def serving(listener: Listener) -> Iterator[str]:
    """Serve the webhook application on a free port; give its address."""
    config = uvicorn.Config(
        webhook_app(lambda: listener),
        port=0,
        log_level="error",
        proxy_headers=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    began = time.monotonic()
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
