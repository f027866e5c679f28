"""The watch over the registry: what a tick costs, and a hundred versions at once."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

from benchmarks.measuring import Line, Timed, best
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline.watching import Watch
from promotion_assets.pipeline.workspace import Workspace, utc_now
from promotion_assets_tests.crowds import crowd, names, workspace
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ticking import Daemon

MODELS, VERSIONS, MORE_VERSIONS = 50, 200, 2000
TICKS = 40
CROWD_MODELS, AT_ONCE = 10, 100


def results() -> list[Line]:
    """Measure ticks with nothing new in two sizes, then judge a hundred versions for real."""
    small, large = _tick(VERSIONS), _tick(MORE_VERSIONS)
    job = f"tick, nothing new, {MODELS} models"
    lines = []
    for versions, timed in ((VERSIONS, small), (MORE_VERSIONS, large)):
        what = f"{job} x {versions} versions"
        wall, cpu = timed.wall * 1000, timed.cpu * 1000
        lines += [Line(what, "ms", wall, "<= 50", wall <= 50), Line(what, "CPU ms", cpu, "", None)]
    growth = large.cpu / small.cpu
    what = f"{job}: ten times the versions"
    lines.append(Line(what, "times the CPU", growth, "<= 1.5", growth <= 1.5))
    return [*lines, *_crowd()]


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="promotion-bench-", dir=Path.cwd()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _environment(opened: Workspace) -> Iterator[None]:
    """Point this process's environment at ``opened``, as a daemon's is."""
    before = {name: os.environ.get(name) for name in opened.environ}
    os.environ.update(opened.environ)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _tick(versions: int) -> Timed:
    """Time a tick of the sensor with nothing new that really looks at the registry.

    All models and versions have been seen, none of them was judged: the cursor is as it is once
    the backlog of a first start has been asked for.
    """
    models = names(MODELS)
    with _folder() as folder, dg.DagsterInstance.ephemeral() as instance:
        opened = workspace(folder, models, Clock())
        crowd(opened, models, versions)
        entries = {e.model: e for e in opened.registry.entries({}, ())}
        seen = {
            model: {"highest": versions, "created": e.created, "updated": e.updated}
            for model, e in entries.items()
        }
        with _environment(opened):
            daemon = Daemon(opened, instance, cursor=Watch.model_validate({"models": seen}).dump())
            timed = best(daemon.tick, TICKS)
    # A tick that asks for something is not one with nothing new.
    assert not timed.result.run_requests, "it asked for runs"
    return timed


def _crowd() -> list[Line]:
    """Register a hundred versions at once and judge them as the daemon does, in this process.

    Every model has one artifact that is registered ten times; the policy has the gates that cost
    least. What is shown is that each version is judged and none twice, and what one costs.
    """
    models = names(CROWD_MODELS)
    with _folder() as folder, dg.DagsterInstance.ephemeral() as instance:
        opened = replace(workspace(folder, models, Clock()), clock=utc_now)
        with _environment(opened):
            _register(opened, models)
            daemon = Daemon(opened, instance)
            wall = time.perf_counter()
            while (found := daemon.tick()).run_requests:
                for _ in daemon.start(found):
                    pass
            seconds = time.perf_counter() - wall
        times = Counter(
            (event.model, event.version)
            for event in (recorded.event for recorded in opened.ledger.events())
            if isinstance(event, EvaluationFinished)
        )
    wanted = {(m, str(n + 1)) for m in models for n in range(AT_ONCE // CROWD_MODELS)}
    assert set(times) == wanted, f"{len(wanted - set(times))} versions were not judged"
    assert set(times.values()) == {1}, f"{max(times.values())} decisions on one version"
    job = f"{AT_ONCE} versions registered at once"
    return [
        Line(job, "judged", len(times), f">= {AT_ONCE}", len(times) >= AT_ONCE),
        Line(job, "judged twice", sum(n > 1 for n in times.values()), "<= 0", True),
        Line(job, "seconds a version", seconds / AT_ONCE, "", None),
    ]


def _register(opened: Workspace, models: list[str]) -> None:
    rows = np.random.default_rng(0)
    features = pd.DataFrame(rows.normal(size=(400, 3)), columns=["a", "b", "c"])
    labels = (features.sum(axis=1) + rows.normal(size=400) > 0).astype("int64")
    features.assign(y=labels).to_parquet(opened.config.parent / "evaluation.parquet")
    client = MlflowClient(opened.tracking_uri, opened.tracking_uri)
    mlflow.set_tracking_uri(opened.tracking_uri)
    experiment = client.create_experiment(
        f"crowd {datetime.now(UTC):%H%M%S}", (opened.config.parent / "artifacts").as_uri()
    )
    for number, model in enumerate(models):
        taught = slice(number * 30, number * 30 + 100)
        with mlflow.start_run(experiment_id=experiment) as run:
            info = mlflow.sklearn.log_model(
                LogisticRegression().fit(features[taught], labels[taught]),
                name="model",
                signature=mlflow.models.infer_signature(features, labels),
                pip_requirements=["scikit-learn==1.9.1"],
            )
        client.create_registered_model(model)
        for _ in range(AT_ONCE // CROWD_MODELS):
            client.create_model_version(model, info.model_uri, run.info.run_id)
