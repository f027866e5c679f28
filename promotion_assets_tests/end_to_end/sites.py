"""A whole site of real processes: PostgreSQL for everything, an MLflow server, Dagster's daemon."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import dagster as dg

from promotion_assets.demo.services import free_port
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests import postgres, waiting
from promotion_assets_tests.registries import SCRIPTS, plain_environment
from promotion_assets_tests.small_models import (
    MODEL,
    Logged,
    log_both,
    register,
    write_dataset,
    write_policy,
)

DEPLOY = Path(__file__).parents[2] / "deploy"
# How long a loaded machine may take.
PATIENCE_SECONDS = 900.0
until = partial(waiting.until, seconds=PATIENCE_SECONDS, every=0.5)


@dataclass
class Site:
    """What runs, and how to end and start it."""

    folder: Path
    database: postgres.Server
    urls: dict[str, str]
    port: int
    mlflow: subprocess.Popen[bytes] | None = None
    daemon: subprocess.Popen[bytes] | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logged: tuple[Logged, Logged] | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        """``DAGSTER_HOME``."""
        return self.folder / "dagster"

    def environment(self) -> dict[str, str]:
        """Return what every process of the site is told."""
        return plain_environment() | {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.folder / "home"),
            "PROMOTION_DATABASE_URL": self.urls["promotion"],
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_POSTGRES_URL": self.urls["dagster"],
            "DO_NOT_TRACK": "1",
            **self.more,
        }

    def start_mlflow(self) -> None:
        """Start the MLflow server and wait for it."""
        self.mlflow = self._start(
            "mlflow",
            *(str(SCRIPTS / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", self.urls["mlflow"]),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        )
        until(lambda: waiting.answers(self.port, "/health"), "MLflow's first answer")

    def start_daemon(self) -> None:
        """Start Dagster's daemon."""
        workspace = str(DEPLOY / "postgres" / "workspace.yaml")
        self.daemon = self._start(
            "daemon", str(SCRIPTS / "dagster-daemon"), "run", "--workspace", workspace
        )

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start a Celery worker, as deploy/celery says."""
        return self._start(
            "worker",
            *(str(SCRIPTS / "celery"), "-A", "dagster_celery.app", "worker"),
            *("--queues", "dagster", "--concurrency", "1"),
        )

    def kill(self, process: subprocess.Popen[bytes] | None) -> None:
        """Kill a process with everything that it has started, as a machine's end does."""
        assert process is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def register(self) -> str:
        """Register one more version of the sound model."""
        assert self.logged is not None
        return register(self.tracking_uri, self.logged[0])

    def decisions(self, version: str) -> list[EvaluationFinished]:
        """Return the decisions on a version that the ledger holds."""
        ledger = Workspace.open(environ=self.environment()).ledger
        events = [recorded.event for recorded in ledger.events(MODEL)]
        ledger.close()
        return [e for e in events if isinstance(e, EvaluationFinished) and e.version == version]

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Open Dagster's instance."""
        with (
            mock_environment(self.environment()),
            dg.DagsterInstance.from_config(str(self.home)) as opened,
        ):
            yield opened

    def runs(self, version: str) -> list[dg.DagsterRun]:
        """Return the runs that were asked for a version."""
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(tags={"dagster/partition": version})))

    def unfinished(self) -> list[dg.DagsterRun]:
        """Return the runs that wait or are being carried out, whatever they are of."""
        with self.instance() as instance:
            return [run for run in instance.get_runs() if not run.is_finished]

    def worker_of(self, version: str) -> int | None:
        """Return the process that runs a version's evaluation, once it does."""
        with self.instance() as instance:
            for run in instance.get_runs(dg.RunsFilter(tags={"dagster/partition": version})):
                for entry in instance.all_logs(run.run_id):
                    event = entry.dagster_event
                    if event is not None and event.is_step_start:
                        return event.pid
        return None

    def awaited(self, *versions: str) -> None:
        """Wait until each version has a decision."""
        for version in versions:
            until(partial(self.decisions, version), f"the decision on version {version}")

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self.environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process


@contextmanager
def mock_environment(values: dict[str, str]) -> Iterator[None]:
    """Set what the instance's configuration reads from this process's environment."""
    before = {name: os.environ.get(name) for name in ("DAGSTER_POSTGRES_URL",)}
    os.environ.update({name: values[name] for name in before})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Start everything, in an order in which no two processes make the same tables."""
    with postgres.running() as server:
        names = ("mlflow", "promotion", "dagster")
        site = Site(folder, server, {n: server.new_database(n) for n in names}, free_port())
        try:
            site.home.mkdir()
            shutil.copy(DEPLOY / "postgres" / "dagster.yaml", site.home)
            write_policy(folder)
            write_dataset(folder)
            site.start_mlflow()
            with site.instance():
                site.logged = log_both(site.tracking_uri)
            site.start_daemon()
            yield site
        finally:
            for process in site.started:
                site.kill(process)
