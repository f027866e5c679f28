"""A real MLflow server tells of a registration, and the sensor notices at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.platform import Platform
from promotion_assets.pipeline.hints import Hints
from promotion_assets.pipeline.listening import Listener
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.workspace import utc_now
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.worlds import World, serving
from promotion_assets_tests.registries import Registries

SECRET = "mlflow's key of the tests, long enough"


def wait_for(done: Callable[[], object], *, seconds: float) -> float:
    """Wait until it is done; return how long it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def call(server: str, path: str, /, method: str = "POST", **content: object) -> Any:
    """Call MLflow's REST interface."""
    address = f"{server}/api/2.0/mlflow/{path}"
    answer = requests.request(method, address, json=content, timeout=60)
    assert answer.ok, answer.text
    return answer.json()


@contextmanager
def subscribed(mlflow: str, url: str) -> Iterator[None]:
    """Have MLflow tell ``url`` of new versions."""
    made = call(
        mlflow,
        "webhooks",
        name="promotion",
        url=f"{url}/mlflow",
        secret=SECRET,
        events=[{"entity": "MODEL_VERSION", "action": "CREATED"}],
    )
    yield
    call(mlflow, f"webhooks/{made['webhook']['webhook_id']}", method="DELETE")


def test_a_registration_is_noticed_when_it_happens(
    registries: Registries,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow signs, we verify, and the next short tick asks for the run that the clock would."""
    mlflow = registries.source
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
    world = World(tmp_path / "world", Clock(utc_now()))
    world.environ |= {"PROMOTION_MLFLOW_WEBHOOK_SECRET": SECRET, "MLFLOW_TRACKING_URI": mlflow}
    workspace = replace(world.workspace(), clock=utc_now)
    call(mlflow, "registered-models/create", name=MODEL)
    run = call(mlflow, "runs/create", experiment_id="0")["run"]["info"]
    new = {"name": MODEL, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    with (
        serving(Listener(Notifier(workspace))) as url,
        subscribed(mlflow, url),
        dg.DagsterInstance.ephemeral() as dagster,
    ):
        tick = ticker(world, dagster)
        assert tick() == []
        began = time.monotonic()
        call(mlflow, "model-versions/create", **new)
        wait_for(lambda: Hints(workspace).waiting, seconds=30)
        noted = time.monotonic() - began
        # The registry was looked at a moment ago: without the hint this tick does nothing.
        assert tick() == [(MODEL, "1")]
        noticed = time.monotonic() - began
        assert Hints(workspace).waiting == ()
        assert tick() == []
    print(f"registration -> hint {noted:.2f} s, -> run requested {noticed:.2f} s")
    record_property("registration_to_hint_seconds", noted)
    record_property("registration_to_run_request_seconds", noticed)
    assert noted < 10


def ticker(
    world: World, instance: dg.DagsterInstance
) -> Callable[[], list[tuple[str, str | None]]]:
    """Return what ticks the sensor with its cursor, as the daemon does."""
    opened = world.workspace()
    definitions = promotion_definitions(opened.policy, config=opened.config, home=opened.home)
    sensor = definitions.resolve_sensor_def("new_versions")
    platform = Platform(config=str(opened.config), home=str(opened.home))
    cursor: list[str | None] = [None]

    def tick() -> list[tuple[str, str | None]]:
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor[0], resources={"platform": platform}
        )
        found = sensor(context)
        assert isinstance(found, dg.SensorResult)
        cursor[0] = found.cursor
        return [
            (request.tags["promotion/model"], request.partition_key)
            for request in found.run_requests or ()
        ]

    return tick
