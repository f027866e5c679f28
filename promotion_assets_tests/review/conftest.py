"""The home that every test here starts from, judged once a session."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import record_decision
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, World


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion, a version in Staging and the incident."""
    folder = tmp_path_factory.mktemp("review") / "home"
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    made = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.review.prepare", str(folder)],
        # Two threads of OpenMP on a busy host wait for each other for minutes.
        env=outer | {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return folder


@pytest.fixture
def world(prepared: Path, tmp_path: Path) -> World:
    """A copy of it, whose request was opened at nine on a Monday."""
    return World.copied(prepared, tmp_path / "home")


@pytest.fixture
def today(world: World) -> World:
    """A world whose times are of today, so that what is approved in it is not expired."""
    world.clock.now = datetime.now(UTC)
    evaluator = Evaluator(world.workspace, MODEL)
    record_decision(evaluator, evaluator.decide(CHALLENGER))
    world.clock.advance(minutes=-4)
    world.keep()
    return world
