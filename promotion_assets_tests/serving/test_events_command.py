"""``promotion events``: exports and retention by command."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow.dataset as ds
from click.testing import CliRunner, Result

from promotion_assets.cli.root import root
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.serving import ServingPolicy
from promotion_assets_tests.serving.events import MODEL, outcome, request
from promotion_assets_tests.serving.world import make_world

DAY_US = 86_400_000_000


def run(workspace: Workspace, *command: str) -> Result:
    """Run ``promotion`` in-process."""
    options = ["--config", str(workspace.config), "--home", str(workspace.home)]
    done = CliRunner().invoke(root, [*options, *command], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_events_are_exported_and_pruned(tmp_path: Path) -> None:
    """Parquet by day, CloudEvents by line, and nothing older than the policy keeps."""
    workspace = make_world(tmp_path, {}, {"retention_days": 10}).workspace()
    now = time.time_ns() // 1000
    log = event_log(workspace)
    log.write([request(1, time_us=now), request(2, time_us=now - 20 * DAY_US)])
    log.write([outcome(1, time_us=now)])
    written = json.loads(
        run(workspace, "events", "export", MODEL, "--to", str(tmp_path / "out"), "--json").output
    )
    assert sorted(written.values()) == [1, 1, 1]
    exported = ds.dataset(tmp_path / "out" / "kind=request", partitioning="hive").to_table()
    assert sorted(exported["event_id"].to_pylist()) == ["r-1", "r-2"]
    lines = run(workspace, "events", "export", MODEL, "--format", "cloudevents").output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["r-2", "r-1", "o-1"]
    pruned = json.loads(run(workspace, "events", "prune", MODEL, "--json").output)
    assert pruned["removed"] == 1
    log.close()


def test_an_export_of_nothing_says_so(tmp_path: Path) -> None:
    """Silence would look like a command that did not run."""
    workspace = make_world(tmp_path, {}, {}).workspace()
    days = ("--since", "2026-01-01", "--until", "2026-01-02", "--to", str(tmp_path / "out"))
    said = run(workspace, "events", "export", MODEL, *days).output
    assert f"no events of {MODEL} from 2026-01-01 until 2026-01-02" in said
    assert json.loads(run(workspace, "events", "export", MODEL, *days, "--json").output) == {}


def test_how_a_model_is_served_is_no_part_of_what_evaluations_pin(tmp_path: Path) -> None:
    """Another serving stanza leaves the policy's digest as it is."""
    one = make_world(tmp_path / "one", {}, {}).workspace().policy_of(MODEL)
    other = one.model_copy(update={"serving": ServingPolicy(log_features=True)})
    assert one.digest == other.digest
