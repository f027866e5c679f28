"""A server of one real model for the targets that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.pipeline.serving import server_app
from promotion_assets_tests.fuzz.asking import Caller, calling
from promotion_assets_tests.serving.world import COLUMNS, MODEL, make_world, save, training

__all__ = ["COLUMNS", "MODEL", "served"]


@contextmanager
def served(folder: Path) -> Iterator[Caller]:
    """Give what asks a server whose champion is a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    model = save(folder / "saved", LogisticRegression().fit(*training()))
    world = make_world(folder / "world", {"1": model}, {"drain_seconds": 2})
    world.adopt()
    with calling(server_app(world.workspace(), MODEL)) as caller:
        yield caller
