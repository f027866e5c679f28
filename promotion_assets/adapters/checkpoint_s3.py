"""An S3 bucket with Object Lock as a place for checkpoints: nobody shortens what it retains.

Object Lock keeps versions of an object, not its name: an object can be written over, and hidden
by a delete marker. So every version is read back, and what was published first is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from promotion_assets.errors import StorageUnreachable, UsageError

if TYPE_CHECKING:
    from types import ModuleType

RETENTION = timedelta(days=3650)


@dataclass(frozen=True)
class S3Place:
    """Checkpoints as objects in a bucket, retained in compliance mode.

    Attributes:
        client: an S3 client of boto3.
        clock: gives the time now, with its time zone.
        retention: how long a checkpoint cannot be removed by anybody.
    """

    client: Any
    bucket: str
    clock: Callable[[], datetime]
    prefix: str = "checkpoints/"
    retention: timedelta = RETENTION

    @property
    def name(self) -> str:
        """Bucket and prefix."""
        return f"s3://{self.bucket}/{self.prefix}"

    def publish(self, size: int, note: str) -> str:
        """Put the checkpoint as an object; return its address with the version that is locked."""
        key = f"{self.prefix}checkpoint-{size:012d}.txt"
        with _spoken(f"publish a checkpoint to {self.name}"):
            written = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=note.encode(),
                ContentType="text/plain; charset=utf-8",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=self.clock() + self.retention,
            )
            version = written.get("VersionId")
            seen = self.client.head_object(Bucket=self.bucket, Key=key, VersionId=version or "null")
        if not version or seen.get("ObjectLockMode") != "COMPLIANCE":
            raise StorageUnreachable(
                f"publish a checkpoint to {self.name}",
                f"{key} was written and is not locked: whoever may delete there can remove it",
                "switch Object Lock on for the bucket, or name one that has it in "
                "PROMOTION_CHECKPOINTS",
            )
        return f"s3://{self.bucket}/{key}?versionId={version}"

    def held(self) -> Iterable[str]:
        """Read every version of every checkpoint, those under a delete marker too."""
        with _spoken(f"read the checkpoints in {self.name}"):
            pages = self.client.get_paginator("list_object_versions").paginate(
                Bucket=self.bucket, Prefix=self.prefix
            )
            return [
                self.client.get_object(
                    Bucket=self.bucket, Key=found["Key"], VersionId=found["VersionId"]
                )["Body"]
                .read()
                .decode("utf-8", errors="replace")
                for page in pages
                for found in page.get("Versions", ())
            ]


def open_s3_place(url: str, clock: Callable[[], datetime]) -> S3Place:
    """Return the place that ``s3://bucket/prefix`` names, with the environment's credentials.

    Raises:
        UsageError: if the URL names no bucket, or boto3 is not installed.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or "@" in bucket:
        # Whoever writes credentials into an address must not find them in a message.
        raise UsageError(
            "publish checkpoints to the place that PROMOTION_CHECKPOINTS names",
            "it holds credentials, which are taken from the environment"
            if "@" in url
            else f"{url!r} is no address of a bucket",
            "write s3://bucket/prefix",
        )
    client = _boto3(url).client("s3")
    return S3Place(client, bucket, clock, f"{prefix.rstrip('/')}/" if prefix else "checkpoints/")


def _boto3(url: str) -> ModuleType:
    try:
        import boto3
    except ImportError as error:
        raise UsageError(
            f"publish checkpoints to {url}",
            "boto3 is not installed",
            "run `pip install 'promotion-assets[s3]'`",
        ) from error
    found: ModuleType = boto3
    return found


@contextmanager
def _spoken(doing: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StorageUnreachable(
            doing,
            str(error).splitlines()[0],
            "see that the bucket of PROMOTION_CHECKPOINTS exists, has Object Lock, and that the "
            "AWS credentials of this process may put and read objects there",
        ) from error
