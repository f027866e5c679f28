from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_assets_tests.ledgers import clock, ledger, registry
from promotion_assets_tests.notification.certificates import certificate
from promotion_assets_tests.notification.receivers import Receiver, receiver
from promotion_assets_tests.notification.worlds import World

__all__ = ["certificate", "clock", "ledger", "registry"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A home of one's own."""
    return World(tmp_path / "world")


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with receiver() as found:
        yield found
