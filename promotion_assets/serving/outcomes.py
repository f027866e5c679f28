"""Outcomes: what later became of a request, told under the request's id.

An outcome may be told twice, come too late to be used, or name a request that nobody knows. The
first is dropped and counted, the others are kept and counted, since the request may only be slow
to arrive: what is joined is decided when a report reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import uuid4

from pydantic import JsonValue

from promotion_assets.canonical import digest_of
from promotion_assets.evaluation.columns import value_name
from promotion_assets.policy.model import ModelPolicy, Task
from promotion_assets.serving.events import Drop, EventStore, OutcomeEvent, microseconds

AT_ONCE = 2000
MOST_REASONS = 5
LONGEST_ID = 500
DUPLICATE, REFUSED = "duplicate", "refused"
# Clocks of two machines differ; an outcome further ahead than this has not happened yet.
CLOCK_SKEW = timedelta(minutes=5)


class Told(NamedTuple):
    """One outcome as somebody tells it; ``observed_at`` is ``None`` for just now."""

    request_id: object
    label: object
    observed_at: datetime | None = None


@dataclass(frozen=True)
class OutcomeRules:
    """How a model's outcomes are read.

    Attributes:
        positive: the label value that counts as 1 (binary).
        window: an outcome that became known longer than this after its request is late.
    """

    model: str
    task: Task
    positive: JsonValue = 1
    window: timedelta = timedelta(days=90)

    @classmethod
    def of(cls, model: str, policy: ModelPolicy) -> OutcomeRules:
        """Return the rules of a model's policy."""
        window = min(policy.shadow.outcome_window, policy.serving.retention)
        return cls(model, policy.task, policy.dataset.positive, window)


@dataclass
class Accepted:
    """What became of the outcomes that were told.

    Attributes:
        told: how many there were.
        new: written now.
        duplicate: told before, in the same words; dropped.
        refused: not an outcome at all, with the first reasons in ``reasons``.
        unknown: written, of requests that are not in the log (yet, or any more).
        late: written, and too late to be used.
    """

    told: int = 0
    new: int = 0
    duplicate: int = 0
    refused: int = 0
    unknown: int = 0
    late: int = 0
    reasons: list[str] = field(default_factory=list)


def accept(store: EventStore, rules: OutcomeRules, told: Iterable[Told], now: datetime) -> Accepted:
    """Write outcomes down, a few thousand a transaction; telling them again changes nothing.

    Raises:
        StorageUnreachable: the event log does not answer; what was written before is kept, and
            telling all of them again completes it.
    """
    result = Accepted()
    rest = iter(told)
    while some := list(islice(rest, AT_ONCE)):
        refused_before = result.refused
        events = list(_events(rules, some, now, result))
        requested = store.requested(rules.model, [event.request_id for event in events])
        new = store.write(events)
        result.new += new
        duplicates = len(events) - new
        result.duplicate += duplicates
        for event in {event.event_id: event for event in events}.values():
            asked = requested.get(event.request_id)
            result.unknown += asked is None
            result.late += asked is not None and is_late(asked, event.observed_us, rules.window)
        counts = {DUPLICATE: duplicates, REFUSED: result.refused - refused_before}
        drops = [
            Drop(uuid4().hex, microseconds(now), rules.model, "outcome", arm, count)
            for arm, count in counts.items()
            if count
        ]
        if drops:
            store.write([], drops)
    return result


def is_late(requested_us: int, observed_us: int, window: timedelta) -> bool:
    """Whether an outcome became known too long after its request."""
    return observed_us - requested_us > window // timedelta(microseconds=1)


def label_number(value: object, task: Task, positive: JsonValue) -> float:
    """Return a label as a number: 1 or 0 for a binary task.

    Raises:
        ValueError: it is none; the message says what was seen.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"the label is {value!r}")
    if task != "binary":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"the label {str(value)[:60]!r} is no number")
        return float(value)
    name = value_name(value)
    if name == value_name(positive):
        return 1.0
    if isinstance(positive, str):
        # Whatever else a word says, it is not the positive one.
        if isinstance(value, str) and value.strip():
            return 0.0
    elif name in ("0", "False", "0.0"):
        return 0.0
    raise ValueError(f"the label {str(value)[:60]!r} is neither {positive!r} nor its opposite")


def _events(
    rules: OutcomeRules, told: Sequence[Told], now: datetime, result: Accepted
) -> Iterator[OutcomeEvent]:
    for one in told:
        result.told += 1
        try:
            yield _event(rules, one, now)
        except ValueError as error:
            result.refused += 1
            if len(result.reasons) < MOST_REASONS:
                result.reasons.append(f"outcome {result.told}: {error}")


def _event(rules: OutcomeRules, told: Told, now: datetime) -> OutcomeEvent:
    request_id = told.request_id
    if isinstance(request_id, int) and not isinstance(request_id, bool):
        request_id = str(request_id)
    if not isinstance(request_id, str) or not 0 < len(request_id) <= LONGEST_ID:
        raise ValueError(f"the request id {str(told.request_id)[:60]!r} is no text")
    label = label_number(told.label, rules.task, rules.positive)
    observed = told.observed_at
    if observed is not None and observed.tzinfo is None:
        observed = observed.replace(tzinfo=UTC)
    if observed is not None and observed > now + CLOCK_SKEW:
        raise ValueError(f"it was observed at {observed.isoformat()}, which is still to come")
    observed_us = microseconds(now) if observed is None else microseconds(observed)
    # Without a time of its own the time of telling names nothing: told twice it is the same.
    named = [rules.model, request_id, label, None if observed is None else observed_us]
    return OutcomeEvent(
        event_id=f"outcome-{digest_of(named)[:40]}",
        time_us=microseconds(now),
        request_id=request_id,
        model=rules.model,
        label=label,
        observed_us=observed_us,
    )
