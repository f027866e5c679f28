from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.paginate import Paginator
from moto import mock_aws

from promotion_assets.adapters.checkpoint_s3 import S3Place
from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.checkpoint import Checkpointer
from promotion_assets.audit.verify import verify
from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import SIGNER, evaluated, new_ledger

KEYS = [SIGNER.public_key]
URL = "s3://checkpoints/ledger"


def now() -> datetime:
    """The store has a clock of its own, so the time is the real one."""
    return datetime.now(UTC)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """S3 as moto emulates it, with one bucket that locks and one that does not."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="checkpoints", ObjectLockEnabledForBucket=True)
        client.create_bucket(Bucket="plain-bucket")
        yield client


@pytest.fixture
def place() -> S3Place:
    """The place in the bucket that locks."""
    return S3Place.of(URL, now)


def parts(held_at: str) -> tuple[str, str]:
    """Return key and VersionId of what was published."""
    key, _, version = held_at.removeprefix("s3://checkpoints/").partition("?versionId=")
    return key, version


def test_a_checkpoint_is_locked_and_named_by_its_version(
    s3: Any, place: S3Place, ledger: DatabaseLedger, clock: Clock
) -> None:
    """Nobody removes the version that was recorded; it verifies the ledger."""
    ledger.append([evaluated("1", clock)])
    published = Checkpointer(ledger, SIGNER, [place]).publish()
    assert published.failed == ()
    key, version = parts(published.held_at[0])
    head = s3.head_object(Bucket="checkpoints", Key=key, VersionId=version)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    kept = head["ObjectLockRetainUntilDate"] - now()
    assert timedelta(days=364) < kept <= timedelta(days=365)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="checkpoints", Key=key, VersionId=version)
    found = verify(ledger.entries(), KEYS, place.held())
    assert (found.valid, found.checkpoints) == (True, 1)


def test_the_same_checkpoint_is_kept_once(s3: Any, place: S3Place) -> None:
    """Publishing again gives the version that is there, also below what was laid over it."""
    first = place.publish(3, "a note\n")
    assert place.publish(3, "a note\n") == first
    assert list(place.held()) == ["a note\n"]
    key, _ = parts(first)
    s3.delete_object(Bucket="checkpoints", Key=key)
    assert place.publish(3, "a note\n") == first


def test_what_is_laid_over_a_checkpoint_hides_nothing(
    s3: Any, place: S3Place, tmp_path: Path, clock: Clock
) -> None:
    """A tail that was cut off is found in spite of an overwritten and a deleted checkpoint."""
    ledger = new_ledger(tmp_path, clock)
    ledger.append([evaluated(v, clock) for v in "123"])
    published = Checkpointer(ledger, SIGNER, [place]).publish()
    kept = list(ledger.entries())[:2]
    ledger.close()
    key, _ = parts(published.held_at[0])
    s3.put_object(Bucket="checkpoints", Key=key, Body=b"nothing to see here")
    s3.delete_object(Bucket="checkpoints", Key=key)
    found = verify(kept, KEYS, place.held())
    assert {"truncated", "checkpoint"} == {problem.kind for problem in found.problems}


def test_two_histories_are_not_published_under_one_name(s3: Any, place: S3Place) -> None:
    """Another note of the same size is refused, and the reader told what that means."""
    place.publish(3, "a note\n")
    with pytest.raises(StorageUnreachable, match="two histories"):
        place.publish(3, "another note\n")
    assert list(place.held()) == ["a note\n"]


@pytest.mark.parametrize("bucket", ["plain-bucket", "no-such-bucket"])
def test_a_bucket_without_object_lock_holds_no_checkpoint(s3: Any, bucket: str) -> None:
    """It is named as failed, and the checkpoint is not counted as held there."""
    place = S3Place.of(f"s3://{bucket}", now)
    with pytest.raises(StorageUnreachable, match=bucket):
        place.publish(3, "a note\n")


def test_a_checkpoint_that_lost_its_lock_is_not_held(s3: Any, place: S3Place) -> None:
    """The same note without a lock does not count as the checkpoint."""
    s3.put_object(Bucket="checkpoints", Key="ledger/checkpoint-000000000003.txt", Body=b"a note\n")
    with pytest.raises(StorageUnreachable, match="not locked"):
        place.publish(3, "a note\n")


def test_more_checkpoints_than_a_page_are_all_read(
    s3: Any, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing goes on past its first page, here of two."""
    whole = Paginator.paginate

    def small(self: Any, **asked: Any) -> Any:
        return whole(self, **asked, PaginationConfig={"PageSize": 2})

    monkeypatch.setattr(Paginator, "paginate", small)
    for number in range(5):
        key = f"ledger/checkpoint-{number:012d}.txt"
        s3.put_object(Bucket="checkpoints", Key=key, Body=str(number).encode())
    s3.put_object(Bucket="checkpoints", Key="ledger/other.txt", Body=b"no")
    assert sorted(map(int, place.held())) == list(range(5))


def test_mode_and_days_are_said_in_the_address() -> None:
    """Compliance for a year unless told otherwise."""
    assert S3Place.of("s3://bucket/a/b/?mode=governance&days=30", now) == S3Place(
        "bucket", "a/b", now, "GOVERNANCE", 30
    )
    assert (S3Place.of("s3://bucket", now).mode, S3Place.of("s3://bucket", now).days) == (
        "COMPLIANCE",
        365,
    )


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///x", "http://b", "s3://b?mode=weak", "s3://b?days=0", "s3://b?dys=3"]
)
def test_an_address_that_is_none_is_wrong_use(url: str) -> None:
    """A typo never means a weaker lock."""
    with pytest.raises(UsageError, match="BUCKET/PREFIX"):
        S3Place.of(url, now)


def test_without_the_extra_the_reader_is_told_its_name(
    place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 is needed by those who use it."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError, match=r"promotion-assets\[s3\]"):
        place.publish(1, "a note\n")


def test_the_environment_names_the_bucket(tmp_path: Path) -> None:
    """``PROMOTION_CHECKPOINTS`` is a folder, or an address of S3; both go beside our own."""
    (tmp_path / "promotion.yaml").write_text(
        "models: {m: {task: binary, dataset: {uri: r.parquet, label: y}, gates: {accuracy: {}}}}"
    )
    for named, expected in ((URL, URL), (str(tmp_path / "held"), str(tmp_path / "held"))):
        workspace = Workspace.open(
            config=tmp_path / "promotion.yaml",
            environ={
                "PROMOTION_CHECKPOINTS": named,
                "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/m.db",
            },
        )
        names = [place.name for place in workspace.checkpoint_places]
        assert names[:2] == [str(workspace.home / "checkpoints"), expected]
