"""A small installation to serve from: real models, a real store, ledger, key and policy.

Versions 1 and 2 are logistic regressions that disagree, 3 is a boosting; each has an artifact as
MLflow saves it. No MLflow server runs: what a server needs of versions is in the store.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.evaluation.artifact import take_in
from promotion_assets.lifecycle.events import Stage, TrafficPlanned
from promotion_assets.lifecycle.promotion import adopt, promote
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.transitions import Facts
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.serving.plan import SegmentPlan
from promotion_assets_tests import ledgers
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.serving import faulty

MODEL = ledgers.MODEL
COLUMNS = tuple(f"x{n}" for n in range(8))
TREES = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
POLICY = """\
version: 1
models:
  credit-risk:
    task: binary
    dataset: {uri: nowhere.parquet, label: y}
    gates:
      accuracy: {minimum: 0.5}
      artifact:
        trusted_types: [TRUSTED]
        allow_pickle: true
    serving: SERVING
"""


@dataclass(frozen=True)
class World:
    """One home folder, and what is in its store by version."""

    folder: Path
    artifacts: Mapping[str, str]

    @property
    def home(self) -> Path:
        """``PROMOTION_HOME``."""
        return self.folder / "home"

    @property
    def store(self) -> Path:
        """Where artifacts are, by digest."""
        return self.home / "store" / "artifacts"

    def environment(self) -> dict[str, str]:
        """Return what the platform is told of this home."""
        return {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": str(self.home),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/no-mlflow.db",
        }

    def workspace(self) -> Workspace:
        """Open the platform here."""
        return Workspace.open(environ=self.environment())

    @property
    def ledger(self) -> DatabaseLedger:
        """The ledger, opened anew."""
        found = self.workspace().ledger
        assert isinstance(found, DatabaseLedger)
        return found

    def adopt(self, version: str = "1") -> None:
        """Take a version in as the champion."""
        adopt(
            self.ledger,
            FakeRegistry(),
            MODEL,
            version,
            model_digest=self.artifacts[version],
            actor="ana",
            reason="has been serving since 2024",
        )

    def stage(self, version: str) -> None:
        """Move a version to Staging."""
        ledger, clock = self.ledger, Clock(datetime.now(UTC))
        digest = self.artifacts[version]
        ledger.append([ledgers.evaluated(version, clock, model_digest=digest)])
        promote(ledger, FakeRegistry(), ledgers.request(version), self._facts(version), clock())

    def go_live(self, version: str, share: int = 0) -> None:
        """Have a version roll out beside the champion, with ``share`` basis points."""
        self.stage(version)
        ledger, clock = self.ledger, Clock(datetime.now(UTC))
        digest = self.artifacts[version]
        ledger.append([ledgers.shadow(version, model_digest=digest)])
        champion = self.artifacts[ledger.state(MODEL).champions["default"]]
        found = self._facts(version, champion_digest=champion)
        ledger.append([ledgers.approval(ledger.state(MODEL), version, clock, found=found)])
        asked = ledgers.request(version, Stage.PRODUCTION)
        promote(ledger, FakeRegistry(), asked, found, clock())
        if share:
            self.plan(share=share)

    def shadow(self, version: str, share: int = 10_000) -> None:
        """Have a Staging version answer copies of ``share`` basis points of the requests."""
        arm = {"version": version, "digest": self.artifacts[version]}
        self.plan(shadow=arm, shadow_share=share, shadow_salt=f"shadow-{version}")

    def plan(self, **changes: Any) -> int:
        """Change the default segment of the plan; return its generation."""
        ledger = self.ledger
        traffic = ledger.state(MODEL).traffic
        assert traffic is not None
        old = traffic.segment("default")
        assert old is not None
        new = traffic.with_segment(SegmentPlan.model_validate(old.model_dump() | changes))
        event = TrafficPlanned(model=MODEL, plan=new, cause="rollout", reason="the test says so")
        ledger.append([event])
        return new.generation

    def roll_back(self) -> None:
        """Take the version that is rolling out away."""
        rollback(self.ledger, FakeRegistry(), MODEL, actor="ana", reason="it answers too much")

    def _facts(self, version: str, **changes: Any) -> Facts:
        return ledgers.facts(version, model_digest=self.artifacts[version], **changes)


def make_world(folder: Path, models: Mapping[str, Path], serving: Mapping[str, Any]) -> World:
    """Make a home whose store holds ``models``, artifacts by version."""
    folder.mkdir(parents=True, exist_ok=True)
    text = POLICY.replace("TRUSTED", TREES).replace("SERVING", json.dumps(dict(serving)))
    (folder / "promotion.yaml").write_text(text)
    store = folder / "home" / "store" / "artifacts"
    taken = {version: take_in(path, store)[1].digest for version, path in models.items()}
    return World(folder, taken)


def save_models(folder: Path) -> dict[str, Path]:
    """Train and save the versions of the tests, as a team's script would."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, label = training()
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    contrary = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    boosting = HistGradientBoostingClassifier(max_iter=5)
    fitted = {
        "1": logistic.fit(rows, label),
        "2": contrary.fit(rows, 1 - label),
        "3": boosting.fit(rows, label),
    }
    saved = {version: save(folder / version, model) for version, model in fitted.items()}
    # By value: whoever loads them has this package's source and not that of its tests.
    cloudpickle.register_pickle_by_value(faulty)
    for version, kind in faulty.FAULTY.items():
        model = kind().fit(rows, label)
        saved[version] = save(folder / version, model, serialization_format="cloudpickle")
    return saved


def training(rows: int = 400) -> tuple[pd.DataFrame, Any]:
    """Return rows and labels."""
    numbers = np.random.default_rng(7).normal(size=(rows, len(COLUMNS)))
    table = pd.DataFrame(numbers, columns=list(COLUMNS))
    return table, (numbers[:, 0] + numbers[:, 1] > 0).astype(int)


def save(path: Path, estimator: Any, **options: Any) -> Path:
    """Save a fitted estimator with its signature as MLflow does."""
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = options.pop("columns", COLUMNS)
    schema = Schema([ColSpec(DataType.double, name) for name in columns])
    shutil.rmtree(path, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            estimator,
            str(path),
            signature=ModelSignature(inputs=schema),
            pip_requirements=["scikit-learn"],
            pyfunc_predict_fn="predict_proba",
            **(options or {"skops_trusted_types": [TREES]}),
        )
    return path


def split_body(rows: Sequence[Sequence[Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    """Return rows in MLflow's ``dataframe_split``."""
    content = {"columns": list(columns), "data": [list(row) for row in rows]}
    return json.dumps({"dataframe_split": content}).encode()


if __name__ == "__main__":
    save_models(Path(sys.argv[1]))
