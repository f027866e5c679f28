"""Waiting for what other threads and processes do: it is looked at, and nobody sleeps longer."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress


def until(
    holds: Callable[[], object],
    what: str,
    seconds: float = 60.0,
    *,
    every: float = 0.01,
    said: Callable[[], str] = lambda: "",
) -> None:
    """Wait until something holds; fail with its name and what is ``said`` where it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s\n{said()}")
        time.sleep(every)


def answers(port: int, path: str) -> bool:
    """Tell whether somebody answers with 200 there."""
    with (
        suppress(OSError, http.client.HTTPException),
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as said,
    ):
        said.read()
        return bool(said.status == 200)
    return False
