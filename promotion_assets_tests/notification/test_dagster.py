"""The outbox in Dagster: a sensor that sends, and a check that fails while something is stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.notifications import EVERYTHING_ARRIVES, KEY, notifications
from promotion_assets.pipeline.workspace import utc_now
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.notification.receivers import Receiver
from promotion_assets_tests.notification.worlds import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A home at today's time, as a sensor's own clock tells it."""
    return World(tmp_path / "world", Clock(utc_now()))


class Dagster:
    """A home's definitions, and ticks of its sensor."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in world.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("PROMOTION_DATABASE_URL", raising=False)
        opened = world.workspace()
        self.definitions = promotion_definitions(
            opened.policy, config=opened.config, home=opened.home
        )
        self.cursor: str | None = None

    def tick(self, instance: dg.DagsterInstance) -> dg.SensorResult:
        """Tick once, as the daemon does, and keep the cursor."""
        sensor = self.definitions.resolve_sensor_def("notifications")
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        context = dg.build_sensor_context(
            instance=instance,
            definitions=self.definitions,
            resources=self.definitions.resources,
            cursor=self.cursor,
        )
        found = sensor(context)
        assert isinstance(found, dg.SensorResult)
        self.cursor = found.cursor
        return found


def checks(found: dg.SensorResult) -> list[tuple[bool, str | None]]:
    """What a tick says of the check."""
    return [
        (event.passed, event.description)
        for event in found.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    ]


def shown(found: dg.SensorResult) -> dict[str, Any]:
    """The metadata that a tick adds to the asset."""
    (event,) = [e for e in found.asset_events if isinstance(e, dg.AssetMaterialization)]
    assert event.asset_key == KEY
    return {name: value.value for name, value in event.metadata.items()}


def test_the_sensor_sends_and_reports_when_something_changes(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivered, stuck, unstuck: each is an event of the asset; an idle tick is none."""
    world.subscribe("ops", hook.url)
    dagster = Dagster(world, monkeypatch)
    with dg.DagsterInstance.ephemeral() as instance:
        world.judge("1")
        first = dagster.tick(instance)
        assert shown(first)["delivered now"] == 1
        assert checks(first) == [(True, "0 wait, none after a failure")]
        assert dagster.tick(instance).asset_events == []
        hook.answers = [500]
        world.judge("2")
        stuck = dagster.tick(instance)
        assert checks(stuck) == [(False, "ops: 127.0.0.1 answered 500")]
        assert shown(stuck)["waiting"] == 1
        (record,) = shown(stuck)["not arrived"].records
        assert (record.data["subscription"], record.data["attempts"]) == ("ops", "1")


def test_the_asset_sends_what_is_due_when_it_is_materialised(
    world: World, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand as by the sensor; dead letters fail the check and the run goes well."""
    world.policy["max_attempts"] = 1
    world.subscribe("ops", hook.url)
    world.judge("1")
    hook.answers = [500]
    resources = Dagster(world, monkeypatch).definitions.resources
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([notifications()], instance=instance, resources=resources)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (EVERYTHING_ARRIVES, False)
    assert check.description == "1 dead letters"


def test_a_database_that_is_away_is_a_skipped_tick(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon goes on; the next tick tries again."""
    dagster = Dagster(world, monkeypatch)
    (world.root / "home").mkdir(exist_ok=True)
    (world.root / "home" / "ledger.db").write_bytes(b"this is no database" * 100)
    sensor = dagster.definitions.resolve_sensor_def("notifications")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(
            instance=instance,
            definitions=dagster.definitions,
            resources=dagster.definitions.resources,
        )
        found = sensor(context)
    assert isinstance(found, dg.SkipReason)
    assert "not a database" in str(found.skip_message)
