"""A code server looks for months: a look leaves nothing open."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import load_policy
from promotion_assets_tests.cli.homes import make_home

SENSORS = ("changed_inputs", "new_versions", "notifications", "reviews", "rollouts", "shadows")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion, and a version that rolls out."""
    made = make_home(tmp_path_factory.mktemp("long"))
    made.world.close()
    return made.folder


@pytest.fixture
def uncollected() -> Iterator[None]:
    """As in a process that keeps so much that the collector hardly ever comes."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", SENSORS)
def test_a_look_leaves_no_file_of_the_home_open(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is taken: what was opened for it is closed and not left to chance."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
    config, home = folder / "promotion.yaml", folder / ".promotion"
    policy = load_policy(config, settings=settings_models, environ={})
    definitions = promotion_definitions(policy, config=config, home=home)
    sensor = definitions.resolve_sensor_def(name)
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            look(sensor, instance, definitions)
            assert opened_below(home) == []


def look(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    """Tick once, as a code server does."""
    with dg.build_sensor_context(
        instance=instance,
        definitions=definitions,
        resources={"platform": (definitions.resources or {})["platform"]},
    ) as context:
        sensor.evaluate_tick(context)


def opened_below(home: Path) -> list[str]:
    """Files below a folder that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(descriptor.readlink()))
    return sorted(path for path in found if path.startswith(str(home)))
