from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from promotion_assets.adapters.checkpoint_s3 import S3Place, open_s3_place
from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.checkpoint import Checkpointer
from promotion_assets.audit.verify import verify
from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import SIGNER, clock, evaluated, ledger

__all__ = ["clock", "ledger"]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 of the tests' own, in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("s3")


@pytest.fixture
def place(client: Any, clock: Clock) -> S3Place:
    """A bucket with Object Lock."""
    client.create_bucket(Bucket="held", ObjectLockEnabledForBucket=True)
    return S3Place(client, "held", clock)


def test_a_checkpoint_is_locked_and_cannot_be_removed(
    place: S3Place, client: Any, ledger: DatabaseLedger, clock: Clock
) -> None:
    """The version that was published is named, retained for years, and refuses deletion."""
    ledger.append([evaluated("1", clock)])
    published = Checkpointer(ledger, SIGNER, [place]).publish()
    assert published.failed == ()
    address = published.held_at[0]
    key, version = address.removeprefix("s3://held/").split("?versionId=")
    seen = client.head_object(Bucket="held", Key=key, VersionId=version)
    assert seen["ObjectLockMode"] == "COMPLIANCE"
    assert (seen["ObjectLockRetainUntilDate"] - clock()).days >= 3649
    with pytest.raises(ClientError, match=r"Access Denied|AccessDenied"):
        client.delete_object(Bucket="held", Key=key, VersionId=version)
    assert list(place.held()) == [published.note]


def test_what_was_written_over_or_hidden_is_still_read(
    place: S3Place, client: Any, ledger: DatabaseLedger, clock: Clock
) -> None:
    """A cut tail is found although somebody wrote over the checkpoint and deleted it."""
    ledger.append([evaluated(version, clock) for version in "123"])
    Checkpointer(ledger, SIGNER, [place]).publish()
    key = "checkpoints/checkpoint-000000000003.txt"
    client.put_object(Bucket="held", Key=key, Body=b"never mind")
    client.delete_object(Bucket="held", Key=key)
    entries = list(ledger.entries())
    found = verify(entries, [SIGNER.public_key], place.held())
    assert [problem.kind for problem in found.problems] == ["checkpoint"]
    found = verify(entries[:2], [SIGNER.public_key], place.held())
    assert ("truncated", 3) in [(problem.kind, problem.sequence) for problem in found.problems]


def test_a_bucket_that_does_not_lock_is_no_place(client: Any, clock: Clock) -> None:
    """A checkpoint that anybody could remove is not reported as held."""
    client.create_bucket(Bucket="open")
    for bucket in ("open", "absent"):
        with pytest.raises(StorageUnreachable, match="Object Lock"):
            S3Place(client, bucket, clock).publish(1, "note")
    with pytest.raises(StorageUnreachable, match="credentials"):
        list(S3Place(client, "absent", clock).held())


def test_a_place_is_named_by_its_url(
    client: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bucket and prefix come from the URL; a wrong one, or a missing library, is wrong use."""
    assert open_s3_place("s3://held/ledger/prod", clock).name == "s3://held/ledger/prod/"
    assert open_s3_place("s3://held", clock).name == "s3://held/checkpoints/"
    for url in ("held", "s3://", "https://held"):
        with pytest.raises(UsageError, match="s3://bucket/prefix"):
            open_s3_place(url, clock)
    for url in ("s3://id:secret@held/ledger", "https://id:secret@held"):
        with pytest.raises(UsageError) as caught:
            open_s3_place(url, clock)
        assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError, match=r"promotion-assets\[s3\]"):
        open_s3_place("s3://held", clock)
