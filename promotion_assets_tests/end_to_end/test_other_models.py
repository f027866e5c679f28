"""Other models than the demo's go the whole way, from YAML alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promotion_assets_tests.end_to_end.other_models import POLICIES

PROMOTION = str(Path(sys.executable).with_name("promotion"))


def environment(folder: Path, model: str) -> dict[str, str]:
    """Return the environment of a command on one model's policy."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    kept.pop("DAGSTER_HOME", None)
    return kept | {
        "PROMOTION_CONFIG": str(folder / f"{model}.yaml"),
        "PROMOTION_HOME": str(folder / f".promotion-{model}"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "OMP_NUM_THREADS": "1",
    }


def run(folder: Path, model: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``promotion`` on one model's policy."""
    return subprocess.run(
        [PROMOTION, *command],
        env=environment(folder, model),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three registered models, one of each task."""
    root = tmp_path_factory.mktemp("other-models")
    registering = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.end_to_end.other_models", str(root)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert registering.returncode == 0, registering.stderr[-3000:]
    return root


def test_a_policy_for_another_model_takes_few_lines() -> None:
    """A team writes at most thirty lines for a model of its own."""
    assert len(POLICIES["breast-cancer"].strip().splitlines()) <= 30


@pytest.mark.parametrize("model", list(POLICIES))
def test_a_model_of_every_task_is_judged_recorded_and_staged(folder: Path, model: str) -> None:
    """Binary, multiclass and regression models go from the registry to Staging."""
    evaluated = run(folder, model, "evaluate", model, "1", "--json")
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    decision: dict[str, Any] = json.loads(evaluated.stdout)[0]
    assert decision["verdict"] == "approved"
    gates = {r["gate"]: r for r in decision["results"]}
    assert set(gates) == set(run_gates(model))
    assert all(r["outcome"] == "passed" for r in gates.values())
    accuracy = gates["accuracy"]
    interval = accuracy["interval"]
    assert interval["low"] < interval["high"]
    assert interval["low"] <= accuracy["observed"] <= interval["high"]

    status = json.loads(run(folder, model, "status", model, "--json").stdout)
    (version,) = status["models"][0]["versions"]
    assert (version["version"], version["stage"], version["verdict"]) == (
        "1",
        "Staging",
        "approved",
    )
    explained = json.loads(run(folder, model, "explain", model, "1", "--json").stdout)
    assert {"checks", "metrics", "reviews", "evaluation_dataset", "shadow", "champion"} <= set(
        explained
    )


def test_a_dataset_read_shard_by_shard_goes_the_whole_way(folder: Path) -> None:
    """From YAML to a bundle that proves itself, without rows in memory, and played again."""
    model, name = "breast-cancer", "breast-cancer-in-shards"
    policy = POLICIES[model].replace("      latency: {}\n", "      robustness: {}\n")
    shards = "    evaluation: {engine: streaming, shard_rows: 256}\n    gates:\n"
    (folder / f"{name}.yaml").write_text(policy.replace("    gates:\n", shards))
    evaluated = run(folder, name, "evaluate", model, "1", "--json")
    assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
    decision: dict[str, Any] = json.loads(evaluated.stdout)[0]
    gates = {r["gate"]: r["outcome"] for r in decision["results"]}
    assert gates == dict.fromkeys(gates, "passed")
    assert {"accuracy", "fairness", "robustness", "drift"} <= set(gates)
    replayed = run(folder, name, "replay", model, "1", "--rescore")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "largest difference 0" in replayed.stdout
    bundle = str(folder / "bundle.zip")
    assert run(folder, name, "audit", "export", model, "1", "--out", bundle).returncode == 0
    verified = json.loads(run(folder, name, "audit", "verify", bundle, "--json").stdout)
    assert verified["valid"]
    assert verified["problems"] == []


@pytest.mark.parametrize(("model", "label"), [("breast-cancer", "malignant")])
def test_a_first_policy_is_written_from_the_registry_and_a_file(
    folder: Path, tmp_path: Path, model: str, label: str
) -> None:
    """Label, task and limits come from what is there, and the policy judges at once."""
    for part in ("evaluation", "production"):
        source = folder / f"{model}-{part}.parquet"
        (tmp_path / f"{part}.parquet").write_bytes(source.read_bytes())
    command = [PROMOTION, "init", model, "--data", "evaluation.parquet"]
    command += ["--production", "production.parquet", "--json"]
    kept = environment(folder, model)
    del kept["PROMOTION_CONFIG"], kept["PROMOTION_HOME"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": kept, "capture_output": True, "text": True}
    said = subprocess.run(command, timeout=900, check=False, **options)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert (found["label"], found["task"], found["version"]) == (label, "binary", "1")
    policy = (tmp_path / "promotion.yaml").read_text()
    assert "version 1 reaches 0.9" in policy
    again = subprocess.run(command, timeout=900, check=False, **options)
    assert again.returncode == 2
    assert policy == (tmp_path / "promotion.yaml").read_text()
    judged = subprocess.run(
        [PROMOTION, "evaluate", model, "1", "--json"], timeout=900, check=False, **options
    )
    results = {r["gate"]: r["outcome"] for r in json.loads(judged.stdout)[0]["results"]}
    assert results["accuracy"] == results["schema"] == results["artifact"] == "passed"


def run_gates(model: str) -> list[str]:
    """Return the gates that a policy names."""
    import yaml

    return list(yaml.safe_load(POLICIES[model])["models"][model]["gates"])
