"""Two real MLflow servers, and a version that was really judged in the first one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from promotion_assets.demo.services import free_port
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.waiting import answers, until

MODEL = "breast-cancer"
# Nobody listens there: whatever leaks to the global address fails at once.
NOWHERE = "http://127.0.0.1:9"
SCRIPTS = Path(sys.executable).parent
QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}


def plain_environment() -> dict[str, str]:
    """Return the tester's environment without settings of the platform and of MLflow."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    kept.pop("DAGSTER_HOME", None)
    return kept | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Registries:
    """Two servers, and the folders in which they keep artifacts."""

    source: str
    target: str
    source_files: Path
    target_files: Path


@dataclass(frozen=True)
class Judged:
    """A home whose ledger has an approved decision on version 1, and none on version 2."""

    registries: Registries
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        """Return what the platform is told of this home."""
        return {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.folder / "home"),
            "MLFLOW_TRACKING_URI": self.registries.source,
            **more,
        }

    def workspace(self) -> Workspace:
        """Open the platform here."""
        return Workspace.open(environ=self.environment())

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run ``promotion`` here."""
        return subprocess.run(
            [str(SCRIPTS / "promotion"), *command],
            env=plain_environment() | QUICK | self.environment(**more),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """Two servers for the whole session, started at once and ended with it."""
    root = tmp_path_factory.mktemp("registries")
    ports = {"source": free_port(), "target": free_port()}
    with ExitStack() as running:
        for name, port in ports.items():
            running.enter_context(_server(root / name, port))
        _await(ports["source"], root / "source" / "log")
        yield Registries(
            source=f"http://127.0.0.1:{ports['source']}",
            target=f"http://127.0.0.1:{ports['target']}",
            source_files=root / "source" / "artifacts",
            target_files=root / "target" / "artifacts",
        )


@pytest.fixture(scope="session")
def judged(registries: Registries, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Versions trained, logged and judged as a team would."""
    made = Judged(registries, tmp_path_factory.mktemp("judged"))
    logged = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.log_to_copy", str(made.folder)],
        env=plain_environment() | {"MLFLOW_TRACKING_URI": registries.source},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert logged.returncode == 0, logged.stderr[-3000:]
    found = made.run("evaluate", MODEL, "1", "--json")
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    # The second server starts meanwhile.
    _await(int(registries.target.rpartition(":")[2]), registries.target_files.parent / "log")
    return made


class Line:
    """A line to a server that can be cut: by a test, or by itself after so many bytes."""

    def __init__(self, uri: str, cut_after: int | None = None) -> None:
        self._to = int(uri.rpartition(":")[2])
        self._left = cut_after
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.mend()

    def mend(self) -> None:
        """Let the server be reached."""
        self._open = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=[self._open], daemon=True).start()

    def cut(self) -> None:
        """Let nobody reach the server, those who talk to it included."""
        self._left = None
        with suppress(OSError):
            # Whoever waits in accept is not woken by close alone.
            self._open.shutdown(socket.SHUT_RDWR)
        self._open.close()
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            with self._lock:
                self._ends += [near, far]
            for one, other, counted in ((near, far, True), (far, near, False)):
                pump = threading.Thread(target=self._pump, args=[one, other, counted], daemon=True)
                pump.start()

    def _pump(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if counted and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self.cut()
                        return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def one_server(folder: Path) -> Iterator[str]:
    """Run a server whose files are in ``folder``; yield its address."""
    port = free_port()
    with _server(folder, port):
        _await(port, folder / "log")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _server(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(SCRIPTS / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            env=_server_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _server_environment() -> Mapping[str, str]:
    return plain_environment() | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Webhooks may go to this host, and their secrets are kept.
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }


def _await(port: int, log: Path) -> None:
    until(
        lambda: answers(port, "/health"),
        f"an answer of MLflow on {port}",
        180,
        every=0.25,
        said=lambda: log.read_text(errors="replace")[-2000:],
    )
