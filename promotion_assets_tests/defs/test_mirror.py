"""When ledger and registry are compared: at every start of the daemon, and regularly."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from promotion_assets.defs.mirror import reconcile_sensor
from promotion_assets_tests import waiting
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.registries import SCRIPTS, plain_environment
from promotion_assets_tests.small_models import write_dataset, write_policy

STARTED, REGULAR = "the daemon has started", "regular reconciliation"
until = partial(waiting.until, seconds=900, every=0.5)


@dg.job(name="reconcile")
def nothing() -> None:
    """Stands for the comparison, which is not started here."""


class Ticks:
    """Ticks the sensor with its cursor, as the daemon does, under the name of a daemon."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.clock = instance, Clock()
        self.cursor: str | None = None
        self.sensor = reconcile_sensor(nothing, clock=self.clock)

    def daemon(self, name: str) -> None:
        """Let a daemon start: before its first tick it tells the instance its name."""
        self.instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", name, []))

    def reasons(self) -> list[str]:
        """Tick once, and return why the comparison was asked for, each time that it was."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return [request.tags["promotion/reason"] for request in found.run_requests or []]


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    """A sensor that never ticked, and a daemon that has just started."""
    with dg.instance_for_test() as instance:
        found = Ticks(instance)
        found.daemon("first")
        yield found


def test_every_start_of_the_daemon_reconciles_at_once(ticks: Ticks) -> None:
    """Also a start a minute after the last comparison, which a crash may have followed."""
    assert ticks.reasons() == [STARTED]
    ticks.clock.advance(minutes=1)
    assert ticks.reasons() == []
    ticks.daemon("second")
    assert ticks.reasons() == [STARTED]
    assert ticks.reasons() == []


def test_a_daemon_that_runs_reconciles_every_ten_minutes(ticks: Ticks) -> None:
    """Ten minutes are counted from the last comparison that was asked for, to the second."""
    assert ticks.reasons() == [STARTED]
    ticks.clock.advance(minutes=9, seconds=59)
    assert ticks.reasons() == []
    ticks.clock.advance(seconds=1)
    assert ticks.reasons() == [REGULAR]
    assert ticks.reasons() == []


def test_a_clock_that_is_set_back_stops_no_comparison(ticks: Ticks) -> None:
    """What was asked for in the future is no reason to wait until then."""
    assert ticks.reasons() == [STARTED]
    ticks.clock.advance(days=-2)
    assert ticks.reasons() == [REGULAR]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "no JSON",
        "[]",
        '{"daemon": "first"}',
        '{"daemon": "first", "at": "soon"}',
        '{"daemon": "first", "at": "2026-03-02T09:00:00"}',
    ],
)
def test_a_cursor_that_cannot_be_read_is_a_start(ticks: Ticks, cursor: str) -> None:
    """Another release may have left it: comparing once more costs little."""
    ticks.cursor = cursor
    assert ticks.reasons() == [STARTED]
    assert ticks.reasons() == []


def test_without_a_daemons_name_it_is_regular(ticks: Ticks) -> None:
    """Where an instance keeps no heartbeats nothing tells of a start, and ten minutes hold."""
    ticks.instance.wipe_daemon_heartbeats()
    assert ticks.reasons() == [STARTED]
    assert ticks.reasons() == []
    ticks.clock.advance(minutes=10)
    assert ticks.reasons() == [REGULAR]


def test_a_real_daemon_that_is_killed_and_started_again_reconciles(tmp_path: Path) -> None:
    """The second start comes long before ten minutes are over, and asks for a run of its own."""
    write_policy(tmp_path)
    write_dataset(tmp_path)
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = plain_environment() | {
        "PROMOTION_CONFIG": str(tmp_path / "promotion.yaml"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "DAGSTER_HOME": str(home),
    }
    with dg.DagsterInstance.from_config(str(home)) as instance:

        def asked() -> int:
            return len(instance.get_runs(dg.RunsFilter(job_name="reconcile")))

        for starts in (1, 2):
            with (tmp_path / f"daemon{starts}.log").open("wb") as log:
                daemon = subprocess.Popen(
                    [SCRIPTS / "dagster-daemon", "run", "-m", "promotion_assets.definitions"],
                    env=environment,
                    cwd=tmp_path,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                until(lambda expected=starts: asked() >= expected, f"comparison {starts}")
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()
        reasons = [run.tags["promotion/reason"] for run in instance.get_runs()]
    assert reasons == [STARTED, STARTED]
