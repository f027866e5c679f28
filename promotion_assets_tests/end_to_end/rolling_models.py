"""Three versions of one model, of which one cannot bear a category that it has not seen.

Run as ``python -m promotion_assets_tests.end_to_end.rolling_models URI FOLDER``: logs them to the
MLflow server at ``URI``, and writes the evaluation dataset and the policy into ``FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

MODEL = "small"
COLUMNS = ("a", "b", "c", "d")
POLL_SECONDS = 1.0
# Dagster's daemon goes round its sensors every five seconds.
TICK_SECONDS = 5
REVIEW_SECONDS = 5
POLICY = f"""
version: 1
models:
  small:
    task: binary
    dataset: {{uri: evaluation.parquet, label: y, min_rows: 50}}
    first_version: {{accept: absolute, reason: nothing predicted this before}}
    gates:
      accuracy: {{minimum: 0.6, improvement: -0.5}}
      artifact:
    shadow: {{waive: the test looks at rollouts alone}}
    review: {{reviewers: [{{name: bo}}]}}
    serving: {{breaker: {{failures: 1000}}}}
    rollout:
      steps:
        - {{share: 0.05, minimum_minutes: 0.04, maximum_minutes: 5, minimum_units: 30}}
        - {{share: 0.25, minimum_minutes: 0.05, maximum_minutes: 5, minimum_units: 100}}
        - {{share: 1, minimum_minutes: 0.05, maximum_minutes: 5, minimum_units: 100}}
      holdback: 0.1
      tick_seconds: {TICK_SECONDS}
      errors: {{max_rate: 0.2}}
      latency: null
      decision_rate: {{limit: 0.6}}
"""


def frame(seed: int, rows: int = 400) -> pd.DataFrame:
    """Rows whose label follows the features' sum."""
    drawn = np.random.default_rng(seed)
    found = pd.DataFrame(drawn.normal(size=(rows, 3)), columns=list("abc"))
    found["d"] = drawn.integers(0, 3, size=rows).astype("float64")
    signal = found[["a", "b", "c"]].sum(axis=1) + drawn.normal(size=rows)
    return found.assign(y=(signal > 0).astype("int64"))


def _main(uri: str, folder: Path) -> None:
    import mlflow
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("small")
    rows = frame(1)
    labels = rows.pop("y")
    for unknown in ("ignore", "error", "ignore"):
        encoder = OneHotEncoder(handle_unknown=unknown, sparse_output=False)
        estimator = make_pipeline(
            ColumnTransformer([("d", encoder, [3])], remainder="passthrough"),
            LogisticRegression(C=1.0 if unknown == "error" else 0.5),
        )
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                estimator.fit(rows, labels),
                name="model",
                signature=mlflow.models.infer_signature(rows, labels),
                pip_requirements=["scikit-learn==1.9.1"],
                registered_model_name=MODEL,
            )
    frame(0).to_parquet(folder / "evaluation.parquet")
    (folder / "promotion.yaml").write_text(POLICY)


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
