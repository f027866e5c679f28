"""What is live or open is judged again when its inputs change, and champions every night."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from promotion_assets.audit.explain import explain
from promotion_assets.audit.explain_text import render
from promotion_assets.lifecycle.champion_events import ChampionFailed
from promotion_assets.lifecycle.events import EvaluationFinished, Stage
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.small_models import (
    MODEL,
    log_both,
    register,
    write_dataset,
    write_policy,
)
from promotion_assets_tests.ticking import QUIET, Daemon

NIGHT = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A champion (1), a version in Staging (2), a rejected one (3), all judged by one policy."""
    folder = tmp_path_factory.mktemp("site")
    write_dataset(folder)
    config = write_policy(folder, staging="true")
    opened = at(folder)
    uri = opened.tracking_uri
    sound, guess = log_both(uri, folder / "artifacts")
    for logged in (sound, sound, guess):
        register(uri, logged)
    adopt(Evaluator(opened, MODEL), "1", actor="ana", reason="has been serving for years")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in opened.environ.items():
            patch.setenv(name, value)
        patch.setenv("PROMOTION_CONFIG", str(config))
        yield opened
    opened.ledger.close()


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance, in a folder of its own: schedules want one that is kept."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def at(folder: Path) -> Workspace:
    """Open the platform in ``folder``."""
    environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    config = folder / "promotion.yaml"
    return Workspace.open(home=folder / "home", config=config, environ={**os.environ, **environ})


def decisions(opened: Workspace, version: str) -> list[EvaluationFinished]:
    """All decisions on a version."""
    events = [recorded.event for recorded in opened.ledger.events(MODEL)]
    return [e for e in events if isinstance(e, EvaluationFinished) and e.version == version]


def reasons(found: dg.SensorResult) -> dict[str, str]:
    """Reason by version, of the evaluations that were asked for."""
    requests = [r for r in found.run_requests or [] if r.partition_key is not None]
    return {str(r.partition_key): r.tags["promotion/reason"] for r in requests}


def test_changes_reach_what_is_live_or_open_and_nothing_else(
    site: Workspace, instance: dg.DagsterInstance
) -> None:
    """From first judgement over a changed policy and dataset to a champion that fails at night."""
    folder = site.config.parent
    watch, inputs = Daemon(site, instance), Daemon(site, instance, sensor="changed_inputs")
    for ran in watch.start(watch.tick()):
        assert ran.dagster_run.tags["promotion/reason"] == "new version in the registry"
    state = site.ledger.state(MODEL)
    assert state.stage("2") is Stage.STAGING
    assert state.decisions["3"].verdict == "rejected"
    the_champion_was_never_judged(inputs)
    another_policy_reaches_champion_and_staging(inputs, folder)
    another_dataset_is_read_and_judged_on(inputs, folder)
    the_same_content_asks_for_nothing(inputs, folder)
    the_champion_fails_and_is_told_of(inputs, folder)
    every_night_it_fails_again(at(folder), instance)
    it_is_well_again(inputs, folder)
    assert still_passes(at(folder), instance) == (True, "version 1 (default) still passes")
    assert len(failures(at(folder))) == 2


def the_champion_was_never_judged(inputs: Daemon) -> None:
    """It was adopted; what the policy says now was applied to the others."""
    found = inputs.tick()
    assert reasons(found) == {"1": "it was never judged"}
    assert {r.job_name for r in found.run_requests or []} == {
        "read_dataset_small",
        "evaluate_small",
    }
    for ran in inputs.start(found):
        assert ran.success
    assert reasons(inputs.tick()) == {}


def another_policy_reaches_champion_and_staging(inputs: Daemon, folder: Path) -> None:
    """And not the version that was rejected."""
    write_policy(folder, minimum=0.61, staging="true")
    found = inputs.tick()
    assert reasons(found) == {"1": "the policy changed", "2": "the policy changed"}
    assert all(ran.success for ran in inputs.start(found))
    assert reasons(inputs.tick()) == {}


def another_dataset_is_read_and_judged_on(inputs: Daemon, folder: Path) -> None:
    """Its source is read first, then what is judged on it is asked for."""
    write_dataset(folder, seed=9)
    found = inputs.tick()
    assert reasons(found) == {}
    assert [r.job_name for r in found.run_requests or []] == ["read_dataset_small"]
    assert all(ran.success for ran in inputs.start(found))
    found = inputs.tick()
    words = "the evaluation dataset changed"
    assert reasons(found) == {"1": words, "2": words}
    assert all(ran.success for ran in inputs.start(found))
    assert [len(decisions(at(folder), v)) for v in ("1", "2", "3")] == [3, 3, 1]


def the_same_content_asks_for_nothing(inputs: Daemon, folder: Path) -> None:
    """A dataset that is written anew is read, and nothing is to be judged."""
    write_dataset(folder, seed=9)
    assert all(ran.success for ran in inputs.start(inputs.tick()))
    assert reasons(inputs.tick()) == {}


def the_champion_fails_and_is_told_of(inputs: Daemon, folder: Path) -> None:
    """The world has moved, and what is told is other than when it passed."""
    write_dataset(folder, seed=9, noise=9.0)
    list(inputs.start(inputs.tick()))
    list(inputs.start(inputs.tick()))
    opened = at(folder)
    (event,) = failures(opened)
    assert event.version == "1"
    assert [(m.name, m.before, m.after) for m in event.gates] == [("accuracy", "passed", "failed")]
    (auc,) = [m for m in event.numbers if m.name == "roc_auc"]
    assert isinstance(auc.before, float)
    assert isinstance(auc.after, float)
    assert auc.before > 0.8 > 0.6 > auc.after
    assert [m.name for m in event.inputs] == ["dataset"]
    assert "no longer passes" in render(explain(opened.ledger, MODEL, "1"))


def every_night_it_fails_again(opened: Workspace, instance: dg.DagsterInstance) -> None:
    """By the same; each failing decision is told once."""
    ran = night(opened, instance)
    assert ran.dagster_run.tags["promotion/reason"] == "the champion's regular evaluation"
    check, description = still_passes(opened, instance)
    assert not check
    assert "accuracy passed → failed" in description
    assert "other dataset" in description
    assert len(failures(at(opened.config.parent))) == 2


def it_is_well_again(inputs: Daemon, folder: Path) -> None:
    """When the world is again as it was."""
    write_dataset(folder, seed=9)
    list(inputs.start(inputs.tick()))
    list(inputs.start(inputs.tick()))


def failures(opened: Workspace) -> list[ChampionFailed]:
    """What was recorded of failing champions."""
    events = [recorded.event for recorded in opened.ledger.events(MODEL)]
    return [event for event in events if isinstance(event, ChampionFailed)]


def night(opened: Workspace, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Let the schedule's hour come and run what it asks for."""
    daemon = Daemon(opened, instance)
    schedule = daemon.definitions.resolve_schedule_def(f"champion_again_{MODEL}")
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=NIGHT,
        resources={"platform": daemon.platform},
        repository_def=daemon.definitions.get_repository_def(),
    )
    tick = schedule.evaluate_tick(context)
    (request,) = tick.run_requests or []
    assert request.partition_key == "1"
    return daemon.definitions.resolve_job_def(f"evaluate_{MODEL}").execute_in_process(
        instance=instance,
        partition_key="1",
        raise_on_error=False,
        tags=dict(request.tags),
        run_config=QUIET,
    )


def still_passes(opened: Workspace, instance: dg.DagsterInstance) -> tuple[bool, str]:
    """Materialise the champion's asset and return what its check says."""
    daemon = Daemon(opened, instance)
    ran = daemon.definitions.resolve_job_def("reconcile").execute_in_process(
        instance=instance, run_config=QUIET
    )
    (found,) = [
        check for check in ran.get_asset_check_evaluations() if check.check_name == "still_passes"
    ]
    return found.passed, found.description or ""
