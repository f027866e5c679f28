"""Datasets larger than memory: scored and judged shard by shard by two engines, and in pandas.

``python -m benchmarks large --rows 50000000`` for the size that memory would feel.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.large_run import FEATURES
from benchmarks.measuring import Line

ROWS = 2_000_000
FILE_ROWS = 1_000_000
MEMORY_GOAL = 1.10


def results(rows: int = ROWS) -> list[Line]:
    """Judge ``rows`` rows by both engines, and a tenth of them for the memory."""
    # Beside the working directory: a temporary directory may be memory.
    folder = Path(tempfile.mkdtemp(prefix="promotion-bench-", dir=Path.cwd()))
    try:
        return _measured(folder, rows)
    finally:
        shutil.rmtree(folder)


def _measured(folder: Path, rows: int) -> list[Line]:
    write_models(folder)
    shard_rows = min(1024 * 1024, rows // 20)
    whole, tenth = folder / "whole", folder / "tenth"
    for target, count in ((whole, rows), (tenth, rows // 10)):
        write_rows(target / "rows", count)
        for name in ("candidate", "champion"):
            shutil.copytree(folder / name, target / name)
    small = _run("streaming", tenth, shard_rows)
    streamed = _run("streaming", whole, shard_rows)
    by_ray = _run("ray", whole, shard_rows, streamed["digest"])
    for part in ("digest", "tally", "results"):
        assert streamed[part] == by_ray[part], f"streaming and Ray differ in {part}"
    assert streamed["rows"] == streamed["profiled_rows"] == rows
    bare = _run("plain", whole)
    return list(_lines(rows, small, streamed, by_ray, bare))


def _lines(
    rows: int, small: dict[str, Any], streamed: dict[str, Any], by_ray: dict[str, Any], bare: Any
) -> list[Line]:
    job = f"{rows / 1e6:g}M rows, logistic regression"
    peer = "pandas.read_parquet and predict_proba, no sandbox"
    plain = rows / bare["seconds"]["read and predict"]
    growth = _memory(streamed) / _memory(small)
    found = [
        Line(f"{job}: {peer}", "rows/s", plain, "", None),
        Line(f"{job}: the same", "peak MiB", bare["peak_mib"], "", None),
    ]
    for name, run in (("streaming", streamed), ("Ray, two workers", by_ray)):
        seconds = run["seconds"]
        scored = rows / seconds["score candidate"]
        total = sum(seconds.values())
        found += [
            Line(f"{job}: score in a sandbox, {name}", "rows/s", scored, "", None, peer, plain),
            Line(f"{job}: read, two versions scored, judged, {name}", "rows/s", rows / total,
                 "", None),
            Line(f"{job}: all of it, {name}", "seconds", total, "", None),
        ]  # fmt: skip
        found += [
            Line(f"{job}: {phase}, {name}", "seconds", spent, "", None)
            for phase, spent in seconds.items()
        ]
    return [
        *found,
        Line(f"{job}: platform's process, streaming", "CPU seconds", streamed["cpu_seconds"],
             "", None),
        Line(f"{job}: platform's process, streaming", "peak MiB", streamed["peak_mib"], "", None),
        Line(f"{job}: sandboxed child", "peak MiB", streamed["child_peak_mib"], "", None),
        Line(
            "memory when judging a Parquet file 10x larger",
            "times the memory",
            growth,
            f"<= {MEMORY_GOAL:g}",
            growth <= MEMORY_GOAL,
            f"{rows / 1e7:g}M rows, MiB",
            _memory(small),
        ),
    ]  # fmt: skip


def _memory(run: dict[str, Any]) -> float:
    """Both processes at their largest, as if at once."""
    return float(run["peak_mib"] + run["child_peak_mib"])


def _run(*arguments: object) -> Any:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.large_run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, f"benchmarks.large_run {arguments} failed"
    return json.loads(ran.stdout.splitlines()[-1])


def write_rows(folder: Path, rows: int) -> None:
    """Write deterministic rows: the same file for the same number, a million at a time."""
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        frame = made(number, min(FILE_ROWS, rows - first))
        frame.to_parquet(folder / f"{number:05}.parquet", compression="zstd", index=False)


def made(number: int, rows: int) -> pd.DataFrame:
    """Return the rows of one file."""
    rng = np.random.default_rng([20260101, number])
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(10, 0.6, rows),
            "debt": rng.normal(0, 1, rows),
            "age": rng.integers(18, 90, rows).astype(np.float64),
            "sex": rng.integers(1, 3, rows).astype(np.int32),
            "education": rng.integers(1, 6, rows).astype(np.int32),
        }
    )
    frame["default"] = (rng.random(rows) < chance(frame)).astype(np.int32)
    return frame


def chance(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the true probability of a default."""
    logit = (
        -1.2
        - 0.8 * (np.log(frame["income"]) - 10)
        + 0.7 * frame["debt"]
        - 0.01 * (frame["age"] - 50)
        + 0.15 * (frame["education"] - 3)
    )
    probability: npt.NDArray[np.float64] = (1 / (1 + np.exp(-logit))).to_numpy()
    return probability


def write_models(folder: Path) -> None:
    """Train a candidate on all features and a champion that does not see debt; save both."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    training = made(10**6, 50_000)
    features = training[list(FEATURES)]
    for name, used in (("candidate", FEATURES), ("champion", ("income", "age", "education"))):
        scaler = make_column_transformer((StandardScaler(), list(used)))
        model = make_pipeline(scaler, LogisticRegression()).fit(features, training["default"])
        mlflow.sklearn.save_model(
            model,
            folder / name,
            serialization_format="skops",
            signature=infer_signature(features.head(), model.predict_proba(features.head())),
            pip_requirements=["scikit-learn"],
        )
