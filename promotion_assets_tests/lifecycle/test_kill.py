from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from promotion_assets_tests.lifecycle import killing

# With all tests asked for, both sides of each call and many random moments; else one point for
# each state that a death can leave on disk, and some random moments.
THOROUGH = os.environ.get("PROMOTION_TEST_ALL") == "1"
RANDOM_KILLS = 120 if THOROUGH else 40


def test_killed_anywhere_the_next_start_leaves_one_champion_and_loses_nothing() -> None:
    """SIGKILL at each point of each step, and at random: recovery finds its way, and has work."""
    # Memory where there is any: a killed process loses nothing that its kernel has taken.
    memory = Path("/dev/shm")
    points = "points" if THOROUGH else "states"
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
