"""Serving: against MLflow's own server, with a shadow and without, and what a request costs more.

Client and servers run on this machine and share its cores; the client's own processor time is a
line of its own. Every server answers the same rows first, and the answers are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Line
from promotion_assets.adapters.event_log import open_event_log
from promotion_assets.demo.services import free_port
from promotion_assets.serving.payload import read_invocation
from promotion_assets.serving.recorder import Outcome, Recorder, microseconds_now
from promotion_assets.serving.router import route
from promotion_assets.serving.writer import BackgroundWriter
from promotion_assets_tests.serving.plans import plan, segment
from promotion_assets_tests.serving.world import (
    COLUMNS,
    MODEL,
    World,
    make_world,
    save_models,
    split_body,
)

SECONDS = 5.0
ROWS = 200
BUSY = 32
PACED, GAP = 4000, 0.0005
BIN = Path(sys.executable).parent
Figures = Mapping[str, float]


def results() -> list[Line]:
    """Measure all; several servers run one after the other, never two at once."""
    folder = Path(tempfile.mkdtemp(prefix="promotion-serving-"))
    try:
        models = save_models(folder / "models")
        rows = np.random.default_rng(1).normal(size=(ROWS, len(COLUMNS)))
        bodies = [split_body([row.tolist()]) for row in rows]
        (folder / "bodies").write_bytes(b"\n".join(bodies))
        return _compared(folder, models, bodies) + _overhead(folder)
    finally:
        for path, _, _ in os.walk(folder):
            Path(path).chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)


def _compared(folder: Path, models: Mapping[str, Path], bodies: list[bytes]) -> list[Line]:
    calm = make_world(folder / "calm", models, {})
    calm.adopt()
    with _mlflow(models["1"]) as port:
        theirs_answered = _answers(port, bodies)
        theirs, theirs_busy = _asked(folder, port, 1), _asked(folder, port, BUSY)
    with serving_ours(calm) as port:
        assert _answers(port, bodies) == theirs_answered, "answers differ from MLflow's"
        ours, busy = _asked(folder, port, 1), _asked(folder, port, BUSY)
    shadowed = make_world(folder / "shadowed", models, {})
    shadowed.adopt()
    shadowed.stage("3")
    shadowed.shadow("3")
    with serving_ours(shadowed) as port:
        assert _answers(port, bodies) == theirs_answered, "answers differ with a shadow"
        _await_shadow(port)
        with_shadow = _asked(folder, port, 1)
    slow = make_world(folder / "slow", models, {"shadow": {"queue": 1000}})
    slow.adopt()
    slow.stage("15")
    slow.shadow("15")
    with serving_ours(slow) as port:
        assert _answers(port, bodies) == theirs_answered, "answers differ with a slow shadow"
        _await_shadow(port)
        before = _shadow(port)
        overloaded = _asked(folder, port, BUSY)
        after = _settled(port)
    with _naive(models["1"], models["15"]) as port:
        assert _answers(port, bodies[:20]) == theirs_answered[:20], "the naive answers differ"
        naive = _asked(folder, port, 1)
    sampled = after["sampled"] - before["sampled"]
    assert sampled == overloaded["answered"], "a request was not copied"
    accounted = sum(after[k] for k in ("answered", "error", "timeout", "crashed", "dropped"))
    assert accounted == after["sampled"], "a copy is not accounted for"
    return [
        *_lines("promotion serve, 1 connection", ours, "mlflow models serve", theirs),
        *_lines(f"promotion serve, {BUSY} connections", busy, "mlflow models serve", theirs_busy),
        _ratio("requests/s, 1 connection", ours["rate"] / theirs["rate"], ">= 8", theirs["rate"]),
        _ratio(
            f"requests/s, {BUSY} connections",
            busy["rate"] / theirs_busy["rate"],
            ">= 8",
            theirs_busy["rate"],
        ),
        Line("the client's own processor time", "of one core", busy["client_cpu"], "", None),
        _times("p95 with a shadow at 100 %", with_shadow, ours),
        _times(f"p95 saturated, shadow ten times slower ({BUSY} connections)", overloaded, busy),
        Line("copies dropped by that shadow's queue", "rows", after["dropped"], "", None),
        _times("p95 with that shadow asked in the request (naive)", naive, ours, goal=None),
    ]


def _overhead(folder: Path) -> list[Line]:
    """What router and recorder add to a request, at 2,000 requests/s, with a writer beside it."""
    store = open_event_log(f"sqlite:///{folder}/events.db")
    writer = BackgroundWriter(store, microseconds_now)
    recorder = Recorder(MODEL, writer, log_features=False)
    by = plan(segment(share=2500, shadow_share=100))
    body = split_body([[0.5] * 20], [f"f{n}" for n in range(20)])
    took: list[float] = []
    for number in range(PACED):
        payload = read_invocation(body, "application/json")
        assert payload.count == 1
        until = time.perf_counter() + GAP
        began = time.perf_counter()
        unit, name = f"unit-{number}", f"r-{number}"
        routed = route(by, unit=unit, request_id=name)
        recorder.record(
            payload,
            Outcome(
                name, unit, routed, 1, routed.role, routed.role, routed.arm, 1.0, ["0.5"], [0.5]
            ),
            {},
        )
        took.append(time.perf_counter() - began)
        while time.perf_counter() < until:
            time.sleep(0.0001)
    writer.close()
    store.close()
    # One exposure for each unit comes with its request.
    assert writer.written == 2 * PACED, "an event was lost"
    took.sort()
    p50, p99 = (took[int(PACED * q)] * 1e6 for q in (0.5, 0.99))
    return [
        Line("router and logging, added to a request", "us p99", p99, "<= 50", p99 <= 50),
        Line("router and logging, added to a request", "us p50", p50, "", None),
    ]


@contextlib.contextmanager
def serving_ours(world: World) -> Iterator[int]:
    port = free_port()
    command = [str(BIN / "promotion"), "serve", MODEL, "--port", str(port)]
    with _server(command, port, world.environment()):
        yield port


@contextlib.contextmanager
def _mlflow(model: Path) -> Iterator[int]:
    port = free_port()
    command = [str(BIN / "mlflow"), "models", "serve", "-m", str(model), "--port", str(port)]
    with _server([*command, "--env-manager", "local"], port, {}):
        yield port


@contextlib.contextmanager
def _naive(champion: Path, shadow: Path) -> Iterator[int]:
    port = free_port()
    command = [str(BIN / "uvicorn"), "--factory", "benchmarks.serving_naive:app"]
    environment = {"NAIVE_CHAMPION": str(champion), "NAIVE_SHADOW": str(shadow)}
    with _server([*command, "--port", str(port), "--log-level", "warning"], port, environment):
        yield port


@contextlib.contextmanager
def _server(command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[None]:
    path = f"{BIN}:{os.environ['PATH']}"
    kept = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path, **environment}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=kept, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _await(port, process, log)
            yield
        finally:
            # MLflow's command starts the server as a child of a shell of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(60)


def _await(port: int, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            return
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"no server: {log.read().decode(errors='replace')[-2000:]}")


def _answers(port: int, bodies: list[bytes]) -> list[Any]:
    found = []
    for body in bodies:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            found.append(json.loads(response.read())["predictions"])
    return found


def _asked(folder: Path, port: int, connections: int) -> Figures:
    script = str(Path(__file__).with_name("serving_client.py"))
    done = subprocess.run(
        [
            *(sys.executable, "-I", script, str(port), str(connections), str(SECONDS)),
            str(folder / "bodies"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: Figures = json.loads(done.stdout)
    assert found["failed"] == 0, f"{found['failed']} requests failed"
    return found


def _shadow(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=60) as said:
        (found,) = json.loads(said.read())["shadows"].values()
    assert isinstance(found, dict)
    return found


def _await_shadow(port: int) -> None:
    deadline = time.monotonic() + 240
    while (found := _shadow(port))["waiting"] or not found["answered"]:
        assert time.monotonic() < deadline, f"the shadow does not answer: {found}"
        time.sleep(0.5)


def _settled(port: int) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while (found := _shadow(port))["waiting"]:
        assert time.monotonic() < deadline, f"the shadow does not end: {found}"
        time.sleep(0.5)
    return found


def _lines(job: str, ours: Figures, peer: str, theirs: Figures) -> list[Line]:
    return [
        Line(job, f"ms {q}", ours[q], "", None, peer, theirs[q]) for q in ("p50", "p95", "p99")
    ] + [Line(job, "requests/s", ours["rate"], "", None, peer, theirs["rate"])]


def _ratio(job: str, value: float, goal: str, peer: float) -> Line:
    limit = float(re.sub(r"[^\d.]", "", goal))
    return Line(job, "times as many", value, goal, value >= limit, "mlflow models serve", peer)


def _times(job: str, ours: Figures, peer: Figures, goal: float | None = 1.2) -> Line:
    value = ours["p95"] / peer["p95"]
    met = None if goal is None else value <= goal
    text = "" if goal is None else f"<= {goal:g}"
    return Line(job, "times its p95", value, text, met, "without a shadow", peer["p95"])
