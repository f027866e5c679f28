"""Starting, watching and ending the demo's services."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from promotion_assets.demo.services import Service, free_port, started, watch
from promotion_assets.errors import Unreachable

# A server that leaves a child behind when it is interrupted, as a careless one would.
CARELESS = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[2], "w").write(str(child.pid))
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""


def careless(tmp_path: Path) -> tuple[Service, Path]:
    """Return the careless server and the file in which it names its child."""
    port, child = free_port(), tmp_path / "child"
    command = [sys.executable, "-c", CARELESS, str(port), str(child)]
    return Service("Careless", command, f"http://127.0.0.1:{port}"), child


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not collected does not."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pid: int) -> bool:
    """Wait a moment for the kernel to end a killed process."""
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_services_answer_and_leave_nothing_behind(tmp_path: Path) -> None:
    """A service answers when it is said to run; afterwards it and what it started are gone."""
    service, child_file = careless(tmp_path)
    with started([service], os.environ, tmp_path / "logs") as (running,):
        with urllib.request.urlopen(service.url) as answer:
            assert answer.status == 200
        child = int(child_file.read_text())
        assert alive(child)
    assert running.process.poll() is not None
    assert gone(child)


def test_interrupt_ends_services(tmp_path: Path) -> None:
    """Ctrl-C, which is an exception in the middle of the work, ends them too."""
    service, child_file = careless(tmp_path)
    with (
        pytest.raises(KeyboardInterrupt),
        started([service], os.environ, tmp_path) as (running,),
    ):
        raise KeyboardInterrupt
    assert running.process.poll() is not None
    assert gone(int(child_file.read_text()))


def test_service_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    """One that cannot start ends the others, and the message has its output and its log."""
    service, child_file = careless(tmp_path)
    broken = Service(
        "Broken", [sys.executable, "-c", "raise SystemExit('no database')"], "http://127.0.0.1:9"
    )
    with (
        pytest.raises(Unreachable, match=r"Broken.*exit code 1; no database.*broken\.log"),
        started([service, broken], os.environ, tmp_path),
    ):
        pytest.fail("it never runs")
    assert gone(int(child_file.read_text()))


def test_watch_notices_a_service_that_dies(tmp_path: Path) -> None:
    """A service that is killed from outside ends the watching with its name."""
    service, _ = careless(tmp_path)
    with started([service], os.environ, tmp_path) as (running,):
        running.process.kill()
        with pytest.raises(Unreachable, match=r"Careless.*exit code -9"):
            watch([running], interval=0.01)


def test_free_ports_can_be_listened_on() -> None:
    """A port that is called free takes a listener."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
