"""The demo, prepared once a session: registered first, judged for the tests that need verdicts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.demo.home import DemoHome

REGISTER = [sys.executable, "-m", "promotion_assets.demo.register"]
PROMOTION = str(Path(sys.executable).with_name("promotion"))
# Where the first registration is killed: version 3 is being trained then.
KILLED_AFTER = "v2 "


@dataclass(frozen=True)
class Judged:
    """The demo after its first whole run.

    Attributes:
        output: what ``promotion demo --headless`` printed.
        status: of ``promotion status credit-risk --json``.
    """

    home: DemoHome
    output: str
    status: dict[str, Any]

    def version(self, number: int) -> dict[str, Any]:
        """Return the status of one version."""
        found = {v["version"]: v for v in self.status["models"][0]["versions"]}
        return dict(found[str(number)])


def environment(home: DemoHome) -> dict[str, str]:
    """Return the environment of a demo process: nothing of the tester's own settings."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    return home.environment(outer) | {"COLUMNS": "160", "NO_COLOR": "1"}


def promotion(home: DemoHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``promotion`` on the demo's home."""
    return subprocess.run(
        [PROMOTION, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> DemoHome:
    """A demo home with nine registered versions, though its first training run was killed."""
    home = DemoHome(tmp_path_factory.mktemp("demo"))
    lines = _killed_registration(home)
    assert lines[-1].startswith(KILLED_AFTER), lines
    again = subprocess.run(
        [*REGISTER, str(home.root)],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout.startswith("v3 "), again.stdout
    return home


@pytest.fixture(scope="session")
def judged(registered: DemoHome) -> Judged:
    """The demo after ``promotion demo --headless``."""
    ran = subprocess.run(
        [PROMOTION, "demo", "--headless", "--directory", str(registered.root)],
        env=environment(registered),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    asked = promotion(registered, "status", "credit-risk", "--json")
    assert asked.returncode == 0, asked.stderr
    return Judged(registered, ran.stdout, json.loads(asked.stdout))


def _killed_registration(home: DemoHome) -> list[str]:
    lines: list[str] = []
    with subprocess.Popen(
        [*REGISTER, str(home.root)],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith(KILLED_AFTER):
                process.send_signal(signal.SIGKILL)
                break
    return lines


@pytest.fixture
def working_copy(judged: Judged, tmp_path: Path) -> DemoHome:
    """A copy of the judged demo, for tests that change it.

    MLflow keeps artifacts by absolute path: they stay in the original, read only by agreement.
    """
    import shutil

    copy = tmp_path / "demo"
    shutil.copytree(judged.home.root, copy, ignore=shutil.ignore_patterns("artifacts", "logs"))
    return DemoHome(copy)
