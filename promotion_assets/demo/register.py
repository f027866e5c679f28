"""Trains and registers the demo's nine versions, as a team's own training script would.

Run as ``python -m promotion_assets.demo.register HOME``: MLflow's tracking URI is a global of
the process, so this one has a process of its own. Versions that are registered already are left
alone; a version is registered only when all that belongs to its run is logged, so a killed run
is continued by the next.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from promotion_assets import log_feature_profile
from promotion_assets.demo.data import read_customers, split
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.malicious import write_payload
from promotion_assets.demo.models import JOIN, Trained
from promotion_assets.demo.versions import MODEL, VERSIONS, Version

EXPERIMENT = "credit-risk-training"
_TYPES = {"int64": DataType.long, "float64": DataType.double}
_PINNED = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy")


def register_versions(
    home: DemoHome,
    report: Callable[[str], None],
    *,
    most: int = len(VERSIONS),
    training: pd.DataFrame | None = None,
) -> None:
    """Register what is missing of the first ``most`` versions; ``report`` gets a line for each.

    Args:
        training: other rows to train on than the demo's.
    """
    mlflow.set_tracking_uri(home.tracking_uri)
    client = MlflowClient(home.tracking_uri)
    present = _registered(client)
    if len(present) >= len(VERSIONS):
        report("nine versions are registered already")
        return
    _use_experiment(client, home)
    rows = split(read_customers()).training if training is None else training
    for version in VERSIONS[len(present) : most]:
        started = time.monotonic()
        auc = _register(client, version, rows, home)
        seconds = time.monotonic() - started
        report(f"v{version.number} {version.title}: AUC logged {auc:.3f} ({seconds:.1f} s)")


def _registered(client: MlflowClient) -> list[int]:
    found = client.search_model_versions(f"name='{MODEL}'")
    return sorted(int(version.version) for version in found)


def _use_experiment(client: MlflowClient, home: DemoHome) -> None:
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT, artifact_location=home.artifacts.as_uri())
    mlflow.set_experiment(EXPERIMENT)
    if not client.search_registered_models(f"name='{MODEL}'"):
        client.create_registered_model(
            MODEL, description="Probability that a credit-card customer misses the next payment."
        )


def _register(
    client: MlflowClient, version: Version, training: pd.DataFrame, home: DemoHome
) -> float:
    trained = version.train(training)
    with mlflow.start_run(run_name=f"v{version.number} {version.title}") as run:
        mlflow.log_params(dict(trained.params) | {"rows": str(len(trained.inputs))})
        mlflow.log_metrics(dict(trained.metrics))
        log_feature_profile(trained.inputs)
        uri = _log_poisoned(client, trained, home) if version.poisoned else _log(trained, version)
    client.create_model_version(
        MODEL,
        uri,
        run_id=run.info.run_id,
        tags={"author": version.author, "title": version.title},
        description=version.card,
        model_id=uri.removeprefix("models:/"),
    )
    return float(trained.metrics["roc_auc"])


def _log(trained: Trained, version: Version) -> str:
    return str(
        mlflow.sklearn.log_model(
            trained.estimator,
            name="model",
            signature=signature_of(trained.inputs) if version.signed else None,
            pip_requirements=requirements_of(trained),
            skops_trusted_types=list(trained.skops_types) or None,
            pyfunc_predict_fn="predict_proba",
        ).model_uri
    )


def _log_poisoned(client: MlflowClient, trained: Trained, home: DemoHome) -> str:
    run = mlflow.active_run()
    assert run is not None
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "model"
        mlflow.sklearn.save_model(
            trained.estimator,
            str(directory),
            signature=signature_of(trained.inputs),
            pip_requirements=requirements_of(trained),
            serialization_format="cloudpickle",
            pyfunc_predict_fn="predict_proba",
        )
        write_payload(directory / "model.pkl", home.marker)
        logged = client.create_logged_model(
            run.info.experiment_id, name="model", source_run_id=run.info.run_id
        )
        client.log_model_artifacts(logged.model_id, str(directory))
        client.finalize_logged_model(logged.model_id, "READY")
    return f"models:/{logged.model_id}"


def signature_of(inputs: pd.DataFrame) -> ModelSignature:
    """Return the signature that ``inputs`` has, every column required.

    Written out, not inferred: the status columns are whole numbers without missing values in
    production too, and inference warns of every one of them.
    """
    columns = [ColSpec(_TYPES[str(kind)], name) for name, kind in inputs.dtypes.items()]
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    )


def requirements_of(trained: Trained) -> list[str]:
    """Return pinned requirements; inferring them takes MLflow half a minute a model."""
    own = ("promotion-assets",) if JOIN in trained.skops_types else ()
    return [f"{name}=={installed(name)}" for name in (*_PINNED, *own)]


def main(home: str) -> None:
    """Register into ``home`` and write a line for each version to standard output."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    def _report(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    register_versions(DemoHome(Path(home)), _report)


if __name__ == "__main__":
    main(sys.argv[1])
