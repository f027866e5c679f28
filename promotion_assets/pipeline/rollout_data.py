"""What the event log says of a rollout: the champion's frozen latencies, and the counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from promotion_assets.pipeline.tally_files import read_tally, tally_path, write_tally
from promotion_assets.policy.rollout import Latency, RolloutPolicy
from promotion_assets.rollout.statistics import SLICES, Statistics, slow_kind
from promotion_assets.rollout.tally import Counting, StepTime, Tally
from promotion_assets.serving.events import EventReader, microseconds

# Servers write in batches and may have waited for the database: so far back is read again.
OVERLAP = timedelta(minutes=2)
# The champion's answers before a rollout: of the last hour, or else of the last day.
LOOK_BACK = (timedelta(hours=1), timedelta(days=1))
MOST_LATENCIES = 200_000


@dataclass(frozen=True)
class Source:
    """Where the events of one rollout are, and where its tally is kept between ticks.

    Attributes:
        candidate, champion: version numbers.
    """

    events: EventReader
    home: Path
    model: str
    segment: str
    candidate: str
    champion: str
    salt: str


def freeze_before(source: Source, limits: Latency, start: datetime) -> dict[str, float]:
    """Return the champion's quantiles from before ``start``; nothing where answers are too few."""
    for span in LOOK_BACK:
        found = _latencies(source, start - span, start, MOST_LATENCIES)
        if len(found) >= limits.freeze_requests:
            return _quantiles(found, limits)
    return {}


def freeze_since(source: Source, limits: Latency, start: datetime) -> dict[str, float]:
    """Return them from the champion's first answers since ``start``, once there are enough."""
    found = _latencies(source, start, None, limits.freeze_requests)
    return _quantiles(found, limits) if len(found) >= limits.freeze_requests else {}


def counting(
    policy: RolloutPolicy,
    salt: str,
    began: Mapping[int, datetime],
    thresholds: Mapping[str, float],
) -> Counting:
    """Return what is to be counted.

    Args:
        began: when each step that has begun did, by its number; steps that were skipped lack.
    """
    steps = []
    for number in range(max(began, default=-1) + 1):
        width = policy.way[number].maximum / SLICES
        moment = began.get(number)
        # A step that was skipped has no events; its share stays in place for the numbering.
        steps.append(
            StepTime(
                share=policy.share_at(number),
                began_us=microseconds(moment) if moment else 0,
                slice_us=max(1, int(width / timedelta(microseconds=1))),
            )
        )
    decided = policy.decision_rate
    return Counting(
        salt=salt,
        steps=tuple(steps),
        thresholds=thresholds,
        decided_from=decided.threshold if decided else None,
    )


def count(source: Source, what: Counting, start: datetime) -> Statistics:
    """Return the counts until now, reading what is new since the last call.

    Raises:
        StorageUnreachable: the event log does not answer.
    """
    path = tally_path(source.home, what.salt)
    tally = read_tally(path, what)
    since = start - OVERLAP
    if tally is not None and tally.last_us:
        since = max(since, _moment(tally.last_us) - OVERLAP)
    tally = tally or Tally(what)
    return _counted(source, tally, since, start)


def recount(source: Source, what: Counting, start: datetime) -> Statistics:
    """Return the counts from the whole of the log, whatever was kept.

    Raises:
        StorageUnreachable: the event log does not answer.
    """
    return _counted(source, Tally(what), start - OVERLAP, start)


def _counted(source: Source, tally: Tally, since: datetime, start: datetime) -> Statistics:
    for batch in source.events.batches(
        "request", source.model, segment=source.segment, since=since
    ):
        tally.add(batch)
    write_tally(tally_path(source.home, tally.counting.salt), tally)
    return tally.statistics(_drops(source, start))


def _drops(source: Source, start: datetime) -> dict[str, int]:
    lost = source.events.drops(source.model, since=start)
    return {
        "candidate": lost.get(f"request:{source.candidate}", 0),
        "stable": lost.get(f"request:{source.champion}", 0),
    }


def _latencies(source: Source, since: datetime, until: datetime | None, most: int) -> list[float]:
    found: list[float] = []
    for batch in source.events.batches(
        "request", source.model, segment=source.segment, since=since, until=until
    ):
        found += _champions(source, batch)
        if len(found) >= most:
            break
    return found[:most]


def _champions(source: Source, batch: pa.RecordBatch) -> Iterator[float]:
    answered = pc.and_(
        pc.and_(
            pc.equal(batch.column("version"), source.champion),
            pc.equal(batch.column("assigned"), "stable"),
        ),
        pc.equal(batch.column("error"), ""),
    )
    kept: list[float] = batch.column("latency_ms").filter(answered).to_pylist()
    return iter(kept)


def _quantiles(latencies: list[float], limits: Latency) -> dict[str, float]:
    values = np.quantile(np.array(latencies), limits.quantiles)
    return {slow_kind(q): float(v) for q, v in zip(limits.quantiles, values, strict=True)}


def _moment(time_us: int) -> datetime:
    return datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=time_us)
