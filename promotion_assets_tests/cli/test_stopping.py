"""Ctrl-C in the middle of long work: exit code 130, what is kept is said, and it can go on."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from promotion_assets.cli.progress import Stopped, counted, long_work
from promotion_assets_tests.cli.homes import make_home
from promotion_assets_tests.cli.terminals import environment, promotion
from promotion_assets_tests.ledgers import evaluated
from promotion_assets_tests.registries import SCRIPTS
from promotion_assets_tests.small_models import (
    MODEL,
    log_both,
    register,
    write_dataset,
    write_policy,
)

CTRL_C = b"\x03"


def test_audit_verify_can_be_stopped(tmp_path: Path) -> None:
    """Verifying is shown while it goes on, and says that nothing was changed."""
    made = make_home(tmp_path)
    made.world.ledger.append([evaluated("2", made.world.clock) for _ in range(4000)])
    made.world.close()
    with promotion(tmp_path, "audit", "verify", columns=100) as terminal:
        terminal.read_until("verifying entries")
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        last = terminal.plain.strip().splitlines()[-1]
    assert "stopped while verifying entries" in last
    assert "verifying changes nothing" in last
    assert "Traceback" not in terminal.plain


def test_evaluate_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    """In the middle of scoring: no decision, no process left, and the same command ends it."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sound, _ = log_both(uri, tmp_path / "artifacts")
    register(uri, sound)
    write_policy(tmp_path)
    write_dataset(tmp_path)
    with promotion(tmp_path, "evaluate", MODEL, "1", columns=100) as terminal:
        terminal.read_until(f"evaluating {MODEL} version 1")
        _await_scoring(terminal.process.pid)
        terminal.press(CTRL_C)
        assert terminal.end() == 130
        assert not _members(terminal.process.pid)
    assert "Traceback" not in terminal.plain
    said = " ".join(terminal.plain.split())
    assert f"stopped while evaluating {MODEL} version 1; decisions that were recorded stay" in said
    again = subprocess.run(
        [str(SCRIPTS / "promotion"), "evaluate", MODEL, "1", "--json"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    assert [one["verdict"] for one in json.loads(again.stdout)] == ["approved"]


def test_what_was_going_on_is_said_with_what_is_kept() -> None:
    """The last thing that was told, not the first."""

    def work() -> None:
        with long_work("one", kept="two stays") as tell:
            tell("three")
            raise KeyboardInterrupt

    with pytest.raises(Stopped) as stopped:
        work()
    assert stopped.value.said == "stopped while three; two stays"


def test_counting_passes_everything_on_and_tells_seldom() -> None:
    """A terminal is not what verifying waits for."""
    told: list[str] = []
    assert list(counted(range(100_000), told.append, str)) == list(range(100_000))
    assert len(told) < 100


def _await_scoring(parent: int) -> None:
    deadline = time.monotonic() + 120
    while not any(b"scoring_worker" in _command(one) for one in _members(parent)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _members(session: int) -> list[int]:
    """Return the living processes of a session, and those that left it but have its parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ours = int(fields[3]) == session or int(fields[1]) == session
        if ours and fields[0] != "Z" and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
