"""Training feature profiles in MLflow: logged with one call, read back with their digest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promotion_assets.adapters.artifact_download import check_size
from promotion_assets.canonical import digest_bytes
from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation import profile_io
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.profiling import profile_frame

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.tracking import MlflowClient

ARTIFACT = "feature_profile.json"
DIGEST_TAG = "promotion.feature_profile.sha256"
LEGACY_PARAM = "feature_stats"
SIZE_LIMIT = 64 * 1024**2


def log_feature_profile(
    df: pd.DataFrame | FeatureProfile, *, run: Any | None = None
) -> FeatureProfile:
    """Log the profile of the training features to an MLflow run, for the drift gate to compare.

    Args:
        df: the training features, as the model gets them; or their profile, for data that does
            not fit in memory (see :func:`promotion_assets.evaluation.profiling.profile_parquet`).
        run: a run, or its id; the active run where not given.

    Raises:
        UsageError: no run is active and none is given, or there is nothing to profile.
    """
    import mlflow
    from mlflow.tracking import MlflowClient

    doing = "Logging the training feature profile"
    profile = df if isinstance(df, FeatureProfile) else profile_frame(df)
    fault = profile_io.fault_of(profile)
    if fault:
        raise UsageError(doing, fault, "give the rows that the model is trained on")
    target = run if run is not None else mlflow.active_run()
    if target is None:
        raise UsageError(
            doing, "no MLflow run is active", "call it inside `with mlflow.start_run():`"
        )
    run_id = target if isinstance(target, str) else target.info.run_id
    text = profile_io.dump(profile)
    client = MlflowClient()
    client.log_text(run_id, text, ARTIFACT)
    client.set_tag(run_id, DIGEST_TAG, digest_bytes(text.encode()))
    return profile


def read_training_profile(
    client: MlflowClient, run_id: str
) -> tuple[FeatureProfile | None, str | None]:
    """Return the profile that a run logged, or a sentence that says why there is none.

    The artifact counts only with the digest in the run's tag; where there is no artifact, the
    run parameter ``feature_stats`` is read.

    Raises:
        mlflow.exceptions.MlflowException: the run is not there, or MLflow does not answer.
    """
    run = client.get_run(run_id)
    doing = f"Reading the training feature profile of run {run_id}"
    expected = run.data.tags.get(DIGEST_TAG)
    try:
        text = _artifact_text(client, run_id, doing)
        if text is not None:
            return _verified(text, expected, doing), None
        if expected is not None:
            raise EvidenceMissing(
                doing,
                f"the artifact {ARTIFACT} is gone, and the run's tag names its digest",
                "log the profile again with promotion_assets.log_feature_profile(df)",
            )
        stats = run.data.params.get(LEGACY_PARAM)
        return profile_io.read_feature_stats(stats, doing=doing), None
    except EvidenceMissing as error:
        return None, str(error)


def _artifact_text(client: MlflowClient, run_id: str, doing: str) -> str | None:
    listed = {entry.path: entry for entry in client.list_artifacts(run_id)}
    entry = listed.get(ARTIFACT)
    if entry is None:
        return None
    if entry.is_dir or (entry.file_size or 0) > SIZE_LIMIT:
        raise EvidenceMissing(
            doing,
            f"the artifact {ARTIFACT} is a directory or larger than {SIZE_LIMIT} bytes",
            "log a profile, not the data",
        )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(client.download_artifacts(run_id, ARTIFACT, directory))
        if entry.file_size is not None:
            check_size(path, entry.file_size)
        try:
            return path.read_bytes().decode()
        except UnicodeDecodeError as error:
            raise EvidenceMissing(
                doing,
                f"the artifact {ARTIFACT} is corrupt: it is not text",
                "log the profile again with promotion_assets.log_feature_profile(df)",
            ) from error


def _verified(text: str, expected: str | None, doing: str) -> FeatureProfile:
    found = digest_bytes(text.encode())
    if expected is None:
        raise EvidenceMissing(
            doing,
            f"the run has the artifact {ARTIFACT} and no tag {DIGEST_TAG} to prove it",
            "log the profile with promotion_assets.log_feature_profile(df)",
        )
    if found != expected:
        raise EvidenceMissing(
            doing,
            f"the artifact {ARTIFACT} was changed: its digest is {found}, the tag says {expected}",
            "find out who changed it, and log the profile again",
        )
    return profile_io.load(text, doing=doing)
