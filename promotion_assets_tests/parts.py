"""Parts of the system that some tests need and that pip cannot install."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Part:
    """A part of the system: how it is found, and how it is installed."""

    find: Callable[[], Path | None]
    install: str


def _which(*names: str) -> Callable[[], Path | None]:
    def _find() -> Path | None:
        return next((Path(found) for name in names if (found := shutil.which(name))), None)

    return _find


def _postgres_tool() -> Path | None:
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(on_path) if on_path else debian[-1] if debian else None


PARTS: Mapping[str, Part] = {
    "chromium": Part(_which("chromium", "chromium-browser"), "apt-get install chromium"),
    "bubblewrap": Part(_which("bwrap"), "apt-get install bubblewrap"),
    "postgresql": Part(_postgres_tool, "apt-get install postgresql"),
    "java": Part(_which("java"), "apt-get install default-jre-headless"),
}


def require(part: str) -> Path:
    """Return the path of ``part``, or skip the test and say how to install it.

    With ``PROMOTION_TEST_ALL=1``, as in CI, a missing part is a failure.
    """
    found = PARTS[part].find()
    if found is not None:
        return found
    reason = f"{part} is not installed; {PARTS[part].install}"
    if os.environ.get("PROMOTION_TEST_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
