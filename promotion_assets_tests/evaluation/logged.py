"""The models of :mod:`log_models`, logged once a session, and the sandboxes to open them in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.artifact import manifest
from promotion_assets.evaluation.candidate import ArtifactManifest
from promotion_assets.evaluation.isolation import Isolation, works
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.parts import require

NUMBERS = ["income", "debt", "age"]
TREES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
BINARY = Question("binary")


@dataclass(frozen=True)
class Logged:
    """What :mod:`log_models` wrote."""

    root: Path

    def artifact(self, name: str) -> Path:
        """Return the directory of one model's artifact."""
        return Path(json.loads((self.root / "models.json").read_text())[name])

    def copy(self, name: str, target: Path) -> Path:
        """Return a copy of an artifact, to be damaged."""
        return Path(shutil.copytree(self.artifact(name), target))

    def manifest(self, name: str) -> ArtifactManifest:
        """Return an artifact's manifest."""
        return manifest(self.artifact(name))

    def expected(self, name: str) -> Any:
        """Return what the estimator itself answered, outside of any sandbox."""
        return json.loads((self.root / "expected.json").read_text())[name]

    def signatures(self) -> dict[str, Any]:
        """Return the inputs of each model with a signature: name, type, required."""
        return dict(json.loads((self.root / "signatures.json").read_text()))

    def rows(self) -> pd.DataFrame:
        """Return the features with missing debts filled, as most of the models want them."""
        return self.raw_rows().fillna({"debt": 0.0})

    def raw_rows(self) -> pd.DataFrame:
        """Return the features as they are."""
        return pd.read_parquet(self.root / "rows.parquet")

    def open(self, artifact: str | Path, **options: Any) -> Session:
        """Open a session on a model, binary unless told otherwise."""
        directory = artifact if isinstance(artifact, Path) else self.artifact(artifact)
        options = {"question": BINARY, "limits": Sandbox(wall_seconds=60)} | options
        return Session(directory, "0" * 64, **options)


def log_all(target: Path) -> Logged:
    """Log the models in a process of their own, so that MLflow's global state stays there."""
    ran = subprocess.run(
        [sys.executable, "-m", "promotion_assets_tests.evaluation.log_models", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return Logged(target)


def usable(isolation: Isolation) -> Isolation:
    """Return ``isolation``, or skip the test where this host does not have it."""
    if isolation == "bubblewrap":
        require("bubblewrap")
    if not works(isolation):
        import os

        reason = f"{isolation} does not work here; allow unprivileged user namespaces"
        if os.environ.get("PROMOTION_TEST_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return isolation
