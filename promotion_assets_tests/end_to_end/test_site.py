"""Everything on PostgreSQL, and processes that die: no version is lost, and none judged twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from mlflow.tracking import MlflowClient

from promotion_assets_tests.end_to_end.sites import DEPLOY, Site, running_site, until
from promotion_assets_tests.small_models import MODEL


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, once for all tests here; its parts are killed and started again by them."""
    with running_site(tmp_path_factory.mktemp("site")) as made:
        yield made


def judged_once(site: Site, *versions: str) -> None:
    """Wait for the decisions, give the sensor time to ask for more, and count."""
    site.awaited(*versions)
    # Longer than the first wait for a request without an answer, and two looks.
    time.sleep(8)
    for version in versions:
        assert len(site.decisions(version)) == 1, version


def test_a_version_goes_from_registration_to_the_ledger_on_postgresql(site: Site) -> None:
    """Runs, registry and ledger are rows of one server, and none of them a file of SQLite."""
    version = site.register()
    site.awaited(version)
    (decision,) = site.decisions(version)
    assert decision.verdict == "approved", decision.reason
    until(lambda: all(run.is_finished for run in site.runs(version)), "the end of the run")
    (run,) = site.runs(version)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    tags = MlflowClient(site.tracking_uri).get_model_version(MODEL, version).tags
    assert tags["promotion.decision"] == "approved"
    for name, table in (
        ("mlflow", "model_versions"),
        ("promotion", "ledger_entries"),
        ("dagster", "event_logs"),
    ):
        engine = sa.create_engine(site.urls[name])
        with engine.connect() as connection:
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
        engine.dispose()
    assert not list(site.folder.rglob("*.db"))


def test_a_killed_run_is_started_again_and_judges_once(site: Site) -> None:
    """The process that evaluates is killed in a step: the sensor asks for another run."""
    version = site.register()
    until(lambda: site.worker_of(version), "the first step", every=0.1)
    worker = site.worker_of(version)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    assert not site.decisions(version), "it was judged before the kill, which proves nothing"
    judged_once(site, version)
    assert len(site.runs(version)) == 2


def test_a_daemon_that_is_killed_again_and_again_loses_and_doubles_nothing(site: Site) -> None:
    """Killed with all that it started at two moments, chance says which, it catches up."""
    versions = []
    moments = random.Random(7)
    for _ in range(2):
        versions.append(site.register())
        time.sleep(moments.uniform(0, 10))
        site.kill(site.daemon)
        site.start_daemon()
    judged_once(site, *versions)


def on_celery(site: Site) -> None:
    """Configure the instance as deploy/celery does, with a folder as the broker."""
    broker = site.folder / "broker"
    broker.mkdir()
    config = yaml.safe_load((DEPLOY / "celery" / "dagster.yaml").read_text())
    # What the launcher and workers have to be told of a folder; other brokers need nothing.
    config["run_launcher"]["config"]["config_source"]["broker_transport_options"] = {
        "data_folder_in": str(broker),
        "data_folder_out": str(broker),
    }
    (site.home / "dagster.yaml").write_text(yaml.safe_dump(config))
    site.more |= {
        "PROMOTION_CELERY_BROKER": "filesystem://",
        "PROMOTION_CELERY_BACKEND": f"file://{broker}",
        "PROMOTION_CELERY_FOLDER": str(broker),
        "PYTHONPATH": str(DEPLOY / "celery"),
    }


def test_runs_are_carried_out_by_a_celery_worker(site: Site) -> None:
    """The daemon puts the run into the broker, a worker of another process tree judges."""
    site.kill(site.daemon)
    on_celery(site)
    worker = site.start_worker()
    site.start_daemon()
    try:
        version = site.register()
        judged_once(site, version)
        (run,) = site.runs(version)
        assert DAGSTER_CELERY_TASK_ID_TAG in run.tags
        evaluated_by = site.worker_of(version)
        assert evaluated_by is not None
        assert evaluated_by != worker.pid
        (log,) = site.folder.glob("worker*.log")
        assert run.run_id in log.read_text()
        # Whoever launches what comes next cannot ask Celery how a run of it is.
        until(lambda: not site.unfinished(), "the end of what Celery carries out")
    finally:
        site.kill(worker)
        site.kill(site.daemon)
        site.more.clear()
        shutil.copy(DEPLOY / "postgres" / "dagster.yaml", site.home)
        site.start_daemon()


def test_mlflow_may_be_away_for_a_while(site: Site) -> None:
    """A server that is stopped with a version half judged, and started again, delays it only."""
    version = site.register()
    until(lambda: site.worker_of(version), "the first step", every=0.1)
    site.kill(site.mlflow)
    time.sleep(10)
    site.start_mlflow()
    later = site.register()
    judged_once(site, version, later)
