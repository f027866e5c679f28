from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from promotion_assets.errors import UsageError
from promotion_assets.pipeline.workspace import Workspace


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 as moto emulates it, with a bucket that locks."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="held", ObjectLockEnabledForBucket=True)
        yield client


def opened(folder: Path, **environ: str) -> Workspace:
    """Open the platform on a policy of one model, with a registry that does not answer."""
    config = folder / "promotion.yaml"
    config.write_text(
        "models: {m: {task: binary, dataset: {uri: r.parquet, label: y}, gates: {accuracy: {}}}}"
    )
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    return Workspace.open(config=config, environ=nowhere | environ)


def test_checkpoints_are_published_to_the_bucket_that_the_environment_names(
    s3: Any, tmp_path: Path
) -> None:
    """``PROMOTION_CHECKPOINTS`` as an address of S3 is a place beside our own folder."""
    workspace = opened(tmp_path, PROMOTION_CHECKPOINTS="s3://held/ledger")
    (place,) = workspace.named_places
    names = [place.name for place in workspace.checkpoint_places]
    assert names[:2] == [str(workspace.home / "checkpoints"), place.name]
    address = place.publish(3, "a note\n")
    version = address.partition("?versionId=")[2]
    found = s3.list_object_versions(Bucket="held", Prefix="ledger/")["Versions"]
    assert [v["VersionId"] for v in found] == [version]
    assert list(place.held()) == ["a note\n"]


def test_a_folder_is_a_place_and_nothing_named_is_none(tmp_path: Path) -> None:
    """A path stays a path, and without a name there is only our own folder and MLflow."""
    held = tmp_path / "held"
    (place,) = opened(tmp_path, PROMOTION_CHECKPOINTS=str(held)).named_places
    assert place.name == str(held)
    assert opened(tmp_path).named_places == ()


def test_an_address_without_a_bucket_is_wrong_use(tmp_path: Path) -> None:
    """A typo is told, and never read as a folder."""
    with pytest.raises(UsageError, match="s3://bucket/prefix"):
        opened(tmp_path, PROMOTION_CHECKPOINTS="s3:/held/ledger").named_places  # noqa: B018
