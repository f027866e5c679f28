"""What a server writes down: four kinds of event, each a CloudEvent, each a row of one table.

Times are microseconds since 1970 in UTC, latencies milliseconds, shares basis points. Predictions
are JSON text of one row's answer: a number where the model gives one. A unit and a feature row
stand here as hashes; the features themselves only where the policy says so.

Source: CloudEvents 1.0.2 for the envelope (``id``, ``source``, ``type``, ``time``, ``subject``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol, get_type_hints

import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Kind = Literal["request", "shadow", "exposure", "outcome"]
Role = Literal["stable", "candidate", "fallback"]
"""``fallback``: the candidate was to answer and failed, so the champion did."""


class RequestEvent(NamedTuple):
    """A request was answered, or failed.

    Attributes:
        event_id: names the event for ever; a second one of the same id is dropped.
        request_id: what the caller named it by; outcomes come back under it.
        unit: hash of who or what was judged; empty where the caller named nobody.
        generation, share, salt: of the traffic plan that it was routed by.
        assigned: the role that the router gave it, whatever answered in the end.
        prediction: the answer, empty where it failed; ``score`` the number in it, NaN if none.
        error: what failed, in short; empty if nothing did.
        features: the row as JSON; empty unless the policy asks for it.
    """

    event_id: str
    time_us: int
    request_id: str
    model: str
    segment: str
    generation: int
    share: int
    salt: str
    unit: str
    assigned: str
    role: str
    version: str
    digest: str
    latency_ms: float
    prediction: str
    score: float
    error: str
    features_hash: str
    features: str


class ShadowEvent(NamedTuple):
    """A copy of a request was answered by the shadow, or could not be.

    Attributes:
        production_version, shadow_version: the arms.
        production_score, shadow_score: NaN where there is no number.
        outcome: ``answered``, ``error``, ``timeout``, ``crashed``.
    """

    event_id: str
    time_us: int
    request_id: str
    model: str
    segment: str
    unit: str
    production_version: str
    shadow_version: str
    shadow_digest: str
    production_prediction: str
    shadow_prediction: str
    production_score: float
    shadow_score: float
    production_latency_ms: float
    shadow_latency_ms: float
    outcome: str
    error: str
    features_hash: str
    features: str


class ExposureEvent(NamedTuple):
    """A unit was answered by an arm of a running rollout for the first time."""

    event_id: str
    time_us: int
    request_id: str
    model: str
    segment: str
    salt: str
    unit: str
    model_label: str
    version: str
    prediction: str
    score: float


class OutcomeEvent(NamedTuple):
    """What later became of a request.

    Attributes:
        label: the true value as a number.
        observed_us: when it became known; ``time_us`` is when it was told.
    """

    event_id: str
    time_us: int
    request_id: str
    model: str
    label: float
    observed_us: int


Logged = RequestEvent | ShadowEvent | ExposureEvent | OutcomeEvent


class Drop(NamedTuple):
    """So many events of one kind and arm were dropped in a short time.

    Attributes:
        drop_id: names the count, as ``event_id`` does an event.
        arm: the version; empty where there is none.
    """

    drop_id: str
    time_us: int
    model: str
    kind: str
    arm: str
    number: int


class Acknowledgement(NamedTuple):
    """One server process follows one generation of the plan, or cannot follow the next.

    Attributes:
        worker: names the process: ``host:pid:begun``.
        generation: of the plan that it answers by.
        digests: of the versions that it holds loaded, by version, as JSON.
        refused: generation of a newer plan that it could not take up; 0 where there is none.
        problem: why not.
    """

    model: str
    worker: str
    time_us: int
    generation: int
    digests: str
    refused: int = 0
    problem: str = ""


EVENTS: Mapping[Kind, type[NamedTuple]] = {
    "request": RequestEvent,
    "shadow": ShadowEvent,
    "exposure": ExposureEvent,
    "outcome": OutcomeEvent,
}
_ARROW: Mapping[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
}


def arrow_schema(kind: Kind) -> pa.Schema:
    """Return the columns of one kind of event, in the order of its fields."""
    fields = get_type_hints(EVENTS[kind])
    return pa.schema([(name, _ARROW[of]) for name, of in fields.items()])


class Pace(NamedTuple):
    """How requests that the router gave to one role of a segment went.

    Attributes:
        failed: how many were answered by nobody, or by the champion in the candidate's place.
        latency_ms: mean of all.
    """

    segment: str
    assigned: str
    answers: int
    failed: int
    latency_ms: float


class EventReader(Protocol):
    """What reports and rollouts ask of the event log."""

    def batches(
        self,
        kind: Kind,
        model: str,
        *,
        segment: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield events in order of time as :func:`arrow_schema` has them.

        Outcomes have no segment; it is ignored for them.

        Args:
            since, until: ``[since, until)`` by ``time_us``.

        Raises:
            StorageUnreachable: if the event log does not answer.
        """

    def drops(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> Mapping[str, int]:
        """Return how many events were dropped, by ``kind:arm`` (``shadow:7``)."""

    def requested(self, model: str, request_ids: Sequence[str]) -> Mapping[str, int]:
        """Return when (``time_us``) each of these requests was answered first; unknown ones lack.

        Raises:
            StorageUnreachable: if the event log does not answer.
        """

    def acknowledged(self, model: str) -> tuple[Acknowledgement, ...]:
        """Return what each server process said last of the plan that it follows.

        A process that ended orderly is not among them; one that was killed still is, with the
        ``time_us`` of its last word.
        """


class EventWriter(Protocol):
    """What a server asks of the event log."""

    def offer(self, event: Logged) -> bool:
        """Take an event without waiting; ``False`` says that it was dropped, and counted."""

    def dropped(self, drop: Drop) -> None:
        """Count an event that could not even be made."""


class EventStore(EventReader, Protocol):
    """What the writer behind a server asks of the database."""

    def write(self, events: Sequence[Logged], drops: Sequence[Drop] = ()) -> int:
        """Write events and counts in one transaction, or nothing; return how many were new.

        An event or count whose id is there already is left as it is.

        Raises:
            StorageUnreachable: if the event log does not take writes; nothing was written.
        """

    def acknowledge(self, said: Acknowledgement) -> None:
        """Record what a server process says of itself, in place of what it said before."""

    def leave(self, model: str, worker: str) -> None:
        """Record that a server process has ended orderly."""

    def prune(self, model: str, before: datetime) -> int:
        """Remove events of ``model`` older than ``before``; return how many there were."""


def microseconds(moment: datetime) -> int:
    """Return a moment, which has its time zone, as events have it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def kind_of(event: Logged) -> Kind:
    """Return the word for an event's type."""
    return _KINDS[type(event)]


def arm_of(event: Logged) -> str:
    """Return the version that an event is about; empty for an outcome."""
    match event:
        case ShadowEvent():
            return event.shadow_version
        case OutcomeEvent():
            return ""
        case _:
            return event.version


_KINDS: Mapping[type, Kind] = {of: kind for kind, of in EVENTS.items()}
