"""Everything that the demo needs before the first evaluation; what is there is left alone."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from promotion_assets.demo.data import read_customers, split, write_parts
from promotion_assets.demo.home import DemoHome
from promotion_assets.errors import Conflict, Refusal, StorageUnreachable

Report = Callable[[str], None]


def prepare(home: DemoHome, environ: Mapping[str, str], report: Report) -> None:
    """Write configuration and data into ``home`` and register the nine versions.

    Raises:
        StorageUnreachable: the folder cannot be written.
        Refusal: training or registering failed; its log is named.
    """
    try:
        home.dagster.mkdir(parents=True, exist_ok=True)
        home.logs.mkdir(exist_ok=True)
        _copy("promotion.yaml", home.config)
        _copy("workspace.yaml", home.workspace_file)
        _copy("dagster.yaml", home.dagster / "dagster.yaml")
        write_parts(split(read_customers()), home.root)
    except OSError as error:
        raise StorageUnreachable(
            f"preparing the demo in {home.root}", str(error), "choose a folder that can be written"
        ) from error
    _register(home, environ, report)


@contextlib.contextmanager
def alone_in(home: DemoHome) -> Iterator[None]:
    """Hold the demo's folder for this process; the lock goes with it, however it ends.

    Raises:
        Conflict: another demo runs in the same folder.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with home.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"starting the demo in {home.root}",
                "another demo runs there",
                "end it with Ctrl-C, or name another folder with --directory",
            ) from error
        yield


def _copy(name: str, target: Path) -> None:
    # A policy that somebody has edited is theirs to keep.
    if not target.exists():
        unfinished = target.with_name(f".{target.name}.part")
        unfinished.write_bytes((files(__package__) / name).read_bytes())
        unfinished.replace(target)


def _register(home: DemoHome, environ: Mapping[str, str], report: Report) -> None:
    log = home.logs / "register.log"
    command = [sys.executable, "-m", "promotion_assets.demo.register", str(home.root)]
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - our own module
            command, env=home.environment(environ), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            report(line.rstrip())
    if process.returncode:
        tail = log.read_text(errors="replace").splitlines()[-3:]
        raise Refusal(
            f"registering the demo's versions in {home.root}",
            "; ".join(tail) or f"the training script ended with {process.returncode}",
            f"read {log}; running the demo again continues where it stopped",
        )
