"""Training code logs a profile with one call, and a reader believes only what is proven."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import promotion_assets
from promotion_assets.adapters.profile_logging import (
    ARTIFACT,
    DIGEST_TAG,
    log_feature_profile,
    read_training_profile,
)
from promotion_assets.errors import UsageError
from promotion_assets.evaluation.profile_io import digest
from promotion_assets.evaluation.profiling import profile_frame

FRAME = pd.DataFrame(
    {"amount": np.random.default_rng(5).normal(size=100), "grade": ["a", None] * 50}
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowClient]:
    """A real MLflow on SQLite, which is also the process's own while the tests run."""
    home = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri()
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        # MLflow puts it into the environment too, and does not take it back.
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        client = MlflowClient(uri)
        client.create_experiment("profiles", artifact_location=(home / "artifacts").as_uri())
        mlflow.set_experiment("profiles")
        yield client
        mlflow.set_tracking_uri(before)


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    """A new run."""
    experiment = client.get_experiment_by_name("profiles")
    assert experiment is not None
    return str(client.create_run(experiment.experiment_id).info.run_id)


def problem_of(client: MlflowClient, run_id: str) -> str:
    """Return why a run has no usable profile."""
    profile, problem = read_training_profile(client, run_id)
    assert profile is None
    assert problem is not None
    assert run_id in problem
    assert "Next: " in problem
    return problem


def test_one_call_inside_a_run_logs_the_profile(client: MlflowClient) -> None:
    """The artifact and its digest are there, and the reader gives the same profile back."""
    with mlflow.start_run() as run:
        logged = promotion_assets.log_feature_profile(FRAME)
    assert logged == profile_frame(FRAME)
    assert client.get_run(run.info.run_id).data.tags[DIGEST_TAG] == digest(logged)
    assert read_training_profile(client, run.info.run_id) == (logged, None)


def test_a_run_that_is_not_active_can_be_named(client: MlflowClient, run_id: str) -> None:
    """A profile of data that did not fit in memory is logged as it is."""
    profile = profile_frame(FRAME)
    log_feature_profile(profile, run=run_id)
    assert read_training_profile(client, run_id) == (profile, None)
    log_feature_profile(FRAME.head(10), run=client.get_run(run_id))
    again, _ = read_training_profile(client, run_id)
    assert again is not None
    assert again.rows == 10


def test_without_a_run_nothing_is_logged(client: MlflowClient) -> None:
    """A call outside a run is a mistake, not a run of its own."""
    experiment = client.get_experiment_by_name("profiles")
    assert experiment is not None
    before = len(client.search_runs([experiment.experiment_id]))
    with pytest.raises(UsageError, match="no MLflow run is active"):
        log_feature_profile(FRAME)
    assert len(client.search_runs([experiment.experiment_id])) == before


@pytest.mark.parametrize(
    ("frame", "said"),
    [(FRAME.head(0), "counts no rows"), (FRAME[[]], "has no features")],
)
def test_an_empty_frame_is_not_logged(
    client: MlflowClient, run_id: str, frame: pd.DataFrame, said: str
) -> None:
    """A profile of nothing is refused where the mistake is made."""
    with pytest.raises(UsageError, match=said):
        log_feature_profile(frame, run=run_id)
    assert client.list_artifacts(run_id) == []


def test_a_run_without_a_profile_says_how_to_log_one(client: MlflowClient, run_id: str) -> None:
    """Absence is a sentence with the next step."""
    problem = problem_of(client, run_id)
    assert "there is none" in problem
    assert "log_feature_profile(df)" in problem


def test_a_changed_artifact_is_not_believed(client: MlflowClient, run_id: str) -> None:
    """One changed count, with the tag left as it was, is found."""
    log_feature_profile(FRAME, run=run_id)
    profile = profile_frame(FRAME.assign(grade="b"))
    client.log_text(run_id, profile.model_dump_json(), ARTIFACT)
    assert "was changed" in problem_of(client, run_id)


def test_an_artifact_without_its_digest_is_not_believed(client: MlflowClient, run_id: str) -> None:
    """Anyone can write a file; the tag is what the call leaves."""
    client.log_text(run_id, profile_frame(FRAME).model_dump_json(), ARTIFACT)
    assert f"no tag {DIGEST_TAG}" in problem_of(client, run_id)


def test_a_lost_artifact_is_not_replaced_by_the_older_form(
    client: MlflowClient, run_id: str
) -> None:
    """Where the tag names a profile, nothing else stands in for it."""
    client.set_tag(run_id, DIGEST_TAG, "0" * 64)
    client.log_param(run_id, "feature_stats", '{"x": {"buckets": [1], "counts": [2, 3]}}')
    assert "is gone" in problem_of(client, run_id)


@pytest.mark.parametrize(
    ("data", "said"), [(b"\xff\xfe", "not text"), (b"{}", "was changed"), (b"", "was changed")]
)
def test_a_corrupt_artifact_is_not_believed(
    client: MlflowClient, run_id: str, tmp_path: Path, data: bytes, said: str
) -> None:
    """Bytes that are no profile are a problem, never a traceback."""
    log_feature_profile(FRAME, run=run_id)
    (tmp_path / ARTIFACT).write_bytes(data)
    client.log_artifact(run_id, str(tmp_path / ARTIFACT))
    assert said in problem_of(client, run_id)


def test_a_directory_in_the_artifacts_place_is_not_believed(
    client: MlflowClient, run_id: str
) -> None:
    """Data logged under the profile's name is not read."""
    client.log_text(run_id, "1", f"{ARTIFACT}/part-0")
    assert "is a directory" in problem_of(client, run_id)


def test_the_older_run_parameter_is_read(client: MlflowClient, run_id: str) -> None:
    """Runs from before the call keep their evidence, with what had to be assumed."""
    client.log_param(run_id, "feature_stats", '{"x": {"buckets": [0, 1, 2], "counts": [2, 3]}}')
    profile, problem = read_training_profile(client, run_id)
    assert problem is None
    assert profile is not None
    assert profile.rows == 5
    assert profile.source.startswith("feature_stats")


def test_a_run_parameter_that_mlflow_cut_is_told_as_such(client: MlflowClient, run_id: str) -> None:
    """MLflow cuts a long parameter with no more than a log line; the reader says so."""
    stats = {f"f{i}": {"buckets": [0, 1, 2], "counts": [2, 3]} for i in range(300)}
    client.log_param(run_id, "feature_stats", json.dumps(stats))
    assert "MLflow cut it at 6000" in problem_of(client, run_id)


def test_an_absent_run_is_mlflows_error(client: MlflowClient) -> None:
    """That MLflow does not know the run is another thing than a run without a profile."""
    with pytest.raises(MlflowException, match="not found"):
        read_training_profile(client, "0" * 32)


def test_importing_the_package_does_not_import_mlflow() -> None:
    """The training call is exported lazily, so domain code stays free of MLflow."""
    code = (
        "import sys, promotion_assets; assert 'mlflow' not in sys.modules; "
        "assert promotion_assets.log_feature_profile.__name__ == 'log_feature_profile'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="no attribute 'log_profile'"):
        promotion_assets.log_profile  # noqa: B018
