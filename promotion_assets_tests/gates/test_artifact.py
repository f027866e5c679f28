"""The artifact gate on real files: skops, what MLmodel claims, code, pins, changed bytes."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from promotion_assets.gates.artifact import ArtifactSettings, allowed
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.file_kinds import kind_of
from promotion_assets.gates.trusted_types import SCIKIT_LEARN
from promotion_assets_tests import evidence as make
from promotion_assets_tests.gates.artifacts import CONDA, PINNED, fitted, judged


def square(values: Any) -> Any:
    """A function that no policy trusts by itself."""
    return values**2


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(3),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=2),
        MLPClassifier(max_iter=300, hidden_layer_sizes=(2,), tol=1.0),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
        KNeighborsClassifier(algorithm="ball_tree"),
        make_pipeline(
            make_column_transformer((OrdinalEncoder(), [0]), remainder="passthrough"),
            LogisticRegression(max_iter=5000),
        ),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_models_are_trusted(model: Any, tmp_path: Path) -> None:
    """Models that are made of scikit-learn alone pass without any setting."""
    result = judged(tmp_path, {"model.skops": skops.io.dumps(fitted(model)), "conda.yaml": CONDA})
    assert result.outcome is Outcome.PASSED, result.reason
    assert result.details["digest"] == result.inputs["model"]


def test_a_foreign_type_is_refused_until_the_policy_trusts_it(tmp_path: Path) -> None:
    """A team's own function in a pipeline is named, and accepted by its full name."""
    model = fitted(make_pipeline(StandardScaler(), FunctionTransformer(square)))
    files = {"model.skops": skops.io.dumps(model)}
    name = f"{square.__module__}.square"
    result = judged(tmp_path, files)
    assert result.outcome is Outcome.FAILED
    assert name in result.reason
    assert judged(tmp_path, files, trusted_types=[name]).outcome is Outcome.PASSED


def test_the_artifacts_own_trust_list_is_not_believed(tmp_path: Path) -> None:
    """An artifact that asks to trust os.system is refused, though its file looks harmless."""
    facts = make.sklearn_facts(skops_trusted_types=("posix.system",))
    result = judged(
        tmp_path, {"model.skops": skops.io.dumps(fitted(StandardScaler()))}, mlmodel=facts
    )
    assert result.outcome is Outcome.FAILED
    assert "asks to trust 'posix.system'" in result.reason


@pytest.mark.parametrize("magic", [b"\x7fELF....", b"7z\xbc\xaf\x27\x1c..", b"\x04\x22\x4d\x18..."])
def test_what_cannot_be_looked_into_is_refused(magic: bytes, tmp_path: Path) -> None:
    """Native libraries and archives of other kinds are refused."""
    result = judged(tmp_path, {"data.bin": magic + b"\0" * 64})
    assert result.outcome is Outcome.FAILED
    assert "cannot be looked into" in result.reason


@pytest.mark.parametrize(
    "loader", [None, "evil.loader", "mlflow.pyfunc.model", "mlflow.sklearn.evil", "os"]
)
def test_a_loader_that_is_not_allowed_is_refused(loader: str | None, tmp_path: Path) -> None:
    """loader_module decides which code runs, so it is held against a list."""
    result = judged(tmp_path, {}, mlmodel=make.sklearn_facts(loader_module=loader))
    assert result.outcome is Outcome.FAILED
    assert "loader_module" in result.reason


def test_the_policy_may_add_a_loader(tmp_path: Path) -> None:
    """A flavor of the team's own passes the loader check once it is named."""
    facts = make.sklearn_facts(loader_module="mlflow.prophet")
    result = judged(tmp_path, {}, mlmodel=facts, loader_modules=["mlflow.prophet"])
    findings = [row["check"] for row in result.details["findings"]]
    assert "loader" not in findings


def test_a_foreign_class_in_a_flavor_is_refused(tmp_path: Path) -> None:
    """A flavor whose model_class is not its own would import and call something else."""
    raw = {
        "flavors": {
            "python_function": {"loader_module": "mlflow.xgboost", "data": "model.ubj"},
            "xgboost": {"model_class": "os.abort", "data": "model.ubj"},
        }
    }
    facts = make.sklearn_facts(
        flavors=("python_function", "xgboost"),
        loader_module="mlflow.xgboost",
        serialization_format=None,
        raw=raw,
    )
    result = judged(tmp_path, {"model.ubj": b"{}"}, mlmodel=facts)
    assert result.outcome is Outcome.FAILED
    assert "os.abort" in result.reason


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../b", "s3://x/y"])
def test_a_model_path_outside_the_artifact_is_refused(path: str, tmp_path: Path) -> None:
    """A flavor must not load from elsewhere."""
    raw = {"flavors": {"sklearn": {"pickled_model": path, "serialization_format": "skops"}}}
    result = judged(tmp_path, {}, mlmodel=make.sklearn_facts(raw=raw))
    assert result.outcome is Outcome.FAILED
    assert "outside the artifact" in result.reason


def test_code_in_the_artifact_is_refused(tmp_path: Path) -> None:
    """A code directory is imported on loading, and needs the policy's leave."""
    facts = make.sklearn_facts(code="code")
    files = {"code/helper.py": b"print('hello')\n"}
    result = judged(tmp_path, files, mlmodel=facts)
    assert result.outcome is Outcome.FAILED
    assert "code" in result.reason
    allowed_ = judged(tmp_path, files, mlmodel=facts, allow_code=True)
    assert "code" not in [row["check"] for row in allowed_.details["findings"]]


def test_bytes_that_changed_are_found(tmp_path: Path) -> None:
    """A file that is not what was taken in is named."""
    own = make.candidate(tmp_path)
    (tmp_path / "requirements.txt").write_bytes(b"evil==1.0\n")
    result = make.judge("artifact", make.evidence(candidate=own))
    assert result.outcome is Outcome.FAILED
    assert "requirements.txt: its bytes are not those that were taken in" in result.reason


def test_a_file_that_went_missing_is_found(tmp_path: Path) -> None:
    """A manifest entry without its file is named."""
    own = make.candidate(tmp_path)
    (tmp_path / "MLmodel").unlink()
    result = make.judge("artifact", make.evidence(candidate=own))
    assert "MLmodel: it cannot be read" in result.reason


def test_problems_of_the_intake_fail_the_gate(tmp_path: Path) -> None:
    """What was wrong when the artifact was taken in is what the gate says."""
    own = make.candidate(artifact=None, problems=("the artifact is missing: s3://gone",))
    result = make.judge("artifact", make.evidence(candidate=own))
    assert result.outcome is Outcome.FAILED
    assert "s3://gone" in result.reason


@pytest.mark.parametrize(
    "line",
    [
        "scikit-learn",
        "scikit-learn>=1.0",
        "scikit-learn==1.*",
        "-r other.txt",
        "x @ https://e.org/x",
    ],
)
def test_requirements_must_be_pinned(line: str, tmp_path: Path) -> None:
    """A requirement that may be another version tomorrow is named."""
    result = judged(tmp_path, {}, changes={"requirements": ("skops==0.14.0", line)})
    assert result.outcome is Outcome.FAILED
    assert line in result.reason
    free = judged(tmp_path, {}, changes={"requirements": (line,)}, require_pinned=False)
    assert free.outcome is Outcome.PASSED


def test_no_requirements_at_all_are_refused(tmp_path: Path) -> None:
    """A model that declares nothing cannot be loaded again next year."""
    assert judged(tmp_path, {}, changes={"requirements": ()}).outcome is Outcome.FAILED


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """An archive that unpacks to more than is allowed is refused without unpacking it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({}))
        archive.writestr("zeros", b"\0" * 5_000_000)
    result = judged(tmp_path, {"model.skops": buffer.getvalue()}, max_unpacked_bytes=1_000_000)
    assert result.outcome is Outcome.FAILED
    assert "unpacks to" in result.reason


@pytest.mark.parametrize("schema", [b"{}", b"not json", b"[" * 50_000])
def test_a_malformed_skops_file_is_refused(schema: bytes, tmp_path: Path) -> None:
    """A skops file that skops cannot read is a finding, not a crash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", schema)
    result = judged(tmp_path, {"model.skops": buffer.getvalue()})
    assert result.outcome is Outcome.FAILED
    assert "skops cannot read it" in result.reason


@pytest.mark.parametrize(
    "text",
    [
        *(CONDA, PINNED, b"", b".", b"N.", b"c", b"{}", b"# a card\n", b"\x80", b"x\x9c not zlib"),
        *(
            b"import os, sys\nfrom a import b\n",
            b"Notes.\n",
            b"cat\ndog\nmouse\n",
            b"cat\ndog\npig\n",
        ),
        pickle.dumps([1, 2, "three"], protocol=0),
    ],
)
def test_harmless_files_are_plain(text: bytes, tmp_path: Path) -> None:
    """Texts that begin like a pickle or like a compressed file are what they are."""
    path = tmp_path / "file"
    path.write_bytes(text)
    assert kind_of(path).kind == "plain"


def test_the_scorer_is_told_what_is_allowed() -> None:
    """The trust list for loading is ours and the policy's, nothing of the artifact's."""
    found = allowed(ArtifactSettings(trusted_types=("team.Scaler",), allow_pickle=True))
    assert found.trusted_types == SCIKIT_LEARN | {"team.Scaler"}
    assert found.allow_pickle
    assert not found.allow_code
    assert not allowed(ArtifactSettings()).allow_pickle
