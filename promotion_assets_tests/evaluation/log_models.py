"""Logs every model that the tests of isolated scoring need, by real MLflow, and its answers.

Run as a script (``python -m … DIRECTORY``): classes of ``__main__`` are pickled by value, so a
model needs nothing of this file when it is loaded. Writes ``rows.parquet`` (features),
``models.json`` (name to artifact), ``expected.json`` (what the estimators answer themselves) and
``signatures.json`` (as MLflow reads them).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", OMP_NUM_THREADS="1")

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

NUMBERS = ["income", "debt", "age"]
EVIL_LOADER = '''
"""A loader module that comes with the artifact; loading it is running it."""
import evil_payload

def _load_pyfunc(path):
    evil_payload.attack()
    return None
'''


def rows(count: int = 400) -> pd.DataFrame:
    """Return features of several types, one with missing values."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "income": generator.normal(50.0, 10.0, count),
            "debt": generator.normal(0.0, 1.0, count),
            "age": generator.integers(18, 90, count),
            "region": generator.choice(["north", "south", "øst"], count),
        }
    )
    frame.loc[::10, "debt"] = np.nan
    return frame


class Moody(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Does what the column ``mood`` of its first row says."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        import importlib
        import os
        import signal
        import sys
        import time

        import numpy as np
        import pandas as pd

        n, mood = len(model_input), model_input["mood"].iloc[0]
        half = np.full(n, 0.5)
        if mood == "hang":
            time.sleep(3600)
        elif mood == "sys_exit":
            sys.exit(3)
        elif mood == "os_exit":
            os._exit(0)
        elif mood == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif mood == "memory":
            return np.ones((1 << 40,))
        elif mood == "many_objects":
            hoard = []
            while True:
                hoard.append(bytearray(1 << 24))
        elif mood == "print":
            for _ in range(1 << 20):
                print("x" * 1024)
        elif mood == "raise":
            raise RuntimeError("I would rather not\nsecond line")
        elif mood == "library":
            importlib.import_module("a_library_that_nobody_has")
        elif mood == "slow":
            time.sleep(0.02)
        answers = {
            "nan": np.where(np.arange(n) == n // 2, np.nan, 0.5),
            "infinity": np.where(np.arange(n) == n // 2, np.inf, 0.5),
            "strings": np.array(["high"] * n),
            "none": None,
            "objects": np.array([0.5] * n, dtype=object),
            "labels": np.arange(n) % 2,
            "booleans": np.arange(n) % 2 == 0,
            "above": np.where(np.arange(n) == 1, 1.5, 0.5),
            "below": half - 1,
            "short": half[:-1],
            "long": np.append(half, 0.5),
            "cube": np.zeros((n, 2, 2)),
            "wide": np.full((n, 50), 0.02),
            "two": np.column_stack([half + 0.2, half - 0.2]),
            "three": np.full((n, 3), 1 / 3),
            "odd_sum": np.full((n, 2), 0.3),
            "table": pd.DataFrame({"1": half - 0.2, "0": half + 0.2}),
            "list": half.tolist(),
            "mean": half * 0 + model_input["x"].mean(),
        }
        return answers.get(mood, half)


class NeedsLibrary(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Cannot be loaded where its library is not installed."""

    def load_context(self, context: Any) -> None:
        import a_library_that_nobody_has  # noqa: F401

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return [0.5] * len(model_input)


class FailsToLoad(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Raises while it is loaded."""

    def load_context(self, context: Any) -> None:
        raise ValueError("the weights are from another epoch")

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return [0.5] * len(model_input)


def main(target: Path) -> None:
    """Log all models into a new MLflow below ``target``."""
    mlflow.set_tracking_uri(f"sqlite:///{target}/mlflow.db")
    experiment = mlflow.create_experiment("tests", artifact_location=str(target / "artifacts"))
    mlflow.set_experiment(experiment_id=experiment)
    X = rows()
    y = (X.income + 5 * X.debt.fillna(0) > 50).astype(int)
    X.to_parquet(target / "rows.parquet")
    logged: dict[str, str] = {}
    signatures: dict[str, Any] = {}
    # Loads in two thirds of the time that skops takes.
    quick = {"serialization_format": "cloudpickle"}
    expected: dict[str, Any] = {}

    def log_sklearn(name: str, model: Any, frame: pd.DataFrame, **options: Any) -> None:
        options.setdefault("signature", infer_signature(frame, model.predict(frame)))
        if options["signature"]:
            inputs = options["signature"].inputs
            signatures[name] = [
                [i.name or "", getattr(i.type, "name", str(i.type)), getattr(i, "required", True)]
                for i in inputs
            ]
        info = mlflow.sklearn.log_model(
            model, name=name, pip_requirements=["scikit-learn"], **options
        )
        logged[name] = local(info)

    def log_pyfunc(name: str, **options: Any) -> None:
        info = mlflow.pyfunc.log_model(name=name, pip_requirements=["mlflow"], **options)
        logged[name] = local(info)

    def local(info: Any) -> str:
        return str(Path(mlflow.artifacts.download_artifacts(info.model_uri)).resolve())

    numbers = X[NUMBERS].fillna(0)
    sound = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, y)
    log_sklearn("sound", sound, numbers)
    expected["sound"] = sound.predict_proba(numbers)[:, 1].tolist()
    log_sklearn("unsigned", sound, numbers, signature=None)
    log_sklearn("pickled", sound, numbers, **quick)

    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["region"]), remainder="passthrough"
    )
    named = np.where(y == 1, "default", "paid")
    mixed = make_pipeline(encoder, LogisticRegression(max_iter=2000)).fit(
        X.assign(debt=numbers.debt), named
    )
    log_sklearn("mixed", mixed, X.assign(debt=numbers.debt), **quick)
    expected["mixed"] = mixed.predict_proba(X.assign(debt=numbers.debt))[:, 0].tolist()

    boosting = HistGradientBoostingClassifier(max_iter=20).fit(X[NUMBERS], y)
    trusted = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    log_sklearn("boosting", boosting, X[NUMBERS], skops_trusted_types=trusted)
    expected["boosting"] = boosting.predict_proba(X[NUMBERS])[:, 1].tolist()

    bands = np.array(["young", "middle", "old"])[np.digitize(X.age, [40, 60])]
    several = LogisticRegression(max_iter=2000).fit(numbers, bands)
    log_sklearn("multiclass", several, numbers, **quick)
    order = [list(several.classes_).index(c) for c in ("young", "middle", "old")]
    expected["multiclass"] = several.predict_proba(numbers)[:, order].tolist()

    line = LinearRegression().fit(numbers.to_numpy(), X.income)
    tensor = infer_signature(numbers.to_numpy(), line.predict(numbers.to_numpy()))
    log_sklearn("regression", line, numbers, signature=tensor, **quick)
    expected["regression"] = line.predict(numbers.to_numpy()).tolist()

    log_sklearn("support_vectors", LinearSVC().fit(numbers, y), numbers, **quick)

    log_pyfunc("moody", python_model=Moody())
    log_pyfunc("needs_library", python_model=NeedsLibrary())
    log_pyfunc("fails_to_load", python_model=FailsToLoad())

    code = target / "code"
    code.mkdir()
    (code / "evil_loader.py").write_text(EVIL_LOADER)
    (code / "evil_payload.py").write_text("def attack():\n    raise SystemExit('not armed')\n")
    (target / "data.txt").write_text("weights")
    paths = [str(code / "evil_loader.py"), str(code / "evil_payload.py")]
    log_pyfunc(
        "foreign_loader",
        loader_module="evil_loader",
        data_path=str(target / "data.txt"),
        code_paths=paths,
    )

    (target / "models.json").write_text(json.dumps(logged))
    (target / "signatures.json").write_text(json.dumps(signatures))
    (target / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
