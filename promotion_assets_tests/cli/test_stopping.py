"""Ctrl-C in the middle of long work: exit code 130, what is kept is said, and it can go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_assets.cli.progress import Stopped, counted, long_work
from promotion_assets_tests.cli.homes import make_home
from promotion_assets_tests.cli.terminals import promotion
from promotion_assets_tests.ledgers import evaluated

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
