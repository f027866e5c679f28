"""A rollback: from the command to the new plan, and on to the first answer by it."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow.tracking import MlflowClient

from benchmarks.measuring import Line
from benchmarks.serving import serving_ours
from promotion_assets.lifecycle.events import TrafficPlanned
from promotion_assets_tests.serving.world import MODEL, World, make_world, save_models, split_body

RUNS = 5
SHARE = 5000
BODY = split_body([[0.5] * 8])


def results() -> list[Line]:
    """Roll a version back several times, by command, while the server answers."""
    folder = Path(tempfile.mkdtemp(prefix="promotion-bench-", dir=Path.cwd()))
    try:
        world = make_world(folder / "world", save_models(folder / "models"), {})
        world.adopt()
        _register(world)
        with serving_ours(world) as port:
            runs = [_once(world, port, version) for version in ("2", "3")]
    finally:
        shutil.rmtree(folder)
    command, plan, followed = (max(run[n] for run in runs) for n in range(3))
    return [
        Line("rollback, from the command to the new plan", "seconds", plan, "<= 1", plan <= 1),
        Line("rollback, from the command to its end", "seconds", command, "", None),
        Line("from the new plan to the first answer by it", "seconds", followed, "<= 1",
             followed <= 1),
    ]  # fmt: skip


def _register(world: World) -> None:
    """Have MLflow know the versions, so that a rollback has a registry to tell."""
    client = MlflowClient(registry_uri=world.environment()["MLFLOW_TRACKING_URI"])
    client.create_registered_model(MODEL)
    for _ in world.artifacts:
        client.create_model_version(MODEL, source=str(world.folder))


def _once(world: World, port: int, version: str) -> tuple[float, float, float]:
    """Return seconds of the command, until the plan was recorded, and until it was followed."""
    world.go_live(version, SHARE)
    before = _generation(world)
    while _answered_by(port) < before:
        time.sleep(0.05)
    began = time.time()
    command = [str(Path(sys.executable).with_name("promotion")), "rollback", MODEL]
    process = subprocess.Popen(
        [*command, "--reason", "the benchmark says so"],
        env={"PATH": "/usr/bin:/bin", **world.environment()},
        stdout=subprocess.DEVNULL,
    )
    while (after := _answered_by(port)) == before:
        time.sleep(0.005)
    followed = time.time()
    assert process.wait(60) == 0
    ended = time.time()
    plans = [r for r in world.ledger.events(MODEL) if isinstance(r.event, TrafficPlanned)]
    assert plans[-1].event.plan.generation == after
    assert plans[-1].event.plan.segments[0].share == 0
    at = plans[-1].recorded_at.timestamp()
    return ended - began, at - began, followed - at


def _generation(world: World) -> int:
    traffic = world.ledger.state(MODEL).traffic
    assert traffic is not None
    return traffic.generation


def _answered_by(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/invocations", BODY, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return int(response.headers["x-promotion-generation"])
    finally:
        connection.close()


if __name__ == "__main__":
    for line in results():
        print(line)
