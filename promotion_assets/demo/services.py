"""The demo's services: started on free local ports, watched, and ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.versions import MODEL
from promotion_assets.errors import Unreachable

START_SECONDS = 180.0
STOP_SECONDS = 8.0


@dataclass(frozen=True)
class Service:
    """A service as it is to be started.

    ``url`` answers with 200 when it is ready; ``None`` for one that nobody talks to.
    """

    name: str
    command: Sequence[str]
    url: str | None = None


@dataclass(frozen=True)
class Running:
    """A started service, the leader of its own process group."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path


def services_of(home: DemoHome, free_port: Callable[[], int]) -> tuple[Service, ...]:
    """Return MLflow's UI, Dagster's UI and daemon, server and reviews, on ports of their own."""
    mlflow, dagster, server, reviews = (str(free_port()) for _ in range(4))
    return (
        Service(
            "MLflow",
            [
                *(_script("mlflow"), "server", "--host", "127.0.0.1", "--port", mlflow),
                *("--workers", "1", "--backend-store-uri", home.tracking_uri),
                *("--default-artifact-root", home.artifacts.as_uri()),
            ],
            f"http://127.0.0.1:{mlflow}",
        ),
        Service(
            "Dagster",
            [
                *(_script("dagster-webserver"), "--host", "127.0.0.1", "--port", dagster),
                *("--workspace", str(home.workspace_file), "--dagster-log-level", "warning"),
            ],
            f"http://127.0.0.1:{dagster}",
        ),
        Service(
            "Daemon",
            [
                *(_script("dagster-daemon"), "run"),
                *("--workspace", str(home.workspace_file), "--log-level", "warning"),
            ],
        ),
        Service(
            "Server",
            [_script("promotion"), "serve", MODEL, "--port", server],
            f"http://127.0.0.1:{server}/v2/health/ready",
        ),
        Service(
            "Reviews",
            [_script("promotion"), "review", "serve", "--port", reviews],
            f"http://127.0.0.1:{reviews}",
        ),
    )


@contextlib.contextmanager
def started(
    services: Sequence[Service], environment: Mapping[str, str], logs: Path
) -> Iterator[tuple[Running, ...]]:
    """Start all services, wait until they answer, and end every one of them on the way out.

    Raises:
        Unreachable: one ends or does not answer in time; its log is named.
    """
    logs.mkdir(parents=True, exist_ok=True)
    running: list[Running] = []
    try:
        for service in services:
            running.append(_start(service, environment, logs))
        for one in running:
            wait_until_it_answers(one, START_SECONDS)
        yield tuple(running)
    finally:
        for one in running:
            _terminate(one)
        deadline = time.monotonic() + STOP_SECONDS
        for one in running:
            _end(one, deadline)


def wait_until_it_answers(one: Running, seconds: float) -> None:
    """Wait for a 200 from the service's address, if it has one.

    Raises:
        Unreachable: the process ended, or time is over.
    """
    if one.service.url is None:
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if one.process.poll() is not None:
            raise _silent(one, f"it ended with exit code {one.process.returncode}")
        if _answers(one.service.url):
            return
        time.sleep(0.25)
    raise _silent(one, f"no answer within {seconds:.0f} s")


def watch(running: Sequence[Running], interval: float = 0.5) -> None:
    """Return when a service ends by itself; an interrupt passes through.

    Raises:
        Unreachable: a service ended.
    """
    while True:
        for one in running:
            if one.process.poll() is not None:
                raise _silent(one, f"it ended with exit code {one.process.returncode}")
        time.sleep(interval)


def free_port() -> int:
    """Return a local port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _script(name: str) -> str:
    # Of this very environment, also where it is not on the PATH.
    return str(Path(sysconfig.get_path("scripts")) / name)


def _start(service: Service, environment: Mapping[str, str], logs: Path) -> Running:
    log = logs / f"{service.name.lower()}.log"
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends its services in
        # order, and the whole group can be ended with what it started.
        process = subprocess.Popen(  # noqa: S603 - commands of services_of
            service.command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(service, process, log)


def _end(one: Running, deadline: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        one.process.wait(max(0.0, deadline - time.monotonic()))
    # Also where the leader has ended: what it started may still be there.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait()


def _terminate(one: Running) -> None:
    # Not SIGINT: a demo that was started in the background of a shell hands on that it is ignored.
    if one.process.poll() is None:
        one.process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _silent(one: Running, problem: str) -> Unreachable:
    tail = one.log.read_text(errors="replace").splitlines()[-5:]
    return Unreachable(
        f"running {one.service.name} for the demo",
        "; ".join([problem, *tail]),
        f"read {one.log} and start the demo again",
    )
