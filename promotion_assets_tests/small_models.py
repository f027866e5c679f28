"""Tiny models for platforms that tests run whole: three features, a label, a policy in seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

MODEL = "small"
POLICY = """
version: 1
models:
  small:
    task: binary
    dataset: {{uri: evaluation.parquet, label: y, min_rows: 50}}
    first_version: {{accept: absolute, reason: nothing predicted this before}}
    auto_to_staging: {staging}
    gates:
      accuracy: {{minimum: {minimum}, improvement: {improvement}}}
      artifact:
schedule: {{poll_seconds: 2, inputs_seconds: 2, retry_seconds: 5}}
"""


def write_policy(
    folder: Path, *, minimum: float = 0.6, improvement: float = -0.5, staging: str = "false"
) -> Path:
    """Write the policy into ``folder``."""
    path = folder / "promotion.yaml"
    path.write_text(POLICY.format(minimum=minimum, improvement=improvement, staging=staging))
    return path


def frame(seed: int, rows: int = 400, noise: float = 1.0) -> pd.DataFrame:
    """Rows whose label follows the features' sum, as far as the noise lets it."""
    drawn = np.random.default_rng(seed)
    found = pd.DataFrame(drawn.normal(size=(rows, 3)), columns=["a", "b", "c"])
    signal = found.sum(axis=1) + noise * drawn.normal(size=rows)
    return found.assign(y=(signal > 0).astype("int64"))


def write_dataset(folder: Path, seed: int = 0, noise: float = 1.0) -> None:
    """Write what versions are judged on."""
    frame(seed, noise=noise).to_parquet(folder / "evaluation.parquet")


@dataclass(frozen=True)
class Logged:
    """A model in MLflow that can be registered as often as one likes."""

    uri: str
    run_id: str
    location: str


def log_both(uri: str, artifacts: Path | None = None) -> tuple[Logged, Logged]:
    """Log a sound model and one that guesses, as a team does: in a process of its own.

    Args:
        artifacts: where their files are kept; where the server says if not given.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.small_models", uri, str(artifacts or "")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    sound, guessing = (Logged(**found) for found in json.loads(ran.stdout.splitlines()[-1]))
    return sound, guessing


def register(uri: str, logged: Logged, name: str = MODEL) -> str:
    """Register a version of what was logged, and the model where it is new."""
    client = MlflowClient(uri, uri)
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    # Without a server MLflow looks a model's address up in the registry of the whole process.
    if uri.startswith("http"):
        model_id = logged.uri.removeprefix("models:/")
        made = client.create_model_version(name, logged.uri, logged.run_id, model_id=model_id)
    else:
        made = client.create_model_version(name, logged.location, logged.run_id)
    return str(made.version)


def _main(uri: str, artifacts: str) -> None:
    mlflow.set_tracking_uri(uri)
    where = Path(artifacts).as_uri() if artifacts else None
    client = MlflowClient(uri, uri)
    known = client.get_experiment_by_name("small")
    experiment = known.experiment_id if known else client.create_experiment("small", where)
    rows = frame(1)
    labels = rows.pop("y")
    found = []
    for estimator in (LogisticRegression(), DummyClassifier(strategy="uniform")):
        with mlflow.start_run(experiment_id=experiment) as run:
            info = mlflow.sklearn.log_model(
                estimator.fit(rows, labels),
                name="model",
                signature=mlflow.models.infer_signature(rows, labels),
                pip_requirements=["scikit-learn==1.9.1"],
            )
        logged = mlflow.get_logged_model(info.model_id)
        found.append(
            {
                "uri": info.model_uri,
                "run_id": run.info.run_id,
                "location": logged.artifact_location,
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
