"""The sensor in a real daemon judges what a plain MLflow script registers, once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import copytree, ignore_patterns

import dagster as dg
import pytest

from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.versions import MODEL
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests import waiting
from promotion_assets_tests.demo.conftest import Judged, environment

# Nothing in it is ours: what a team that never heard of the platform would write.
TRAINING = """
import sys
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows = pd.read_parquet(sys.argv[1])
label = rows.pop("default")
features = rows.drop(columns=["ID", "SEX", "AGE", "MARRIAGE"])
mlflow.set_experiment("plain")
with mlflow.start_run():
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(features, label)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(features, model.predict(features)),
        pip_requirements=["scikit-learn==1.8.0"],
        registered_model_name=sys.argv[2],
    )
print(info.registered_model_version)
"""
# How long a loaded machine may take; what a quiet one takes is printed.
PATIENCE_SECONDS = 900.0
until = partial(waiting.until, seconds=PATIENCE_SECONDS, every=0.2)


@dataclass
class Platform:
    """A demo's folder with its daemon, which can be killed and started again."""

    home: DemoHome
    daemon: subprocess.Popen[bytes] | None = None
    groups: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Start the daemon as the leader of a process group."""
        command = [
            str(Path(sys.executable).with_name("dagster-daemon")),
            *("run", "--workspace", str(self.home.workspace_file)),
        ]
        with (self.home.root / f"daemon{len(self.groups)}.log").open("wb") as log:
            self.daemon = subprocess.Popen(
                command,
                env=environment(self.home),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.groups.append(self.daemon.pid)

    def kill(self) -> None:
        """Kill the daemon alone, as the system does when memory is short."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def end(self) -> None:
        """Kill everything that any daemon has started."""
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        assert self.daemon is not None
        self.daemon.wait()

    def register(self) -> str:
        """Register a version with the plain script and return its number."""
        ran = subprocess.run(
            [sys.executable, "-c", TRAINING, str(self.home.root / "evaluation.parquet"), MODEL],
            env=environment(self.home),
            cwd=self.home.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert ran.returncode == 0, ran.stderr[-2000:]
        return ran.stdout.split()[-1]

    def decisions(self, version: str) -> list[EvaluationFinished]:
        """Return the decisions on a version that the ledger holds."""
        environ = environment(self.home)
        workspace = Workspace.open(home=self.home.state, config=self.home.config, environ=environ)
        events = [recorded.event for recorded in workspace.ledger.events(MODEL)]
        return [e for e in events if isinstance(e, EvaluationFinished) and e.version == version]

    def runs(self, version: str) -> list[dg.DagsterRun]:
        """Return the evaluations that were asked for of a version."""
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            of_version = {"dagster/partition": version}
            return list(
                instance.get_runs(dg.RunsFilter(job_name="evaluate_credit_risk", tags=of_version))
            )

    def partitions(self) -> list[str]:
        """Return the versions that Dagster knows."""
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            return list(instance.get_dynamic_partitions(f"{MODEL} versions"))

    def ticks(self) -> int:
        """Return how often the sensor has looked so far."""
        with dg.DagsterInstance.from_config(str(self.home.dagster)) as instance:
            states = instance.all_instigator_state()
            return sum(
                len(instance.get_ticks(state.instigator_origin_id, state.selector_id))
                for state in states
            )


@pytest.fixture(scope="module")
def platform(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A copy of the judged demo with its daemon, whose sensor has looked once."""
    root = tmp_path_factory.mktemp("daemon") / "demo"
    copytree(judged.home.root, root, ignore=ignore_patterns("artifacts", "logs", ".lock"))
    running = Platform(DemoHome(root))
    running.start()
    try:
        until(running.ticks, "the first look of the sensor")
        yield running
    finally:
        running.end()


def test_version_of_a_plain_script_is_judged_untouched(platform: Platform) -> None:
    """Nobody touches anything between registration and decision."""
    version = platform.register()
    registered = time.monotonic()
    until(lambda: platform.decisions(version), f"the decision on version {version}")
    print(f"\nfrom registration to decision: {time.monotonic() - registered:.0f} s")
    (decision,) = platform.decisions(version)
    # It logged no feature profile, which is what the decision must hold against it.
    assert "drift" in decision.deciding_gates
    assert len(platform.runs(version)) == 1


def test_version_is_judged_once_though_the_daemon_is_killed(platform: Platform) -> None:
    """Killed when it has asked for the run and started again, the daemon asks for no second one."""
    version = platform.register()
    until(lambda: platform.runs(version), "the request for a run", every=0.02)
    platform.kill()
    assert not platform.decisions(version), "it was judged before the kill, which proves nothing"
    looks = platform.ticks()
    platform.start()
    until(lambda: platform.decisions(version), f"the decision on version {version}")
    until(lambda: platform.ticks() >= looks + 2, "two more looks of the sensor")
    assert len(platform.decisions(version)) == 1
    assert len(platform.runs(version)) == 1
    assert platform.partitions().count(version) == 1


def test_versions_that_were_judged_before_are_not_asked_for(platform: Platform) -> None:
    """The sensor began with nine judged versions and asked for none of them."""
    for version in map(str, range(1, 10)):
        assert len(platform.decisions(version)) == 1
        assert len(platform.runs(version)) == 1
