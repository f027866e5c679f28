"""Registers models of scikit-learn's own data sets, as a team's plain training script would.

Run as ``python -m promotion_assets_tests.end_to_end.other_models FOLDER``: MLflow's database, the
data sets and a policy a model end up in that folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLICIES = {
    "breast-cancer": """
version: 1
models:
  breast-cancer:
    task: binary
    owner: oncology@example.org
    risk_class: high
    dataset:
      uri: breast-cancer-evaluation.parquet
      label: malignant
      min_rows: 100
    production:
      uri: breast-cancer-production.parquet
    groups:
      - {column: mean radius, name: size, bands: [13.5]}
    first_version:
      accept: absolute
      reason: nothing predicted this before
    gates:
      accuracy: {minimum: 0.9}
      latency: {}
      fairness: {gap_to_overall: 0.2}
      drift: {psi: 0.25}
      schema:
      artifact:
""",
    "wine": """
version: 1
models:
  wine:
    task: multiclass
    dataset: {uri: wine-evaluation.parquet, label: cultivar, min_rows: 50, min_group_rows: 10}
    production: {uri: wine-production.parquet}
    groups:
      - {column: hue, bands: [0.95]}
    first_version: {accept: absolute, reason: nothing predicted this before}
    gates:
      accuracy: {metric: accuracy, minimum: 0.8}
      latency:
      schema:
      artifact:
""",
    "diabetes": """
version: 1
models:
  diabetes:
    task: regression
    dataset: {uri: diabetes-evaluation.csv, label: progression, min_rows: 100}
    production: {uri: diabetes-production.csv}
    first_version: {accept: absolute, reason: nothing predicted this before}
    gates:
      accuracy: {metric: r2, minimum: 0.2}
      latency:
      schema:
      artifact:
""",
}


def register_all(folder: Path) -> None:
    """Write data and policies into ``folder`` and register one model of each task."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def _classifier() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))

    for name, policy in POLICIES.items():
        (folder / f"{name}.yaml").write_text(policy)
    # scikit-learn calls benign tumours 1.
    _register(
        folder,
        "breast-cancer",
        load_breast_cancer,
        "malignant",
        _classifier,
        target=lambda y: 1 - y,
    )
    _register(folder, "wine", load_wine, "cultivar", _classifier)
    _register(folder, "diabetes", load_diabetes, "progression", Ridge)


def _register(
    folder: Path,
    name: str,
    load: Callable[..., Any],
    label: str,
    estimator: Callable[[], Any],
    target: Callable[[Any], Any] = lambda y: y,
) -> None:
    import mlflow
    from mlflow.models import infer_signature

    import promotion_assets

    features, truth = load(return_X_y=True, as_frame=True)
    truth = target(truth)
    shuffled = features.sample(frac=1, random_state=0).index
    train, evaluate = shuffled[: len(shuffled) // 2], shuffled[len(shuffled) // 2 :]
    labelled = features.loc[evaluate].assign(**{label: truth.loc[evaluate]})
    if name == "diabetes":
        labelled.to_csv(folder / f"{name}-evaluation.csv", index=False)
        features.loc[evaluate].to_csv(folder / f"{name}-production.csv", index=False)
    else:
        labelled.to_parquet(folder / f"{name}-evaluation.parquet")
        features.loc[evaluate].to_parquet(folder / f"{name}-production.parquet")
    fitted = estimator().fit(features.loc[train], truth.loc[train])
    with mlflow.start_run():
        promotion_assets.log_feature_profile(features.loc[train])
        mlflow.sklearn.log_model(
            fitted,
            name="model",
            registered_model_name=name,
            signature=infer_signature(features.loc[train], fitted.predict(features.loc[train])),
            pip_requirements=["scikit-learn==1.9.1"],
        )


if __name__ == "__main__":
    import mlflow

    root = Path(sys.argv[1])
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    mlflow.create_experiment("other models", artifact_location=(root / "artifacts").as_uri())
    mlflow.set_experiment("other models")
    register_all(root)
