"""How a command is confined on this host: in namespaces by bubblewrap or unshare, or by limits.

``bubblewrap`` and ``unshare`` give the child namespaces of its own: no network, no other
processes, a file system of read-only system directories and what it is given, and a private
tmp. ``limits`` gives it only resource limits and a clean environment, which is not enough for
a format that can carry code.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import promotion_assets
from promotion_assets.evaluation import confinement
from promotion_assets.policy.model import Sandbox

Isolation = Literal["bubblewrap", "unshare", "limits"]
TMP = "/tmp"  # noqa: S108  (inside the sandbox: a file system of its own)
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
# What the dynamic linker and the C library read; nothing of it is secret.
SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_THREAD_LIMIT",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
OPEN_FILES = 1024
PROBE_SECONDS = 20


def resource_limits(limits: Sandbox) -> dict[str, int]:
    """Return the resource limits of the child, by the names of the ``resource`` module."""
    return {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.output_bytes,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_CORE": 0,
    }


def clean_environment(tmp: str, threads: int) -> dict[str, str]:
    """Return the whole environment of the child; nothing of ours is inherited."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": tmp,
        "TMPDIR": tmp,
        "USER": "sandbox",
        "LOGNAME": "sandbox",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": tmp,
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Nothing there, so that whatever asks for a run gets an error and not a connection.
        "MLFLOW_TRACKING_URI": "file:///nonexistent",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "GIT_PYTHON_REFRESH": "quiet",
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
    }


@lru_cache(maxsize=1)
def detect_isolation() -> Isolation:
    """Return the strongest isolation that really works here, found by trying, once."""
    strongest_first: tuple[Isolation, ...] = ("bubblewrap", "unshare")
    return next((isolation for isolation in strongest_first if works(isolation)), "limits")


def works(isolation: Isolation) -> bool:
    """Whether a child can be started in this isolation on this host."""
    tools = {"bubblewrap": "bwrap", "unshare": "unshare"}
    if isolation in tools and shutil.which(tools[isolation]) is None:
        return False
    plan = {
        "stage": "host",
        "parent": os.getpid(),
        "reply_descriptor": 2,
        "limits": {},
        "drop_privileges": isolation == "limits",
        "command": confined(
            [sys.executable, "-I", "-c", "print('inside')"], isolation, readable_paths(()), 2**20
        ),
    }
    try:
        trial = subprocess.run(  # noqa: S603
            launch(plan),
            env=clean_environment(TMP, 1),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.returncode == 0 and trial.stdout == b"inside\n"


def launch(plan: dict[str, object]) -> list[str]:
    """Return the command that carries out a plan of :mod:`.confinement`."""
    script = str(Path(confinement.__file__).resolve())
    return [os.path.realpath(sys.executable), "-I", "-S", script, json.dumps(plan)]


def readable_paths(given: Sequence[Path]) -> list[str]:
    """Return what the child can read: Python, this package, the system, and what is given."""
    python = Path(os.path.realpath(sys.executable)).parent
    wanted = [
        *(path for path in SYSTEM if not Path(path).is_symlink()),
        *SYSTEM_FILES,
        *(sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, str(python)),
        str(Path(promotion_assets.__file__).resolve().parent),
        *map(str, given),
    ]
    paths: list[str] = []
    for path in sorted({p for p in wanted if Path(p).exists()}):
        if not any(path == kept or path.startswith(f"{kept}/") for kept in paths):
            paths.append(path)
    return paths


def confined(
    command: list[str], isolation: Isolation, readable: list[str], tmp_bytes: int
) -> list[str]:
    """Return ``command`` wrapped in the tool that isolates it."""
    if isolation == "limits":
        return command
    if isolation == "bubblewrap":
        return [*_bubblewrap(readable, tmp_bytes), *command]
    inside = {
        "stage": "inside",
        "mounts": readable,
        "tmp_bytes": tmp_bytes,
        "drop_privileges": True,
        "command": command,
    }
    unshare = shutil.which("unshare") or "unshare"
    namespaces = "--user --map-root-user --mount --net --ipc --uts --pid --fork --kill-child"
    return [unshare, *namespaces.split(), *launch(inside)]


def _bubblewrap(readable: list[str], tmp_bytes: int) -> list[str]:
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    # Without these a root in the sandbox keeps every capability over its own namespaces.
    options += ["--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", *_newer_options()]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for private in (TMP, "/dev/shm"):  # noqa: S108
        options += ["--size", str(tmp_bytes), "--tmpfs", private]
    for path in SYSTEM:
        if Path(path).is_symlink():
            options += ["--symlink", str(Path(path).readlink()), path]
    for path in readable:
        options += ["--ro-bind", path, path]
    # What is left of the root is memory without a limit.
    options += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [shutil.which("bwrap") or "bwrap", *options, "--chdir", TMP, "--"]


@lru_cache(maxsize=1)
def _newer_options() -> tuple[str, ...]:
    """Return what bubblewrap has since 0.8: no namespaces inside, whose kernel code is exposed."""
    listed = subprocess.run(  # noqa: S603
        [shutil.which("bwrap") or "bwrap", "--help"], capture_output=True, check=False
    )
    return ("--disable-userns",) if b"--disable-userns" in listed.stdout else ()
