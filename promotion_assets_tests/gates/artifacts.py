"""Artifacts of chosen files, judged by the artifact gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer

from promotion_assets.gates.contract import GateResult
from promotion_assets_tests import evidence as make

PINNED = b"scikit-learn==1.9.1\nskops==0.14.0\n"
CONDA = b"channels:\n- conda-forge\ndependencies:\n- python=3.11\nname: mlflow-env\n"


def judged(root: Path, files: dict[str, bytes], **settings: Any) -> GateResult:
    """Return the artifact gate's result on an artifact of ``files``."""
    facts = settings.pop("mlmodel", make.sklearn_facts())
    changes = settings.pop("changes", {})
    everything = {"MLmodel": b"flavors: {}\n", "requirements.txt": PINNED, **files}
    own = make.candidate(root, files=everything, mlmodel=facts, **changes)
    return make.judge("artifact", make.evidence(candidate=own), **settings)


def fitted(model: Any) -> Any:
    """Return ``model`` fitted on a little real data."""
    X, y = load_breast_cancer(return_X_y=True)
    return model.fit(X[:200, :4], y[:200])
