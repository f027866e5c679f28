"""The shadow in Dagster: begun by a sensor, reported by a job, checked number by number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.defs.shadow import CHECKS
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.serving.events import ShadowEvent, microseconds
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, digest, stage

POLICY = """
version: 1
models:
  credit-risk:
    task: binary
    dataset: {uri: evaluation.parquet, label: default}
    groups: [{column: EDUCATION, name: education}]
    gates: {accuracy: {}}
    shadow: {sampling: 1.0, minimum_pairs: 500}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A home with champion 1 and version 2 in Staging; nobody publishes its checkpoints."""
    monkeypatch.setattr(Workspace, "checkpoint_places", ())
    (tmp_path / "promotion.yaml").write_text(POLICY)
    opened = Workspace.open(home=tmp_path / "home", config=tmp_path / "promotion.yaml", environ={})
    registry, clock = FakeRegistry(), Clock(datetime.now(UTC) - timedelta(days=4))
    adopted(opened.ledger, registry)
    stage(opened.ledger, registry, "2", clock)
    yield opened
    opened.ledger.close()  # type: ignore[attr-defined]


def log_pairs(workspace: Workspace, n: int, *, moved: float = 0.0) -> None:
    """Write pairs of the last three days; the shadow's scores are higher by ``moved``."""
    rng = np.random.default_rng(2)
    now = datetime.now(UTC)
    one = rng.uniform(0.05, 0.45, n)
    log = event_log(workspace)
    log.write(
        [
            ShadowEvent(
                event_id=f"event-{i}",
                time_us=microseconds(now - timedelta(hours=72) * (n - i) / n),
                request_id=f"request-{i}",
                model=MODEL,
                segment="default",
                unit="",
                production_version="1",
                shadow_version="2",
                shadow_digest=digest("2"),
                production_prediction=str(one[i]),
                shadow_prediction=str(one[i] + moved),
                production_score=float(one[i]),
                shadow_score=float(one[i] + moved),
                production_latency_ms=2.0,
                shadow_latency_ms=2.5,
                outcome="answered",
                error="",
                features_hash="",
                features=json.dumps({"EDUCATION": i % 2}),
            )
            for i in range(n)
        ]
    )
    log.close()


def run(
    workspace: Workspace, instance: dg.DagsterInstance
) -> tuple[dict[str, Any], dict[str, dg.AssetCheckEvaluation]]:
    """Make the report of version 2 in a run; return its metadata and its checks."""
    definitions = promotion_definitions(
        workspace.policy, config=workspace.config, home=workspace.home
    )
    instance.add_dynamic_partitions(f"{MODEL} versions", ["2"])
    result = definitions.resolve_job_def("shadow_credit_risk").execute_in_process(
        instance=instance,
        partition_key="2",
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    (made,) = result.asset_materializations_for_node("credit_risk__shadow_report")
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    return {name: value.value for name, value in made.metadata.items()}, checks


def test_the_sensor_begins_the_shadow_and_asks_for_one_report_an_hour(
    workspace: Workspace,
) -> None:
    """The plan has the shadow after one tick, and a second tick asks by the same key."""
    definitions = promotion_definitions(
        workspace.policy, config=workspace.config, home=workspace.home
    )
    sensor = definitions.resolve_sensor_def("shadows")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    keys = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            context = dg.build_sensor_context(
                instance=instance, definitions=definitions, resources=definitions.resources
            )
            asked = list(sensor(context).run_requests or ())  # type: ignore[union-attr]
            keys += [request.run_key for request in asked]
            assert [request.partition_key for request in asked] == ["2"]
    state = workspace.ledger.state(MODEL)
    assert state.traffic is not None
    assert state.traffic.segments[0].shadow is not None
    assert state.traffic.segments[0].shadow.version == "2"
    # A tick may fall on either side of the hour.
    assert len(set(keys)) <= 2
    assert all(key and key.startswith("shadow:credit-risk:2:") for key in keys)


def test_a_report_shows_its_verdict_numbers_and_pictures(workspace: Workspace) -> None:
    """A shadow that answers alike passes every check, and the ledger has its report."""
    log_pairs(workspace, 2000, moved=0.001)
    with dg.DagsterInstance.ephemeral() as instance:
        shown, checks = run(workspace, instance)
        again, _ = run(workspace, instance)
    assert set(checks) == {"passed", *CHECKS}
    assert all(check.passed for check in checks.values()), checks
    pictures = {name for name in shown if name.startswith("picture/")}
    assert pictures == {
        "picture/shadow scores",
        "picture/shadow decisions by group",
        "picture/shadow times",
    }
    assert shown["verdict"].startswith("**PASSED** 2,000 pairs over 72 h")
    assert shown["ledger"].startswith("recorded just now")
    assert again["ledger"].startswith("nothing new since")
    assert workspace.ledger.state(MODEL).shadows[("default", "2")].passed


def test_without_traffic_no_check_passes_and_none_is_an_error(workspace: Workspace) -> None:
    """Nothing seen is no failure of the version and no pass either: warnings, all of them."""
    with dg.DagsterInstance.ephemeral() as instance:
        shown, checks = run(workspace, instance)
    assert not any(check.passed for check in checks.values())
    assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
    assert "no traffic says nothing" in shown["verdict"]
    assert shown["ledger"] == "nothing recorded yet: no verdict so far"


def test_harm_is_an_error_in_the_check_that_names_it(workspace: Workspace) -> None:
    """Scores that moved over the threshold fail decisions, groups and scores, and not speed."""
    log_pairs(workspace, 2000, moved=0.3)
    with dg.DagsterInstance.ephemeral() as instance:
        _, checks = run(workspace, instance)
    failed = {name for name, check in checks.items() if not check.passed}
    assert failed == {"passed", "decides_alike", "groups_alike", "scores_alike"}
    assert {checks[name].severity for name in failed} == {dg.AssetCheckSeverity.ERROR}
    assert "decided differently" in (checks["decides_alike"].description or "")
