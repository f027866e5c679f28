"""Outcomes of a model: taken in from a file, and what there is of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.reading import iter_batches
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.load import expand_uri
from promotion_assets.serving.events import EventReader, EventStore
from promotion_assets.serving.outcomes import (
    DUPLICATE,
    REFUSED,
    Accepted,
    OutcomeRules,
    Told,
    accept,
    is_late,
)


@dataclass(frozen=True)
class OutcomeColumns:
    """Which columns hold what; ``observed_at`` may be absent: then it was observed just now."""

    request_id: str = "request_id"
    label: str = "label"
    observed_at: str | None = "observed_at"


@dataclass(frozen=True)
class OutcomeStatus:
    """What is known of a model's outcomes.

    Attributes:
        outcomes: requests with an outcome, as it was told last.
        positive: of these, labelled 1 or more.
        corrected: told again with another label or another time.
        unknown: of requests that are not in the log.
        late: known too long after their request; not used.
        duplicate, refused: told and not kept, so far.
        first, last: when the first and the last was told.
    """

    model: str
    outcomes: int
    positive: int
    corrected: int
    unknown: int
    late: int
    duplicate: int
    refused: int
    first: str | None
    last: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)


def import_outcomes(
    workspace: Workspace,
    store: EventStore,
    model: str,
    uri: str,
    columns: OutcomeColumns = OutcomeColumns(),
    *,
    query: str | None = None,
) -> Accepted:
    """Take outcomes in from any source that evaluation reads; doing it again changes nothing.

    Raises:
        UsageError: a column is not there, or a time is none.
        StorageUnreachable: the source or the event log does not answer.
    """
    policy = workspace.policy_of(model)
    rules = OutcomeRules.of(model, policy)
    address = expand_uri(uri, workspace.environ)
    batches = iter_batches(address, query=query, base=Path.cwd())
    told = (one for batch in batches for one in _told(batch, columns, uri))
    return accept(store, rules, told, workspace.clock())


def outcome_status(workspace: Workspace, events: EventReader, model: str) -> OutcomeStatus:
    """Count a model's outcomes; those of requests that the log has forgotten count as unknown."""
    rules = OutcomeRules.of(model, workspace.policy_of(model))
    told = [
        batch.to_pandas()
        for batch in map(pa.Table.from_batches, ([b] for b in events.batches("outcome", model)))
    ]
    drops = events.drops(model)
    frame = pd.concat(told) if told else _NOTHING
    last = frame.sort_values("time_us").drop_duplicates("request_id", keep="last")
    requested = events.requested(model, last["request_id"].tolist())
    asked = [requested.get(name) for name in last["request_id"]]
    late = sum(
        one is not None and is_late(one, observed, rules.window)
        for one, observed in zip(asked, last["observed_us"].tolist(), strict=True)
    )
    return OutcomeStatus(
        model=model,
        outcomes=len(last),
        positive=int((last["label"] >= 1).sum()),
        corrected=len(frame) - len(last),
        unknown=sum(one is None for one in asked),
        late=late,
        duplicate=drops.get(f"outcome:{DUPLICATE}", 0),
        refused=drops.get(f"outcome:{REFUSED}", 0),
        first=_moment(frame["time_us"].min()) if len(frame) else None,
        last=_moment(frame["time_us"].max()) if len(frame) else None,
    )


def _told(batch: pa.RecordBatch, columns: OutcomeColumns, uri: str) -> Iterator[Told]:
    names = [columns.request_id, columns.label]
    missing = [name for name in names if name not in batch.schema.names]
    if missing:
        raise UsageError(
            f"importing outcomes from {without_credentials(uri)}",
            f"there is no column {missing[0]!r}; the columns are "
            f"{', '.join(batch.schema.names[:30])}",
            "name the columns: --request-id, --label, --observed-at",
        )
    ids, labels = (_values(batch.column(name), name, uri) for name in names)
    times: list[datetime | None] = [None] * batch.num_rows
    if columns.observed_at is not None and columns.observed_at in batch.schema.names:
        times = _times(batch.column(columns.observed_at), columns.observed_at, uri)
    yield from map(Told, ids, labels, times)


def _values(column: Any, name: str, uri: str) -> list[Any]:
    try:
        found: list[Any] = column.to_pylist()
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"importing outcomes from {without_credentials(uri)}",
            f"column {name!r} holds values that nothing can read ({str(error)[:120]})",
            "write ids as text and labels as numbers",
        ) from error
    return found


def _times(column: Any, name: str, uri: str) -> list[datetime | None]:
    """Return times in UTC; a time without a zone is in UTC, a number is seconds since 1970."""
    numbers = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    # Of text only what is unambiguous: 03/04 is a day in March to some and in April to others.
    words = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    form = "ISO8601" if words else None
    told = _values(column, name, uri)
    try:
        values = pd.to_datetime(
            pd.Series(told), utc=True, unit="s" if numbers else None, format=form
        )
        # Within, as pandas knows years that datetime does not.
        return [None if pd.isna(value) else value.to_pydatetime() for value in values]
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"importing outcomes from {without_credentials(uri)}",
            f"column {name!r} holds what is no time ({str(error).splitlines()[0][:120]})",
            "write times as ISO 8601, or as seconds since 1970",
        ) from error


def _moment(time_us: Any) -> str:
    return pd.Timestamp(int(time_us), unit="us", tz="UTC").isoformat(timespec="seconds")


_NOTHING = pd.DataFrame(
    {
        "request_id": pd.Series(dtype="str"),
        "label": pd.Series(dtype="float64"),
        "observed_us": pd.Series(dtype="int64"),
        "time_us": pd.Series(dtype="int64"),
    }
)
