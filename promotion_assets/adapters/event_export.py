"""Events as Parquet files, one a day, for whatever reads Hive partitions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from promotion_assets.errors import StorageUnreachable
from promotion_assets.serving.events import EVENTS, EventReader, Kind, arrow_schema

DAY_US = 86_400_000_000


def export_parquet(
    events: EventReader, model: str, target: Path, *, since: date, until: date
) -> dict[Path, int]:
    """Write ``target/kind=…/day=…/MODEL.parquet`` for each whole day of ``[since, until)``, UTC.

    A second export of a day replaces the first, so that events that came late get in. A file
    appears whole or not at all. One day of one kind is streamed, not held.

    Returns:
        The rows of each file that was written.

    Raises:
        StorageUnreachable: the event log cannot be read or the target not be written.
    """
    written: dict[Path, int] = {}
    for kind in EVENTS:
        found = events.batches(kind, model, since=_midnight(since), until=_midnight(until))
        written |= _write_days(kind, found, target, f"{quote(model, safe=' ')}.parquet")
    return written


def _write_days(
    kind: Kind, batches: Iterator[pa.RecordBatch], target: Path, name: str
) -> dict[Path, int]:
    written: dict[Path, int] = {}
    writer: pq.ParquetWriter | None = None
    path = target
    try:
        for day, part in _by_day(batches):
            wanted = target / f"kind={kind}" / f"day={day.isoformat()}" / name
            if wanted != path:
                _finish(writer, path)
                path, writer = wanted, _begin(wanted, kind)
            assert writer is not None
            writer.write_batch(part)
            written[path] = written.get(path, 0) + part.num_rows
        _finish(writer, path)
    except OSError as error:
        raise StorageUnreachable(
            f"exporting {kind} events to {target}",
            str(error),
            "check the folder's permissions and the disk's free space, then export again",
        ) from error
    return written


def _by_day(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[date, pa.RecordBatch]]:
    """Cut batches, which are in order of time, where the day changes."""
    for batch in batches:
        days = pc.divide(batch["time_us"], DAY_US)
        start = 0
        for run in pc.run_end_encode(days).run_ends.to_pylist():
            yield date(1970, 1, 1) + timedelta(days=days[start].as_py()), batch[start:run]
            start = run


def _begin(path: Path, kind: Kind) -> pq.ParquetWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(_draft(path), arrow_schema(kind), compression="zstd")


def _finish(writer: pq.ParquetWriter | None, path: Path) -> None:
    if writer is not None:
        writer.close()
        _draft(path).replace(path)


def _draft(path: Path) -> Path:
    # A name that begins with a dot is no part of the data set for those who read the folder.
    return path.with_name(f".{path.name}.{os.getpid()}")


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
