from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from promotion_assets_tests.lifecycle import killing

RANDOM_KILLS = 100


def test_killed_anywhere_the_next_start_leaves_one_champion_and_loses_nothing() -> None:
    """SIGKILL at each point of each step, and at random: recovery finds its way, and has work."""
    # Memory where there is any: a killed process loses nothing that its kernel has taken.
    memory = Path("/dev/shm")
    # With all tests asked for, both sides of each call; else one point for each state on disk.
    points = "points" if os.environ.get("PROMOTION_TEST_ALL") == "1" else "states"
    folder = tempfile.mkdtemp(prefix="promotion-kill-", dir=memory if memory.is_dir() else None)
    try:
        done = subprocess.run(
            [sys.executable, "-m", killing.__name__, folder, str(RANDOM_KILLS), points],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    counted = json.loads(done.stdout.splitlines()[-1])
    for name, counts in counted.items():
        print(f"{name}: {counts}")
        assert counts["recoveries_with_work"] > 0, f"{name} never left anything to recover"
    assert set(counted) == {*killing.STEPS, "random"}
    assert all(counted[name]["points"] >= 20 for name in killing.STEPS)
    assert counted["random"]["kills"] >= RANDOM_KILLS
    assert counted["random"]["events"] > RANDOM_KILLS
