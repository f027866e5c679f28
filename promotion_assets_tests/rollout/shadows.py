"""Shadow events out of two columns of scores, and a log in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.shadow_report import Subject
from promotion_assets.rollout.shadow_tally import ShadowRules
from promotion_assets.serving.events import Acknowledgement, Kind, arrow_schema

MODEL, CHAMPION, SHADOW = "credit-risk", "1", "2"
DIGEST, CHAMPION_DIGEST = "b" * 64, "a" * 64
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW = START + timedelta(days=4)
SUBJECT = Subject(MODEL, SHADOW, "default", CHAMPION, DIGEST, CHAMPION_DIGEST)
RULES = ShadowRules("binary", SHADOW, DIGEST, CHAMPION)
DAY_US = 86_400_000_000

Floats = npt.NDArray[np.float64]


def microseconds(moment: datetime) -> int:
    """A moment as microseconds since 1970."""
    return int(moment.timestamp()) * 1_000_000


def shadow_frame(
    production: Sequence[float] | Floats,
    shadow: Sequence[float] | Floats,
    *,
    hours: float = 72,
    begin: int = 0,
    **columns: Any,
) -> pd.DataFrame:
    """Events of one pair of scores each, evenly spread over ``hours``; ``columns`` replace some.

    Args:
        begin: number of the first event: names it and its request.
    """
    n = len(production)
    numbers = range(begin, begin + n)
    frame = pd.DataFrame(
        {
            "event_id": [f"event-{i}" for i in numbers],
            "time_us": microseconds(START) + (np.linspace(0, hours, n) * 3.6e9).astype(np.int64),
            "request_id": [f"request-{i}" for i in numbers],
            "model": MODEL,
            "segment": "default",
            "unit": "",
            "production_version": CHAMPION,
            "shadow_version": SHADOW,
            "shadow_digest": DIGEST,
            "production_prediction": [json.dumps(float(s)) for s in production],
            "shadow_prediction": [json.dumps(float(s)) for s in shadow],
            "production_score": np.asarray(production, dtype=np.float64),
            "shadow_score": np.asarray(shadow, dtype=np.float64),
            "production_latency_ms": 2.0,
            "shadow_latency_ms": 3.0,
            "outcome": "answered",
            "error": "",
            "features_hash": "",
            "features": "",
        }
    )
    return frame.assign(**columns)


def batches(frame: pd.DataFrame, kind: Kind = "shadow", rows: int = 1000) -> list[pa.RecordBatch]:
    """A frame as record batches in the log's schema."""
    table = pa.Table.from_pandas(frame, schema=arrow_schema(kind), preserve_index=False)
    found: list[pa.RecordBatch] = table.to_batches(rows)
    return found


def outcome_frame(
    shadows: pd.DataFrame, labels: npt.ArrayLike, *, after_days: npt.ArrayLike = 1.0
) -> pd.DataFrame:
    """An outcome for every request in ``shadows``, known and told ``after_days`` later."""
    told = shadows["time_us"] + (np.asarray(after_days) * DAY_US).astype(np.int64)
    return pd.DataFrame(
        {
            "event_id": "outcome-" + shadows["request_id"],
            "time_us": told,
            "request_id": shadows["request_id"],
            "model": MODEL,
            "label": np.asarray(labels, dtype=np.float64),
            "observed_us": told,
        }
    )


def policy(**stanza: Any) -> ShadowPolicy:
    """A policy whose labels mature in a day; ``stanza`` replaces parts of it."""
    return ShadowPolicy.model_validate({"label_delay_days": 1, **stanza})


@dataclass
class FakeLog:
    """An event log in memory."""

    frames: dict[Kind, pd.DataFrame] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def batches(
        self,
        kind: Kind,
        model: str,
        *,
        segment: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        frame = self.frames.get(kind)
        if frame is None:
            return
        frame = frame[frame["model"] == model]
        if segment is not None and "segment" in frame:
            frame = frame[frame["segment"] == segment]
        if since is not None:
            frame = frame[frame["time_us"] >= microseconds(since)]
        if until is not None:
            frame = frame[frame["time_us"] < microseconds(until)]
        yield from batches(frame.sort_values("time_us"), kind)

    def drops(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Mapping[str, int]:
        return self.dropped

    def requested(self, model: str, request_ids: Sequence[str]) -> Mapping[str, int]:
        frame = self.frames.get("shadow", pd.DataFrame({"request_id": [], "time_us": []}))
        first = frame.groupby("request_id")["time_us"].min()
        return {name: int(first[name]) for name in request_ids if name in first}

    def acknowledged(self, model: str) -> tuple[Acknowledgement, ...]:
        return ()
