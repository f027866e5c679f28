"""S3 with Object Lock as a place for checkpoints: what is kept there outlives its administrator.

Object Lock keeps versions, not names: whoever may write can lay another version or a delete marker
over a checkpoint. So every version below the prefix is read, and a checkpoint is named by its
VersionId. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from promotion_assets.errors import StorageUnreachable, UsageError

MODES = ("COMPLIANCE", "GOVERNANCE")
DEFAULT_DAYS = 365
# A checkpoint has a few lines; what is larger was not written by us.
MOST_BYTES = 64 * 1024
FORM = "s3://BUCKET/PREFIX?mode=compliance&days=365, mode and days being optional"


@dataclass(frozen=True)
class S3Place:
    """Checkpoints as locked objects below a prefix of one bucket.

    Attributes:
        mode: ``COMPLIANCE``, where nobody at all removes a version before its time, or
            ``GOVERNANCE``, where who has the right for it does.
        days: how long each checkpoint is kept from being removed.
    """

    bucket: str
    prefix: str
    clock: Callable[[], datetime]
    mode: str = "COMPLIANCE"
    days: int = DEFAULT_DAYS

    @classmethod
    def of(cls, url: str, clock: Callable[[], datetime]) -> S3Place:
        """Return the place that ``url`` names, in the form of ``FORM``.

        Raises:
            UsageError: it is not of that form.
        """
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        mode, days = given.pop("mode", MODES[0]).upper(), given.pop("days", str(DEFAULT_DAYS))
        whole = parts.scheme == "s3" and parts.netloc and not parts.fragment and not given
        if not whole or mode not in MODES or not days.isdecimal() or int(days) < 1:
            raise UsageError(
                "open the place for checkpoints", f"{url!r} is not of the form expected", FORM
            )
        return cls(parts.netloc, parts.path.strip("/"), clock, mode, int(days))

    @property
    def name(self) -> str:
        """Bucket and prefix."""
        return f"s3://{self.bucket}/{self.prefix}"

    def publish(self, size: int, note: str) -> str:
        """Write ``checkpoint-<size>.txt``, locked, unless it is there; return its version.

        Raises:
            StorageUnreachable: it could not be written, is not locked, or is there already and
                says something else.
        """
        key = self._key(f"checkpoint-{size:012d}.txt")
        with self._answering("publish a checkpoint"):
            version = self._there(key, note)
            if version is None:
                put = self._client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=note.encode(),
                    ContentType="text/plain; charset=utf-8",
                    ChecksumAlgorithm="SHA256",
                    ObjectLockMode=self.mode,
                    ObjectLockRetainUntilDate=self.clock() + timedelta(days=self.days),
                )
                version = str(put.get("VersionId", ""))
            self._check_locked(key, version)
        return f"s3://{self.bucket}/{key}?versionId={version}"

    def held(self) -> Iterable[str]:
        """Read every version of every checkpoint, those that something was laid over included."""
        with self._answering("read the checkpoints"):
            return [
                self._read(found["Key"], found["VersionId"])
                for found in self._versions(self._key("checkpoint-"))
                if found["Size"] <= MOST_BYTES
            ]

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
        except ImportError as error:
            raise UsageError(
                f"open {self.name}",
                "boto3 is not installed",
                "install the extra: pip install 'promotion-assets[s3]'",
            ) from error
        return boto3.client("s3")

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            yield from page.get("Versions", [])

    def _there(self, key: str, note: str) -> str | None:
        """Return the locked version that says ``note``."""
        found = [v for v in self._versions(key) if v["Key"] == key]
        for version in found:
            if version["Size"] <= MOST_BYTES and self._read(key, version["VersionId"]) == note:
                return str(version["VersionId"])
        if found:
            raise StorageUnreachable(
                f"publish a checkpoint to {self.name}",
                f"{key} is there already and says something else",
                "run `promotion audit verify`: two histories of one ledger exist",
            )
        return None

    def _read(self, key: str, version: str) -> str:
        got = self._client.get_object(Bucket=self.bucket, Key=key, VersionId=version)
        # What is no text is no checkpoint either; verification says so.
        return str(got["Body"].read(MOST_BYTES).decode("utf-8", errors="replace"))

    def _check_locked(self, key: str, version: str) -> None:
        # By HEAD: it needs no right of its own, and not every store answers GetObjectRetention.
        head = self._client.head_object(Bucket=self.bucket, Key=key, VersionId=version)
        until = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockMode") not in MODES or until is None or until <= self.clock():
            raise StorageUnreachable(
                f"publish a checkpoint to {self.name}",
                f"version {version or 'null'} of {key} is not locked",
                "use a bucket that was made with Object Lock",
            )

    @contextmanager
    def _answering(self, doing: str) -> Iterator[None]:
        client = self._client
        from botocore.exceptions import BotoCoreError, ClientError

        assert client is not None
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StorageUnreachable(
                f"{doing} at {self.name}",
                str(error),
                "check the bucket's name, its Object Lock and the AWS credentials; the ledger "
                "itself is unharmed",
            ) from error
