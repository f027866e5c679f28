"""From the event log to sufficient statistics, in one pass over what is new.

The tally remembers of each unit only what keeps it from counting twice, so an event that is read
again changes nothing, and a tally that was lost is made again from the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from promotion_assets.rollout.statistics import (
    ERROR,
    SLICES,
    ArmCounts,
    ArmDecisions,
    Slice,
    Statistics,
    StepCounts,
)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = -1
STABLE, CANDIDATE = 0, 1


@dataclass(frozen=True)
class StepTime:
    """When a step began, and how long each of its slices is.

    Attributes:
        share: basis points, by which its events are recognised; no two steps have the same.
    """

    share: int
    began_us: int
    slice_us: int


@dataclass(frozen=True)
class Counting:
    """What is counted.

    Attributes:
        salt: of the rollout; events of other ones are not counted.
        steps: those that have begun, in order.
        thresholds: milliseconds by kind of event, in the order of the policy's quantiles.
        decided_from: from which score on a decision is positive.
    """

    salt: str
    steps: tuple[StepTime, ...]
    thresholds: Mapping[str, float]
    decided_from: float | None = 0.5

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of event that is counted."""
        return (ERROR, *self.thresholds)


@dataclass
class Units:
    """What is remembered of units, in order of ``key``.

    Attributes:
        had: bit ``i`` says that it had the event of kind ``i``.
        slice, step: the last in which it was counted.
        decided: the last step in which its decision was counted.
    """

    key: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    had: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    slice: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    step: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))
    decided: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))

    def places(self, keys: npt.NDArray[np.uint64]) -> tuple[Ints, Bools]:
        """Return where ``keys``, sorted and distinct, stand, and which of them are new."""
        at = np.searchsorted(self.key, keys)
        known = np.zeros(len(keys), dtype=np.bool_)
        inside = at < len(self.key)
        known[inside] = self.key[at[inside]] == keys[inside]
        new = ~known
        if new.any():
            before = at[new]
            self.key = np.insert(self.key, before, keys[new])
            self.had = np.insert(self.had, before, 0)
            self.slice = np.insert(self.slice, before, _NEVER)
            self.step = np.insert(self.step, before, _NEVER)
            self.decided = np.insert(self.decided, before, _NEVER)
            at = np.searchsorted(self.key, keys)
        return at.astype(np.int64), new


class Tally:
    """Counts of one rollout, to which batches of events are added."""

    def __init__(self, counting: Counting) -> None:
        self.counting = counting
        self.units = Units()
        # By slice of the whole rollout: by arm (requests, units, new units, at risk …, events …).
        self.slices: dict[int, Ints] = {}
        # By step: by arm (units, decided, positive).
        self.steps: dict[int, Ints] = {}
        self.last_us = 0
        # Requests until then were counted before: they have no unit of their own to tell by.
        self.read_before_us = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch of requests, which are in order of time."""
        rows = _rows_of(batch, self.counting)
        if rows is None:
            return
        self.last_us = max(self.last_us, int(rows.time_us.max()))
        for place in np.unique(rows.slice):
            self._add_slice(int(place), rows.where(rows.slice == place))

    def statistics(self, drops: Mapping[str, int]) -> Statistics:
        """Return what was counted so far."""
        kinds = self.counting.kinds
        slices = tuple(
            Slice(
                step=place // SLICES,
                number=place % SLICES,
                share=self.counting.steps[place // SLICES].share,
                candidate=_arm(counts[CANDIDATE], kinds),
                stable=_arm(counts[STABLE], kinds),
            )
            for place, counts in sorted(self.slices.items())
        )
        steps = tuple(
            StepCounts(
                step=number,
                share=self.counting.steps[number].share,
                candidate=ArmDecisions(*(int(n) for n in counts[CANDIDATE])),
                stable=ArmDecisions(*(int(n) for n in counts[STABLE])),
            )
            for number, counts in sorted(self.steps.items())
        )
        return Statistics(
            slices=slices,
            steps=steps,
            thresholds=dict(self.counting.thresholds),
            drops=dict(drops),
            read_until=_EPOCH + timedelta(microseconds=self.last_us) if self.last_us else None,
        )

    def _add_slice(self, place: int, rows: _Rows) -> None:
        step = place // SLICES
        keys, first, inverse = np.unique(rows.key, return_index=True, return_inverse=True)
        arm = rows.arm[first]
        at, new = self.units.places(keys)
        kinds = len(self.counting.kinds)
        counts = self.slices.setdefault(place, np.zeros((2, 3 + 2 * kinds), dtype=np.int64))
        unread = rows.time_us > self.read_before_us
        counts[:, 0] += np.bincount(rows.arm[unread], minlength=2)
        # A unit that was counted in a later slice is read again or came late: it is left alone.
        current = self.units.slice[at] <= place
        entering = self.units.slice[at] < place
        counts[:, 1] += _by_arm(arm, entering)
        counts[:, 2] += _by_arm(arm, new)
        self.units.slice[at[entering]] = place
        for number, happened in enumerate(rows.events):
            bit = np.uint8(1 << number)
            free = (self.units.had[at] & bit) == 0
            counts[:, 3 + number] += _by_arm(arm, entering & free)
            had = np.zeros(len(keys), dtype=np.bool_)
            had[inverse[happened]] = True
            fresh = had & free & current
            counts[:, 3 + kinds + number] += _by_arm(arm, fresh)
            self.units.had[at[fresh]] |= bit
        self._add_step(step, rows, at, arm, inverse)

    def _add_step(self, step: int, rows: _Rows, at: Ints, arm: Ints, inverse: Ints) -> None:
        counts = self.steps.setdefault(step, np.zeros((2, 3), dtype=np.int64))
        entering = self.units.step[at] < step
        counts[:, 0] += _by_arm(arm, entering)
        self.units.step[at[entering]] = step
        scored = np.flatnonzero(~np.isnan(rows.score))
        if self.counting.decided_from is None or not len(scored):
            return
        # Of each unit, the first row with a score.
        units, first = np.unique(inverse[scored], return_index=True)
        undecided = self.units.decided[at[units]] < step
        units, first = units[undecided], first[undecided]
        positive = rows.score[scored[first]] >= self.counting.decided_from
        counts[:, 1] += np.bincount(arm[units], minlength=2)
        counts[:, 2] += np.bincount(arm[units][positive], minlength=2)
        self.units.decided[at[units]] = step


@dataclass(frozen=True)
class _Rows:
    """Those requests of a batch that count, as arrays."""

    time_us: Ints
    key: npt.NDArray[np.uint64]
    arm: Ints
    slice: Ints
    score: npt.NDArray[np.float64]
    events: tuple[Bools, ...]

    def where(self, kept: Bools) -> _Rows:
        return _Rows(
            self.time_us[kept],
            self.key[kept],
            self.arm[kept],
            self.slice[kept],
            self.score[kept],
            tuple(each[kept] for each in self.events),
        )


def _rows_of(batch: pa.RecordBatch, counting: Counting) -> _Rows | None:
    shares = {step.share: number for number, step in enumerate(counting.steps)}
    column = {name: batch.column(name) for name in batch.schema.names}
    step = np.array(
        [shares.get(share, _NEVER) for share in column["share"].to_pylist()], dtype=np.int64
    )
    named = pc.and_(
        pc.equal(column["salt"], counting.salt), pc.not_equal(column["unit"], "")
    ).to_numpy(zero_copy_only=False)
    kept = np.asarray(named, dtype=np.bool_) & (step != _NEVER)
    if not kept.any():
        return None
    time_us = column["time_us"].to_numpy()[kept]
    step = step[kept]
    began = np.array([s.began_us for s in counting.steps], dtype=np.int64)[step]
    width = np.array([s.slice_us for s in counting.steps], dtype=np.int64)[step]
    number = np.clip((time_us - began) // width, 0, SLICES - 1)
    failed = _is(column["error"], "", equal=False)[kept] | _is(column["role"], "fallback")[kept]
    waited = column["latency_ms"].to_numpy()[kept]
    slow = tuple((waited > limit) & ~failed for limit in counting.thresholds.values())
    return _Rows(
        time_us=time_us,
        key=_keys(column["unit"])[kept],
        # Who was assigned to the candidate belongs to it, whatever answered in the end.
        arm=_is(column["assigned"], "candidate")[kept].astype(np.int64),
        slice=step * SLICES + number,
        score=np.where(failed, np.nan, column["score"].to_numpy()[kept]),
        events=(failed, *slow),
    )


def _is(column: pa.Array, value: str, *, equal: bool = True) -> Bools:
    compared = pc.equal(column, value) if equal else pc.not_equal(column, value)
    return np.asarray(compared.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _keys(units: pa.Array) -> npt.NDArray[np.uint64]:
    """Return 64 bits of each unit's name; two of a million units collide once in 37 million."""
    encoded = units.dictionary_encode()
    hashed = b"".join(
        hashlib.blake2b(name.encode(), digest_size=8).digest()
        for name in encoded.dictionary.to_pylist()
    )
    found = np.frombuffer(hashed, dtype=np.uint64)
    return np.asarray(found[encoded.indices.to_numpy()])


def _by_arm(arm: Ints, counted: Bools) -> Ints:
    return np.bincount(arm[counted], minlength=2).astype(np.int64)


def _arm(counts: Ints, kinds: Sequence[str]) -> ArmCounts:
    at_risk, events = counts[3 : 3 + len(kinds)], counts[3 + len(kinds) :]
    return ArmCounts(
        requests=int(counts[0]),
        units=int(counts[1]),
        new_units=int(counts[2]),
        at_risk={kind: int(n) for kind, n in zip(kinds, at_risk, strict=True)},
        events={kind: int(n) for kind, n in zip(kinds, events, strict=True)},
    )
