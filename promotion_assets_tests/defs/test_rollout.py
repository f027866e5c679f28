"""Rollouts in Dagster: the sensor moves them, the asset shows them, a check each guardrail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.rollout import CHECKS
from promotion_assets.pipeline import preflight
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.rollout.worlds import World

POLICY = """
version: 1
models:
  credit-risk:
    task: binary
    dataset: {uri: evaluation.parquet, label: default}
    gates: {accuracy: {}}
    rollout:
      steps:
        - {share: 0.05, minimum_minutes: 0, minimum_units: 100}
        - {share: 1, minimum_minutes: 0, minimum_units: 100}
      errors: {max_rate: 0.05}
      latency: {max_rate: 0.06, freeze_requests: 200}
      decision_rate: {limit: 0.3}
      tick_seconds: 7
"""


@dataclass
class AtHome(World):
    """A world in the home of a workspace."""

    workspace: Workspace | None = None

    def __post_init__(self) -> None:
        assert self.workspace is not None
        self.clock = Clock(datetime.now(UTC) - timedelta(minutes=10))
        self.ledger = self.workspace.ledger  # type: ignore[assignment]
        self.events = event_log(self.workspace)

    def traffic(self, minutes: float, units: int, **how: Any) -> None:
        """Let units ask; once the rollout has begun, from now on."""
        if self.share:
            self.clock.now = max(self.clock.now, datetime.now(UTC))
        super().traffic(minutes, units, **how)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AtHome]:
    """A home with champion 1 and version 2 about to roll out; models need not be loaded."""
    registry = FakeRegistry()
    monkeypatch.setattr(Workspace, "checkpoint_places", ())
    monkeypatch.setattr(Workspace, "registry", registry)
    monkeypatch.setattr(preflight, "preflight", lambda evaluator, state: iter(()))
    (tmp_path / "promotion.yaml").write_text(POLICY)
    opened = Workspace.open(home=tmp_path / "home", config=tmp_path / "promotion.yaml", environ={})
    made = AtHome(opened.home, registry=registry, workspace=opened)
    made.begin()
    made.traffic(2, 300)
    yield made
    made.close()


def definitions(world: AtHome) -> dg.Definitions:
    """What Dagster is given for the world's policy."""
    opened = world.workspace
    assert opened is not None
    return promotion_definitions(opened.policy, config=opened.config, home=opened.home)


def sensor_tick(world: AtHome, instance: dg.DagsterInstance) -> dg.SensorResult:
    """Tick the sensor as the daemon does."""
    found = definitions(world)
    sensor = found.resolve_sensor_def("rollouts")
    context = dg.build_sensor_context(
        instance=instance, definitions=found, resources=found.resources
    )
    result: Any = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def materialize(
    world: AtHome, instance: dg.DagsterInstance
) -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """Show the rollout of version 2 in a run; return its metadata and its checks."""
    instance.add_dynamic_partitions(f"{MODEL} versions", ["2"])
    job = definitions(world).resolve_job_def("rollout_credit_risk")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    ran = job.execute_in_process(instance=instance, partition_key="2", run_config=quiet)
    assert ran.success
    (made,) = ran.asset_materializations_for_node("credit_risk__rollout")
    checks = {c.check_name: c for c in ran.get_asset_check_evaluations() if c.check_name in CHECKS}
    return dict(made.metadata), checks


def test_sensor_ticks_by_itself_and_has_each_step_shown_once(world: AtHome) -> None:
    """It runs unless somebody stops it, as often as the policy says, and asks per step."""
    sensor = definitions(world).resolve_sensor_def("rollouts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 7
    with dg.instance_for_test() as instance:
        started = sensor_tick(world, instance)
        assert world.share == 500
        waiting = [sensor_tick(world, instance) for _ in range(2)]
        world.traffic(5, 6000)
        baking = sensor_tick(world, instance)
    assert world.share == 9800
    (first,), (second,) = started.run_requests or [], baking.run_requests or []
    assert (first.job_name, first.partition_key) == ("rollout_credit_risk", "2")
    between = {r.run_key for each in waiting for r in each.run_requests or []}
    assert len(between) == 1, "an unchanged rollout is shown once an hour"
    assert len({first.run_key, second.run_key} | between) == 3


def test_asset_shows_next_step_pictures_and_a_check_a_guardrail(world: AtHome) -> None:
    """Why it waits, share and evidence drawn, and every guardrail's verdict."""
    with dg.instance_for_test() as instance:
        shown, checks = materialize(world, instance)
        assert "start" in str(shown["next"].value)
        assert set(checks) == set(CHECKS)
        assert not any(check.passed for check in checks.values()), "absence does not pass"
        sensor_tick(world, instance)
        world.traffic(5, 1000)
        shown, checks = materialize(world, instance)
    assert "units were answered" in str(shown["next"].value)
    for name in ("weight over time", "evidence", "errors against the champion"):
        assert "data:image/png" in str(shown[f"picture/{name}"].value)
    assert checks["sample_ratio"].passed
    assert not checks["errors"].passed
    assert checks["errors"].severity is dg.AssetCheckSeverity.WARN
    assert shown["share"].value == 5.0


def test_rolled_back_version_has_a_failed_check_for_ever(world: AtHome) -> None:
    """What took it back is an error of its own guardrail, from the ledger's counts."""
    with dg.instance_for_test() as instance:
        sensor_tick(world, instance)
        world.traffic(3, 4000, fails=lambda role: 0.3 if role == "candidate" else 0.0)
        sensor_tick(world, instance)
        assert not world.state.rolling
        shown, checks = materialize(world, instance)
    assert "roll back" in str(shown["next"].value)
    assert not checks["errors"].passed
    assert checks["errors"].severity is dg.AssetCheckSeverity.ERROR
    assert checks["sample_ratio"].passed
