"""One evaluation of the demo's model, from the request to the recorded decision.

A sampler looks every few milliseconds at what the platform's process is in, and says whose time
it is: the model's (its child processes, which are waited for), a framework's (Dagster, MLflow,
Great Expectations, the database), or the platform's own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.measuring import Line
from promotion_assets.defs.instance import evaluate_version, open_instance
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.prepare import prepare
from promotion_assets.demo.versions import MODEL
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt
from promotion_assets.pipeline.workspace import Workspace

EVERY_SECONDS = 0.004
FIRST, WARM, MEASURED = "1", "3", "2"
FRAMEWORKS = ("dagster", "mlflow", "great_expectations", "sqlalchemy", "alembic", "matplotlib")
CHILDREN = ("sandbox.py", "session.py")


def results() -> list[Line]:
    """Evaluate one version to be warm, then the sound challenger."""
    folder = Path(tempfile.mkdtemp(prefix="promotion-bench-", dir=Path.cwd()))
    try:
        return _measured(DemoHome(folder))
    finally:
        shutil.rmtree(folder)


def _measured(home: DemoHome) -> list[Line]:
    environ = home.environment(os.environ)
    prepare(home, os.environ, lambda _: None)
    workspace = Workspace.open(home=home.state, config=home.config, environ=environ)
    adopt(Evaluator(workspace, MODEL), FIRST, actor="bench", reason="serves already")
    with open_instance(workspace) as instance:
        evaluate_version(workspace, MODEL, WARM, instance)
        began = time.perf_counter()
        with _sampled() as whose:
            decision = evaluate_version(workspace, MODEL, MEASURED, instance)
        wall = time.perf_counter() - began
    assert decision.approved, decision.reason
    looks = whose.total()
    job = "one evaluation, 10,000 rows, from request to recorded decision"
    spent = {name: wall * whose[name] / looks for name in ("ours", "framework", "model")}
    return [
        Line(job, "wall seconds", wall, "<= 10", wall <= 10),
        Line(f"{job}: the platform's own", "seconds", spent["ours"], "<= 2", spent["ours"] <= 2),
        Line(f"{job}: frameworks", "seconds", spent["framework"], "", None),
        Line(f"{job}: the model, in its processes", "seconds", spent["model"], "", None),
    ]


@contextmanager
def _sampled() -> Iterator[Counter[str]]:
    """Count whose time it is in the calling thread."""
    found: Counter[str] = Counter()
    thread, done = threading.get_ident(), threading.Event()

    def look() -> None:
        while not done.wait(EVERY_SECONDS):
            frame = sys._current_frames().get(thread)
            found[_whose(frame)] += 1

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield found
    finally:
        done.set()
        looking.join()


def _whose(frame: FrameType | None) -> str:
    """Return who asked last; numpy, pandas and the standard library work for their callers."""
    while frame is not None:
        path = frame.f_code.co_filename
        parts = Path(path).parts
        if "promotion_assets" in parts:
            return "model" if parts[-1] in CHILDREN else "ours"
        if any(name in parts for name in FRAMEWORKS):
            return "framework"
        frame = frame.f_back
    return "ours"


if __name__ == "__main__":
    for line in results():
        print(line)
