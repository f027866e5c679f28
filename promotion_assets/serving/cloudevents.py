"""Events as others read them: CloudEvents 1.0.2 in JSON, one to a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pyarrow as pa
from pydantic import JsonValue

from promotion_assets.serving.events import Kind

_ENVELOPE = ("event_id", "time_us", "request_id", "model")


def cloud_event(kind: Kind, row: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return one event as a CloudEvent in JSON types.

    Args:
        row: the event's fields by name; a NaN becomes ``null``, which JSON has.
    """
    data: dict[str, JsonValue] = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
        if name not in _ENVELOPE
    }
    time_us = row["time_us"]
    assert isinstance(time_us, int)
    return {
        "specversion": "1.0",
        "id": row["event_id"],
        "source": f"/models/{quote(str(row['model']), safe='')}",
        "type": f"promotion.serving.{kind}.v1",
        "subject": str(row["request_id"]),
        "time": datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="microseconds"),
        "datacontenttype": "application/json",
        "data": {"model": row["model"], **data},
    }


def cloud_event_lines(kind: Kind, batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    """Yield each event of ``batches`` as one line of JSON."""
    for batch in batches:
        for row in batch.to_pylist():
            yield json.dumps(cloud_event(kind, row), ensure_ascii=False, allow_nan=False)
