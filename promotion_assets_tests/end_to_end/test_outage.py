"""MLflow away for minutes, and a run killed in the middle of a promotion: a real site goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from mlflow.tracking import MlflowClient

from promotion_assets.lifecycle.events import Stage, StageChanged
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.end_to_end.sites import Site, running_site, until
from promotion_assets_tests.faulty import Faulty, Plan
from promotion_assets_tests.registries import SCRIPTS
from promotion_assets_tests.small_models import MODEL, write_policy

# A shorter absence shows the same to whoever waits for it; CI has the time.
AWAY_SECONDS = float(os.environ.get("PROMOTION_TEST_AWAY_SECONDS", "300"))
THREE_PARTS = re.compile(r"\S.*: \S.*\. Next: check MLFLOW_TRACKING_URI and that MLflow runs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own, so that other tests need not wait; approved versions go to Staging."""
    with running_site(tmp_path_factory.mktemp("outage")) as made:
        write_policy(made.folder, staging="true")
        yield made


def skipped(site: Site, after: float) -> list[str]:
    """Return why the sensor for new versions asked for nothing since ``after``."""
    with site.instance() as instance:
        (sensor,) = [s for s in instance.all_instigator_state() if s.name == "new_versions"]
        ticks = instance.get_ticks(sensor.instigator_origin_id, sensor.selector_id, after=after)
    assert all(tick.error is None for tick in ticks), [tick.error for tick in ticks if tick.error]
    return [tick.skip_reason for tick in ticks if tick.skip_reason]


def moves(site: Site, version: str) -> list[StageChanged]:
    """Return the version's stage changes that the ledger holds."""
    ledger = Workspace.open(environ=site.environment()).ledger
    events = [recorded.event for recorded in ledger.events(MODEL)]
    ledger.close()
    return [e for e in events if isinstance(e, StageChanged) and e.version == version]


def stage_of(site: Site, version: str) -> Stage:
    """Return where a version stands."""
    ledger = Workspace.open(environ=site.environment()).ledger
    stage = ledger.state(MODEL).stage(version)
    ledger.close()
    return stage


def test_mlflow_may_be_away_for_five_minutes(site: Site) -> None:
    """What was registered just before is judged once and moved once; every look says why not."""
    first = site.register()
    until(lambda: site.worker_of(first), "the first step", every=0.1)
    versions = [first, site.register(), site.register()]
    site.kill(site.mlflow)
    gone = datetime.now(UTC).timestamp()
    time.sleep(AWAY_SECONDS)
    early = [version for version in versions if site.decisions(version)]
    assert versions[-1] not in early, "it was judged before, which proves nothing"
    said = [why for why in skipped(site, gone + 5) if not why.startswith("nothing new")]
    assert said, "no look of the sensor has seen that MLflow is away"
    assert all(THREE_PARTS.search(why) for why in said), said
    site.start_mlflow()
    versions.append(site.register())
    site.awaited(*versions)
    until(
        lambda: all(stage_of(site, version) is Stage.STAGING for version in versions),
        "every version's move to Staging",
    )
    # Longer than the first wait for a request without an answer, and two looks.
    time.sleep(8)
    for version in versions:
        assert len(site.decisions(version)) == 1, version
        assert len(moves(site, version)) == 1, version


def test_a_run_that_is_killed_in_mid_promotion_is_finished_once(site: Site) -> None:
    """Killed with its first word to MLflow on the way: announced, then finished, never doubled."""
    site.kill(site.daemon)
    line = Faulty(site.tracking_uri)
    site.more["MLFLOW_TRACKING_URI"] = line.uri
    site.start_daemon()
    held = line.begin(Plan(hold=lambda call: call.startswith("POST") and "models/alias" in call))
    try:
        version = site.register()
        until(held.held.is_set, "the promotion's first word to MLflow", every=0.1)
        worker = site.worker_of(version)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        ledger = Workspace.open(environ=site.environment()).ledger
        intent = ledger.state(MODEL).intent
        ledger.close()
        assert intent is not None
        assert intent.changes[0].version == version
        assert not moves(site, version)
        # Sent before the death, it arrives after it.
        held.let_go.set()
        reconciled = subprocess.run(
            [str(SCRIPTS / "promotion"), "reconcile", MODEL],
            env=site.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr
        assert "finished a change that had stopped half way" in reconciled.stdout
    finally:
        held.let_go.set()
        site.kill(site.daemon)
        del site.more["MLFLOW_TRACKING_URI"]
        site.start_daemon()
        line.close()
    assert [move.promoted_to for move in moves(site, version)] == [Stage.STAGING]
    assert len(site.decisions(version)) == 1
    client = MlflowClient(site.tracking_uri, site.tracking_uri)
    assert client.get_registered_model(MODEL).aliases["shadow"] == version
    assert client.get_model_version(MODEL, version).tags["promotion.stage"] == "Staging"
