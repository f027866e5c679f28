"""Traffic for a simulated rollout, as the event log recorded it of the champion."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from promotion_assets.errors import EvidenceMissing
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.rollout.simulation import Traffic
from promotion_assets.serving.events import EventReader

FEWEST_REQUESTS = 100
_KEPT = ["time_us", "unit", "latency_ms", "score", "error"]


def recorded_traffic(
    workspace: Workspace, events: EventReader, model: str, segment: str, days: float
) -> Traffic:
    """Return the traffic of the last days as the champion answered it.

    Raises:
        EvidenceMissing: it is too little to say anything.
        StorageUnreachable: the event log does not answer.
    """
    now = workspace.clock()
    champion = workspace.ledger.state(model).champions.get(segment, "")
    batches = [
        batch.filter(pc.equal(batch.column("version"), champion)).select(_KEPT)
        for batch in events.batches(
            "request", model, segment=segment, since=now - timedelta(days=days), until=now
        )
    ]
    table = pa.Table.from_batches(batches) if batches else None
    if table is None or table.num_rows < FEWEST_REQUESTS:
        raise EvidenceMissing(
            f"recalling the traffic of {model} in segment {segment!r}",
            f"{table.num_rows if table else 0} answers of its champion are recorded in {days:g} "
            f"days, and {FEWEST_REQUESTS} are needed",
            "name more days, or describe the traffic by --units-per-hour and --error-rate",
        )
    times = table.column("time_us").to_numpy()
    hours = max(float(times.max() - times.min()) / 3.6e9, 1 / 60)
    failed = pc.not_equal(table.column("error"), "").to_numpy(zero_copy_only=False)
    scores = table.column("score").to_numpy()
    scores = scores[~np.isnan(scores)]
    waited = table.column("latency_ms").to_numpy()[~np.asarray(failed, dtype=np.bool_)]
    decided = workspace.policy_of(model).rollout.decision_rate
    threshold = decided.threshold if decided else 0.5
    return Traffic(
        units_per_hour=pc.count_distinct(table.column("unit")).as_py() / hours,
        error_rate=float(np.mean(failed)),
        positive_rate=float(np.mean(scores >= threshold)) if len(scores) else 0.0,
        latency_spread=max(float(np.std(np.log(np.maximum(waited, 1e-3)))), 0.05),
    )
