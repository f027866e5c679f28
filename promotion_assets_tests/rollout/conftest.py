"""A rollout's world, whose models need not be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_assets.pipeline import preflight
from promotion_assets_tests.rollout.worlds import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A champion that has answered for a while, and a candidate about to roll out."""
    monkeypatch.setattr(preflight, "preflight", lambda evaluator, state: iter(()))
    made = World(tmp_path)
    made.begin()
    made.traffic(30, 400)
    yield made
    made.close()
