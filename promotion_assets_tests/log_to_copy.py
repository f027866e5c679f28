"""Logs two versions with everything that a copy has to carry; run as a script with a folder.

Version 1 is sound; version 2 answers at random. The registry is the one of the environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import infer_signature
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import promotion_assets

MODEL = "breast-cancer"
POLICY = """
version: 1
models:
  breast-cancer:
    task: binary
    dataset: {uri: evaluation.parquet, label: malignant, min_rows: 100}
    first_version: {accept: absolute, reason: nothing predicted this before}
    auto_to_staging: false
    gates:
      accuracy: {minimum: 0.9}
      artifact:
"""


def main(folder: Path) -> None:
    """Write policy and data, train both versions and register them."""
    features, benign = load_breast_cancer(return_X_y=True, as_frame=True)
    features, truth = features.iloc[:, :6], 1 - benign
    shuffled = np.random.default_rng(0).permutation(features.index)
    train, evaluate = shuffled[:250], shuffled[250:]
    (folder / "promotion.yaml").write_text(POLICY)
    features.loc[evaluate].assign(malignant=truth.loc[evaluate]).to_parquet(
        folder / "evaluation.parquet"
    )
    mlflow.set_experiment("tumours")
    sound = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    for number, estimator in enumerate((sound, DummyClassifier(strategy="uniform"))):
        fitted = estimator.fit(features.loc[train], truth.loc[train])
        rows = mlflow.data.from_pandas(features.loc[train], name="clinic rows")
        with mlflow.start_run(run_name=f"training {number}", tags={"team": "oncology"}) as run:
            mlflow.log_input(rows, context="training", tags={"sha256": "ab" * 32})
            mlflow.log_params({"C": 1.0, "notes": "n" * 7000, "größe": "klein"})
            promotion_assets.log_feature_profile(features.loc[train])
            info = mlflow.sklearn.log_model(
                fitted,
                name="model",
                signature=infer_signature(features.loc[train], fitted.predict(features[:5])),
                pip_requirements=["scikit-learn==1.9.1"],
                params={"depth": "3"},
            )
            for step in range(40):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_metric("auc", 0.97, dataset=rows, model_id=info.model_id)
            mlflow.log_metric("undefined", float("nan"))
        with mlflow.start_run(run_name="later evaluation"):
            mlflow.log_metric("brier", 0.05, model_id=info.model_id, dataset=rows)
        client = mlflow.MlflowClient()
        if number == 0:
            client.create_registered_model(MODEL)
        client.create_model_version(
            MODEL,
            info.model_uri,
            run.info.run_id,
            tags={"ticket": "ONC-7", "author": "ana"},
            description="Predicts malignancy from six measures.",
            model_id=info.model_id,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
