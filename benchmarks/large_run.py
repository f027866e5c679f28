"""One evaluation of a large dataset in a process of its own, so that its peak memory is its own.

``python -m benchmarks.large_run ENGINE FOLDER SHARD_ROWS [DIGEST]`` or ``… plain FOLDER``; prints
JSON. With a digest, rows that were taken in before are verified and described instead.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promotion_assets.quiet import silence_telemetry

FEATURES = ("income", "debt", "age", "sex", "education")


@dataclass
class Stopwatch:
    """Wall seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def policy_of(folder: Path, engine: str, shard_rows: int) -> Any:
    """Return a policy that asks for AUC, improvement, and what each group loses."""
    from promotion_assets.policy.model import ModelPolicy

    return ModelPolicy.model_validate(
        {
            "task": "binary",
            "dataset": {"uri": str(folder / "rows"), "label": "default", "ignore": []},
            "groups": [{"column": "sex"}, {"column": "education"}],
            "gates": {
                "accuracy": {"minimum": 0.6, "improvement": 0.0},
                "fairness": {"gate_on": ["drop_vs_champion", "gap_to_overall", "tpr_gap"]},
            },
            # A bound on each shard of a million rows, on however busy a host.
            "sandbox": {"wall_seconds": 600, "cpu_seconds": 600},
            "evaluation": {"engine": engine, "shard_rows": shard_rows},
        }
    )


def judged(engine: str, folder: Path, shard_rows: int, digest: str = "") -> dict[str, Any]:
    """Take in or load, score two versions, count, judge, and profile for drift."""
    from promotion_assets.evaluation.evidence import Evidence
    from promotion_assets.evaluation.profiling import profile_parquet
    from promotion_assets.evaluation.scores import StoredScores
    from promotion_assets.evaluation.versions import load_version, take_in
    from promotion_assets.gates.asked import asked_by
    from promotion_assets.gates.catalogue import run_gate, settings_for
    from promotion_assets.pipeline.engines import engine_of
    from promotion_assets.pipeline.large_step import score_into, tally_of_stored
    from promotion_assets.pipeline.scoring_step import ScoringPlan

    watch, policy = Stopwatch(), policy_of(folder, engine, shard_rows)
    store, home = folder / "store", folder / f"home-{engine}"
    working = engine_of(policy.evaluation)
    with watch.phase("load and verify" if digest else "take in"):
        dataset = (
            load_version(policy, store, digest) if digest else take_in(policy, store, model="large")
        )
    versions = {name: version(folder / name, name) for name in ("candidate", "champion")}
    stored: dict[str, StoredScores] = {}
    for name, one in versions.items():
        with watch.phase(f"score {name}"):
            path = home / f"{name}.arrow"
            found = score_into(path, policy, ScoringPlan(), working, one, dataset)
        assert isinstance(found, StoredScores), found
        stored[name] = found
    gates = settings_for(policy)
    with watch.phase("count"):
        counted = tally_of_stored(
            home, policy, asked_by(gates, policy), working, dataset, *stored.values()
        )
    assert not isinstance(counted, str), counted
    working.close()
    evidence = Evidence(
        model="large",
        version="2",
        policy=policy,
        candidate=versions["candidate"],
        dataset=dataset,
        champion=versions["champion"],
        candidate_scores=stored["candidate"],
        champion_scores=stored["champion"],
        tally=counted,
    )
    with watch.phase("judge"):
        clock = datetime(2026, 1, 1, tzinfo=UTC)
        results = [run_gate(gate, evidence, how, lambda: clock) for gate, how in gates.values()]
    with watch.phase("profile"):
        profile = profile_parquet(dataset.path, columns=list(FEATURES))
    return {
        "rows": dataset.rows,
        "digest": dataset.digest,
        "seconds": watch.seconds,
        "cpu_seconds": time.process_time(),
        "tally": counted.model_dump(mode="json"),
        "results": [r.model_dump(mode="json", exclude={"duration_seconds"}) for r in results],
        "profiled_rows": profile.rows,
        "peak_mib": _peak(),
        "child_peak_mib": max(one.peak_memory_bytes for one in stored.values()) / 2**20,
    }


def version(directory: Path, name: str) -> Any:
    """Return a version whose artifact is in ``directory``."""
    from promotion_assets.evaluation.artifact import manifest
    from promotion_assets.evaluation.candidate import Candidate

    return Candidate(
        model="large",
        version="2" if name == "candidate" else "1",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        source=name,
        artifact_dir=directory,
        artifact=manifest(directory),
    )


def plain(folder: Path) -> dict[str, Any]:
    """Read everything and predict, as a notebook would; in this process, without a sandbox."""
    import mlflow.sklearn
    import pandas as pd

    model = mlflow.sklearn.load_model(str(folder / "candidate"))
    watch = Stopwatch()
    with watch.phase("read and predict"):
        frame = pd.read_parquet(folder / "rows")
        answers = model.predict_proba(frame[list(FEATURES)])[:, 1]
    return {"rows": len(answers), "seconds": watch.seconds, "peak_mib": _peak()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    silence_telemetry()
    chosen, where = sys.argv[1], Path(sys.argv[2])
    said = (
        plain(where)
        if chosen == "plain"
        else judged(chosen, where, int(sys.argv[3]), *sys.argv[4:])
    )
    print(json.dumps(said))
