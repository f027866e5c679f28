"""Register one more version of the soak's model: ``python -m … URI FOLDER SEED``."""

from __future__ import annotations

import sys
from pathlib import Path

from promotion_assets_tests.end_to_end.rolling_models import MODEL, POLICY, frame

SOAK_POLICY = (
    POLICY.replace(
        "    shadow: {waive: the test looks at rollouts alone}\n",
        "    shadow:\n"
        "      sampling: 1\n"
        "      minimum_hours: 0.005\n"
        "      minimum_pairs: 200\n"
        "      report_hours: 0.02\n"
        "      limits: {disagreement: null, shift: null, group_shift: null, psi: null,\n"
        "               errors: 0.5, latency_ms: null, drops: null, auc_loss: null}\n",
    )
    + """
schedule: {poll_seconds: 5, inputs_seconds: 20}
notifications:
  allow_hosts: [127.0.0.1]
  subscriptions:
    - {name: ops, url: "http://127.0.0.1:RECEIVER", secret_env: SOAK_KEY}
"""
)


def main(uri: str, folder: Path, seed: int) -> None:
    """Log and register a version; the first one brings dataset and policy along."""
    import mlflow
    from sklearn.linear_model import LogisticRegression

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("small")
    rows = frame(1 + seed)
    labels = rows.pop("y")
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            LogisticRegression(C=0.5 + seed / 100).fit(rows, labels),
            name="model",
            signature=mlflow.models.infer_signature(rows, labels),
            pip_requirements=["scikit-learn==1.9.1"],
            registered_model_name=MODEL,
        )
    if not (folder / "evaluation.parquet").exists():
        frame(0).to_parquet(folder / "evaluation.parquet")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
