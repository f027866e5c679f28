"""A sample of pairs that can be merged: the same whatever the order and the batches.

Of all events those are kept whose ids have the smallest hashes. That is a uniform sample without
replacement of any stream, and the sample of two streams together is made of their two samples
(E. Cohen, H. Kaplan, Summarizing data using bottom-k sketches, PODC 2007). Up to its size it is
everything.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SIZE = 200_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairSample:
    """Pairs of answers, at most ``size``, those with the smallest keys.

    Attributes:
        table: ``key`` and the columns of :data:`COLUMNS`, in order of the keys.
        seen: pairs that it was drawn from.
    """

    table: pa.Table
    seen: int = 0
    size: int = SIZE

    @classmethod
    def empty(cls, size: int = SIZE) -> PairSample:
        """Return the sample of nothing."""
        return cls(SCHEMA.empty_table(), 0, size)

    def add(self, pairs: pa.Table) -> PairSample:
        """Return the sample of what this one was drawn from and of ``pairs``.

        Args:
            pairs: ``event_id`` and the columns of :data:`COLUMNS`.
        """
        keyed = pa.table({"key": keys_of(pairs.column("event_id").to_pylist())})
        for name in COLUMNS:
            keyed = keyed.append_column(name, pairs.column(name))
        return self._with(keyed.cast(SCHEMA), pairs.num_rows)

    def merge(self, other: PairSample) -> PairSample:
        """Return the sample of both streams together; no event may be in both."""
        return self._with(other.table, other.seen)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def values(self, name: str) -> Floats:
        """Return a column of numbers."""
        found: Floats = self.table.column(name).to_numpy()
        return found

    def _with(self, more: pa.Table, seen: int) -> PairSample:
        if len(self) == self.size:
            # A full sample takes fewer and fewer: no need to sort what cannot stay.
            more = more.filter(pc.less(more.column("key"), self.table.column("key")[-1]))
        table = pa.concat_tables([self.table, more]).sort_by("key").slice(0, self.size)
        return PairSample(table.combine_chunks(), self.seen + seen, self.size)


COLUMNS = (
    "time_us",
    "request_id",
    "production_score",
    "shadow_score",
    "production_latency_ms",
    "shadow_latency_ms",
)
SCHEMA = pa.schema(
    [
        ("key", pa.uint64()),
        ("time_us", pa.int64()),
        ("request_id", pa.string()),
        ("production_score", pa.float64()),
        ("shadow_score", pa.float64()),
        ("production_latency_ms", pa.float64()),
        ("shadow_latency_ms", pa.float64()),
    ]
)


def keys_of(event_ids: list[str]) -> npt.NDArray[np.uint64]:
    """Return the first 64 bits of each id's SHA-256."""
    joined = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in event_ids)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)
