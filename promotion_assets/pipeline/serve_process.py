"""Server processes: one parent that watches, and workers that answer, each for itself.

A model that takes its process with it takes one worker, which the parent starts anew. Workers
begin in a fresh interpreter, so that the number of threads that the policy sets, and that the
latency gate measured with, holds from the first import of a numeric library on.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fastapi import FastAPI
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from promotion_assets.adapters.http_server import listening
from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.evaluation.confinement import PR_SET_PDEATHSIG
from promotion_assets.evaluation.isolation import THREAD_VARIABLES
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.serving.logs import log_config
from promotion_assets.serving.metrics import MULTIPROCESS

log = logging.getLogger(__name__)

PLAN = "PROMOTION_SERVE"
APP = f"{__name__}:app"
STARTED, FAILED = "started", "failed"
RETRY_SECONDS = 2.0
HEALTHCHECK_SECONDS = 60
BACKLOG = 2048
# Longer than the idle time of usual load balancers, which would send into a closed connection.
KEEP_ALIVE_SECONDS = 75
# A request waits this long at most for a thread that writes events or feeds the shadow; Python's
# own 5 ms are several times what a small model takes to answer.
SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class ServePlan:
    """What a worker needs to know; it reads the rest from policy and ledger.

    Attributes:
        state: a folder that parent and workers share while the server runs.
        host: where the server listens.
    """

    model: str
    config: str
    home: str
    poll_seconds: float
    state: str
    host: str


def serve(
    workspace: Workspace,
    model: str,
    *,
    host: str,
    port: int,
    workers: int,
    poll_seconds: float,
    began: Callable[[str], None] = lambda _: None,
) -> int:
    """Serve ``model`` until a signal ends it; return the exit code.

    Args:
        began: told the address, once it is bound.
    """
    policy = workspace.policy_of(model)
    state = Path(tempfile.mkdtemp(prefix="promotion-serve-"))
    plan = ServePlan(
        model, str(workspace.config), str(workspace.home), poll_seconds, str(state), host
    )
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(policy.sandbox.threads)))
    os.environ[PLAN] = json.dumps(asdict(plan))
    # What a killed worker leaves is removed with the rest.
    os.environ["TMPDIR"] = str(state)
    if workers > 1:
        (state / "metrics").mkdir()
        os.environ[MULTIPROCESS] = str(state / "metrics")
    config = Config(
        APP,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        date_header=False,
        log_config=log_config(),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(policy.serving.drain_seconds) + 1,
        timeout_worker_healthcheck=HEALTHCHECK_SECONDS,
        **listening(),
    )
    try:
        bound = _bound(config, model)
        address = bound.getsockname()
        began(f"http://{host}:{address[1]}")
        _Workers(config, [bound]).run()
        failed = state / FAILED
        return int(failed.read_text()) if failed.exists() else 0
    finally:
        shutil.rmtree(state, ignore_errors=True)


class _Workers(Multiprocess):
    """Workers of which a dead one is noticed at once.

    The parent asks a worker for a sign of life and waits for the answer. Were the worker's end of
    the pipe open here too, the death of one that was just asked would look like silence, and
    nobody would start another for ``HEALTHCHECK_SECONDS``.
    """

    def keep_subprocess_alive(self) -> None:
        """Start another worker in place of each that died."""
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()


def _bound(config: Config, model: str) -> socket.socket:
    try:
        return config.bind_socket()
    except SystemExit as error:
        # uvicorn logs the cause and ends the process.
        raise Unreachable(
            f"serving {model} at {config.host}, port {config.port}",
            f"the address cannot be listened at: {error.__context__}",
            "name another --port, or end what listens there; --host takes an address of this "
            "machine",
        ) from error


def app() -> FastAPI:
    """Return the application of one worker: what uvicorn calls in each.

    The first time, what is wrong ends the server. Later, when a worker is started in place of
    one that died, the others go on answering, and this one tries until it can.
    """
    # Not at the top: the parent, which only watches, needs none of it.
    from promotion_assets.pipeline.serving import server_app

    plan = ServePlan(**json.loads(os.environ[PLAN]))
    sys.setswitchinterval(SWITCH_SECONDS)
    _end_with_parent()
    state = Path(plan.state)
    while True:
        try:
            workspace = Workspace.open(home=Path(plan.home), config=Path(plan.config))
            made = server_app(workspace, plan.model, poll_seconds=plan.poll_seconds, host=plan.host)
        except PromotionError as error:
            log.error("%s", error)
            if not (state / STARTED).exists():
                (state / FAILED).write_text(str(error.exit_code))
                sys.exit(STARTUP_FAILURE)
            time.sleep(RETRY_SECONDS)
        else:
            (state / STARTED).touch()
            return made


def _end_with_parent() -> None:
    """Have the kernel end this process, orderly, when its parent is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
