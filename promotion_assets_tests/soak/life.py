"""A hurried day at the platform: customers, outcomes, versions, reviewers, a moody receiver."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from promotion_assets.demo.services import free_port
from promotion_assets.errors import PromotionError
from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets.lifecycle.transitions import Request, evidence_of
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt, facts_for
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.end_to_end.rolling_models import COLUMNS, MODEL
from promotion_assets_tests.registries import SCRIPTS, plain_environment
from promotion_assets_tests.soak.models import SOAK_POLICY
from promotion_assets_tests.waiting import until

REPOSITORY = Path(__file__).parents[2]
KEY = "a key of the soak, 32 bytes long!"
UNITS = 5000
OUTCOMES_EVERY = 200


@dataclass
class Home:
    """Where everything lives, and its processes by the id of their group."""

    folder: Path
    receiver: str
    port: int = field(default_factory=free_port)
    reviews: int = field(default_factory=free_port)
    webhooks: int = field(default_factory=free_port)
    code: int = field(default_factory=free_port)
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def groups(self) -> dict[int, str]:
        """Names of the services, by process group."""
        return {process.pid: name for name, process in self.started.items()}

    def environment(self) -> dict[str, str]:
        """Return what every process is told."""
        return plain_environment() | {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.folder / "home"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "TMPDIR": str(self.folder / "tmp"),
            "SOAK_KEY": KEY,
            "PROMOTION_MLFLOW_WEBHOOK_SECRET": KEY,
        }

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Open the platform as a process of it does."""
        opened = Workspace.open(environ=self.environment())
        try:
            yield opened
        finally:
            opened.ledger.close()

    def prepare(self) -> None:
        """Write the policy, register the first version, and take it in as the champion."""
        for name in ("tmp", "dagster", "logs"):
            (self.folder / name).mkdir(parents=True)
        instance = (REPOSITORY / "dagster.yaml").read_text()
        (self.folder / "dagster" / "dagster.yaml").write_text(instance)
        policy = SOAK_POLICY.replace("RECEIVER", self.receiver)
        (self.folder / "promotion.yaml").write_text(policy)
        self.register(0)
        with self.workspace() as opened:
            adopt(Evaluator(opened, MODEL), "1", actor="ana", reason="served since 2024")
        workspace = {"host": "127.0.0.1", "port": self.code, "location_name": "promotion"}
        written = json.dumps({"load_from": [{"grpc_server": workspace}]})
        (self.folder / "workspace.yaml").write_text(written)
        # Two processes that make Dagster's database together spoil it.
        self._run(str(SCRIPTS / "dagster"), "instance", "info")

    def register(self, seed: int) -> None:
        """Have somebody register one more version."""
        module = "promotion_assets_tests.soak.models"
        uri = self.environment()["MLFLOW_TRACKING_URI"]
        self._run(sys.executable, "-m", module, uri, str(self.folder), str(seed))

    def start(self) -> None:
        """Start server, reviewers' page, webhooks, code server and daemon.

        A daemon that is given a module starts a new code server every minute; one that is given
        an address asks the one that stays.
        """
        promotion, module = str(SCRIPTS / "promotion"), "promotion_assets.definitions"
        code = (str(SCRIPTS / "dagster"), "api", "grpc", "--host", "127.0.0.1", "-m", module)
        workspace = str(self.folder / "workspace.yaml")
        for name, command in (
            ("server", (promotion, "serve", MODEL, "--port", str(self.port))),
            ("reviews", (promotion, "review", "serve", "--port", str(self.reviews))),
            ("webhooks", (promotion, "webhook", "serve", "--port", str(self.webhooks))),
            ("code server", (*code, "--port", str(self.code))),
            ("daemon", (str(SCRIPTS / "dagster-daemon"), "run", "-w", workspace)),
        ):
            if name == "daemon":
                until(lambda: _listens(self.code), "the code server listens", 300, every=0.5)
            with (self.folder / "logs" / f"{name}.log").open("wb") as log:
                self.started[name] = subprocess.Popen(
                    command,
                    env=self.environment(),
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def audit(self) -> str:
        """Verify the ledger by command."""
        return self._run(str(SCRIPTS / "promotion"), "audit", "verify", "--json")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self.environment(),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout


@dataclass
class Customers:
    """Ask in turns, tell what became of it, and count every answer."""

    port: int
    per_second: float = 50.0
    answered: int = 0
    refused: int = 0
    told: int = 0
    versions: set[str] = field(default_factory=set)
    _home: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send everybody home."""
        self._home.set()
        if self._thread is not None:
            self._thread.join()

    def _ask(self) -> None:
        rng = np.random.default_rng(0)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asked: list[str] = []
        number = 0
        due = time.monotonic()
        while not self._home.is_set():
            number += 1
            name = f"soak-{number}"
            row = [*rng.normal(size=3).tolist(), float(rng.integers(0, 3))]
            body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [row]}})
            unit = f"customer-{rng.integers(UNITS)}"
            head = {"X-Promotion-Unit": unit, "X-Promotion-Request-Id": name}
            said = self._post(connection, "/invocations", body, head)
            if said is not None and said.status == 200:
                self.answered += 1
                self.versions.add(said.headers.get("x-promotion-version", ""))
                asked.append(name)
            else:
                self.refused += 1
            if len(asked) == OUTCOMES_EVERY:
                told = [{"request_id": one, "label": int(rng.integers(0, 2))} for one in asked]
                done = self._post(connection, "/outcomes", json.dumps({"outcomes": told}), {})
                self.told += len(told) if done is not None and done.status == 200 else 0
                asked = []
            due = max(due + 1 / self.per_second, time.monotonic() - 1)
            self._home.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: str, head: dict[str, str]
    ) -> http.client.HTTPResponse | None:
        try:
            headers = {"Content-Type": "application/json", **head}
            connection.request("POST", path, body, headers)
            said = connection.getresponse()
            said.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        return said


def approve_what_waits(home: Home) -> list[str]:
    """Approve what has a shadow report that passed and is no candidate yet; return the versions."""
    approved = []
    with home.workspace() as opened:
        state = opened.ledger.state(MODEL)
        if state.rolling:
            return []
        for version in state.in_stage(Stage.STAGING, "default"):
            # Nobody votes before there is a request: nothing would ever come of that vote.
            if ("default", version) not in state.requests:
                continue
            evaluator = Evaluator(opened, MODEL)
            asked = Request(model=MODEL, version=version, to=Stage.PRODUCTION, actor="ana")
            with suppress(PromotionError):
                vote = ReviewDecided(
                    model=MODEL,
                    version=version,
                    actor="bo",
                    verdict="approved",
                    reviewed_at=datetime.now(UTC),
                    evidence=evidence_of(state, asked, facts_for(evaluator, asked)),
                )
                waits = any(r.version == version for r in _passed_reports(opened))
                if waits and not _voted(opened, version):
                    opened.ledger.append([vote])
                    approved.append(version)
    return approved


def _passed_reports(opened: Workspace) -> list[object]:
    from promotion_assets.lifecycle.events import ShadowReported

    events = [recorded.event for recorded in opened.ledger.events(MODEL)]
    return [e for e in events if isinstance(e, ShadowReported) and e.passed]


def _voted(opened: Workspace, version: str) -> bool:
    events = [recorded.event for recorded in opened.ledger.events(MODEL)]
    return any(isinstance(e, ReviewDecided) and e.version == version for e in events)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
