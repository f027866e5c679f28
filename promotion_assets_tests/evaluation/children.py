"""Children of a few lines in the place of the scoring worker, to try the sandbox with."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.evaluation.isolation import Isolation
from promotion_assets.evaluation.sandbox import ChildFailure, SandboxedProcess
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.logged import usable

SAY = """
import json, os, struct, sys
def say(**header):
    body = json.dumps(header).encode()
    os.write(3, struct.pack("<IQ", len(body), 0) + body)
"""
ALL: tuple[Isolation, ...] = ("bubblewrap", "unshare", "limits")
NAMESPACES: tuple[Isolation, ...] = ("bubblewrap", "unshare")


@contextmanager
def running(
    code: str, isolation: Isolation, readable: tuple[Path, ...] = (), **limits: Any
) -> Iterator[SandboxedProcess]:
    """Run ``code`` in a sandbox."""
    child = SandboxedProcess(
        ["-c", SAY + textwrap.dedent(code)],
        limits=Sandbox(**limits),
        isolation=usable(isolation),
        readable=readable,
        max_payload=1024,
    )
    try:
        yield child
    finally:
        child.stop()


def ask(code: str, isolation: Isolation, **options: Any) -> dict[str, Any]:
    """Return the first thing that ``code`` says."""
    with running(code, isolation, **options) as child:
        return child.receive(time.monotonic() + 30).header


def ending(code: str, isolation: Isolation, seconds: float = 30, **options: Any) -> ChildFailure:
    """Return how ``code`` fails."""
    with running(code, isolation, **options) as child, pytest.raises(ChildFailure) as failure:
        child.receive(time.monotonic() + seconds)
    return failure.value


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for something that other processes do, for at most ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def processes_with(mark: str) -> list[str]:
    """Return the numbers of the processes that carry ``mark`` in their command line."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark.encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found
