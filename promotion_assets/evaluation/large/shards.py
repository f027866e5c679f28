"""The stretches of rows that are worked on together, and the file that they lie in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from promotion_assets.errors import EvidenceMissing, IntegrityError
from promotion_assets.evaluation.row_ranges import batches_between

READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Shard:
    """``rows`` rows from row ``first`` on; ``number`` counts shards from 0."""

    number: int
    first: int
    rows: int


def shards_of(rows: int, shard_rows: int) -> tuple[Shard, ...]:
    """Return the shards of a dataset of ``rows`` rows."""
    return tuple(
        Shard(number, first, min(shard_rows, rows - first))
        for number, first in enumerate(range(0, rows, shard_rows))
    )


@dataclass(frozen=True)
class Snapshot:
    """A dataset version's file, and what would show that somebody changes it while it is read.

    Attributes:
        path: one Parquet file in the store, which every worker must reach by this path.
        rows: how many it holds.
        fingerprint: size, modification time and inode.
    """

    path: Path
    rows: int
    fingerprint: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path) -> Snapshot:
        """Return the snapshot at ``path`` as it is now.

        Raises:
            EvidenceMissing: there is none.
            IntegrityError: it is no Parquet file.
        """
        try:
            rows = pq.read_metadata(path).num_rows
            return cls(path, rows, _fingerprint(path))
        except FileNotFoundError:
            raise EvidenceMissing(
                "reading an evaluation dataset version",
                f"there is no snapshot {path}",
                "materialise the evaluation dataset again",
            ) from None
        except (OSError, pa.ArrowException) as error:
            raise _changed(path, f"it cannot be read ({str(error)[:120]})") from error

    @contextmanager
    def opened(self) -> Iterator[pq.ParquetFile]:
        """Open the file, and prove that it was the same before and after.

        Raises:
            IntegrityError: it is not the file that this snapshot was made of, or is damaged.
        """
        self.verify()
        try:
            with pq.ParquetFile(self.path, buffer_size=READ_BYTES, pre_buffer=False) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise self.changed(f"it cannot be read ({str(error)[:120]})") from error
        self.verify()

    def read(self, shard: Shard, columns: Sequence[str]) -> pa.Table:
        """Return a shard's rows of some columns.

        Raises:
            IntegrityError: as :meth:`opened`; or there are not as many rows as there were.
        """
        with self.opened() as file:
            batches = list(
                batches_between(file, columns, shard.first, shard.rows, max(shard.rows, 1))
            )
        found = sum(batch.num_rows for batch in batches)
        if found != shard.rows:
            raise self.changed(f"shard {shard.number} has {found} of {shard.rows} rows")
        return pa.Table.from_batches(batches)

    def changed(self, how: str) -> IntegrityError:
        """Return the error for a file that is not what it was."""
        return _changed(self.path, how)

    def verify(self) -> None:
        """Prove that the file is the one that this snapshot was made of.

        Raises:
            IntegrityError: it is not.
        """
        try:
            now = _fingerprint(self.path)
        except OSError as error:
            raise self.changed(f"it is gone ({error.strerror})") from error
        if now != self.fingerprint:
            raise self.changed("it is another file than when it was opened")


def _fingerprint(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _changed(path: Path, how: str) -> IntegrityError:
    return IntegrityError(
        "reading an evaluation dataset version shard by shard",
        f"the snapshot {path} changed while it was read: {how}",
        "find out who changed it, move the directory away and materialise the dataset again",
    )
