"""A site that serves: an MLflow server, our server, Dagster's daemon, and customers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from promotion_assets.demo.services import free_port
from promotion_assets.lifecycle.events import ReviewDecided, RolloutStepped, Stage
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Request, evidence_of
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt, facts_for
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests import waiting
from promotion_assets_tests.end_to_end.rolling_models import COLUMNS, MODEL, POLL_SECONDS
from promotion_assets_tests.registries import SCRIPTS, plain_environment

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 900.0
until = partial(waiting.until, seconds=PATIENCE_SECONDS, every=0.2)
NEW_CATEGORY = 9.0


@dataclass(frozen=True)
class Answer:
    """What one customer got."""

    at: float
    status: int
    version: str
    generation: int


@dataclass
class Customers:
    """Ask in turns, each once, at a steady pace, until they are told to go home.

    Attributes:
        troubled: from now on three of ten have a category that nobody has seen before.
    """

    port: int
    per_second: float = 120.0
    troubled: bool = False
    answers: list[Answer] = field(default_factory=list)
    _home: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, threads: int = 4) -> None:
        """Begin to ask."""
        for number in range(threads):
            thread = threading.Thread(target=self._ask, args=(number, threads), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Send everybody home."""
        self._home.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int, threads: int) -> None:
        rng = np.random.default_rng(number)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        unit = number
        while not self._home.wait(threads / self.per_second):
            row = [*rng.normal(size=3).tolist(), float(rng.integers(0, 3))]
            if self.troubled and rng.random() < 0.3:
                row[3] = NEW_CATEGORY
            body = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [row]}})
            head = {"Content-Type": "application/json", "X-Promotion-Unit": f"customer-{unit}"}
            connection.request("POST", "/invocations", body, head)
            said = connection.getresponse()
            said.read()
            self.answers.append(
                Answer(
                    time.time(),
                    said.status,
                    said.headers.get("x-promotion-version", ""),
                    int(said.headers.get("x-promotion-generation", "0")),
                )
            )
            unit += threads
        connection.close()


@dataclass
class Site:
    """What runs, and how to ask it."""

    folder: Path
    mlflow_port: int
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return what every process of the site is told."""
        return plain_environment() | {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.folder / "home"),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow_port}",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Open the platform as one of the processes does."""
        opened = Workspace.open(environ=self.environment())
        try:
            yield opened
        finally:
            opened.ledger.close()

    def state(self) -> ModelState:
        """Return what the ledger says."""
        with self.workspace() as opened:
            return opened.ledger.state(MODEL)

    def steps(self, version: str) -> list[RolloutStepped]:
        """Return the steps of a version's rollout."""
        with self.workspace() as opened:
            events = [recorded.event for recorded in opened.ledger.events(MODEL)]
        return [e for e in events if isinstance(e, RolloutStepped) and e.version == version]

    def promotion(self, *words: str) -> str:
        """Run the command and return what it printed."""
        ran = subprocess.run(
            [str(SCRIPTS / "promotion"), *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
        return ran.stdout

    def adopt(self, version: str) -> None:
        """Take in the champion."""
        with self.workspace() as opened:
            adopt(Evaluator(opened, MODEL), version, actor="ana", reason="served since 2024")

    def approve(self, version: str) -> None:
        """Have the reviewer approve a Staging version; the daemon promotes it and rolls it out."""
        with self.workspace() as opened:
            evaluator = Evaluator(opened, MODEL)
            asked = Request(model=MODEL, version=version, to=Stage.PRODUCTION, actor="ana")
            facts = facts_for(evaluator, asked)
            vote = ReviewDecided(
                model=MODEL,
                version=version,
                actor="bo",
                verdict="approved",
                reviewed_at=datetime.now(UTC),
                evidence=evidence_of(opened.ledger.state(MODEL), asked, facts),
            )
            opened.ledger.append([vote])

    def start(self, name: str, *command: str) -> None:
        """Start a process of the site."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self.environment(),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)

    def start_daemon(self) -> None:
        """Start Dagster's daemon with the sensors of reviews and rollouts."""
        module = "promotion_assets_tests.end_to_end.rolling_definitions"
        self.start(
            "daemon",
            *(str(SCRIPTS / "dagster-daemon"), "run", "--module-name", module),
            *("--working-directory", str(REPOSITORY)),
        )

    def told(self) -> str:
        """Return what the sensors have said of late, and each step of a rollout until now."""
        lines = [line for line in self.log("daemon").splitlines() if "__repository__" in line]
        steps = [f"{s.version} {s.action} {s.reason}" for v in "23" for s in self.steps(v)]
        return "\n".join([*lines[-15:], *steps])

    def log(self, name: str) -> str:
        """Return what a process has said."""
        return (self.folder / f"{name}.log").read_text()


@contextmanager
def serving_site(folder: Path) -> Iterator[Site]:
    """Start MLflow, register and judge the versions, and serve the first."""
    site = Site(folder, free_port(), free_port())
    try:
        site.start(
            "mlflow",
            *(str(SCRIPTS / "mlflow"), "server", "--host", "127.0.0.1"),
            *("--port", str(site.mlflow_port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
            *("--artifacts-destination", str(folder / "artifacts")),
        )
        until(lambda: waiting.answers(site.mlflow_port, "/health"), "MLflow's first answer")
        made = subprocess.run(
            [
                *(sys.executable, "-m", "promotion_assets_tests.end_to_end.rolling_models"),
                *(f"http://127.0.0.1:{site.mlflow_port}", str(folder)),
            ],
            env=site.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert made.returncode == 0, made.stderr[-3000:]
        home = folder / "dagster"
        home.mkdir()
        shutil.copy(REPOSITORY / "dagster.yaml", home)
        site.adopt("1")
        site.promotion("evaluate", MODEL, "2", "3")
        program = str(SCRIPTS / "promotion")
        site.start(
            "serve", program, "serve", MODEL, "--port", str(site.port), "--poll", str(POLL_SECONDS)
        )
        until(lambda: waiting.answers(site.port, "/v2/health/ready"), "the server's first answer")
        site.start_daemon()
        yield site
    finally:
        for process in site.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
