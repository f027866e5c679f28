"""From a ledger entry to the events that the outside is told of: one pure function."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from promotion_assets.canonical import canonical_json
from promotion_assets.lifecycle.drill_events import PREFIX
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, AnyEvent, Recorded, Stage

_OWN_NAME = {
    "REVIEW_REQUESTED",
    "REVIEW_REMINDED",
    "REVIEW_DECIDED",
    "ROLLOUT_STEP",
    "ROLLED_BACK",
    "REGISTRY_TAMPERED",
    "EVALUATION_FINISHED",
    "CHAMPION_FAILED",
    "DEPLOYMENT_CONFIRMED",
}
# Told only by name: answers of reviewers, whole decisions and reports stay in the ledger.
_TOLD = (
    "action",
    "actor",
    "approved",
    "assigned",
    "automated_gates",
    "cause",
    "champion_metrics",
    "champion_version",
    "comment",
    "dataset_digest",
    "deciding_gates",
    "decision_digest",
    "detail",
    "deviations",
    "environment",
    "eval_dataset_version",
    "expires_at",
    "from_version",
    "gates",
    "generation",
    "health",
    "metrics",
    "model_digest",
    "notification",
    "policy_digest",
    "promoted_from",
    "promoted_to",
    "reason",
    "request_id",
    "share_from",
    "share_to",
    "smoke_test",
    "step",
    "to_version",
    "verdict",
    "what",
)
_STAGE = "MODEL_VERSION_TRANSITIONED_STAGE"


@dataclass(frozen=True)
class OutgoingEvent:
    """What the outside is told.

    Attributes:
        id: the same for every attempt and every receiver; made of the entry's hash, so that the
            same entry never gives another one.
        at: when the entry was recorded.
        sequence: the entry's place in the ledger.
    """

    id: str
    type: str
    model: str
    version: str
    segment: str
    at: datetime
    sequence: int
    data: Mapping[str, JsonValue]

    def body(self) -> bytes:
        """Return what a webhook is sent: canonical JSON, in the form of Standard Webhooks."""
        about: dict[str, JsonValue] = {
            "model": self.model,
            "version": self.version,
            "segment": self.segment,
            "sequence": self.sequence,
            **self.data,
        }
        return canonical_json(
            {
                "id": self.id,
                "type": self.type,
                "timestamp": self.at.isoformat(),
                "data": about,
            }
        )


def outgoing(recorded: Recorded) -> tuple[OutgoingEvent, ...]:
    """Return what the outside is told of an entry: nothing, one event, or several.

    A change of stage is told twice, once under the name of the stage that is reached, so that a
    subscription may name either; a decision is told again as the tags that it sets.
    """
    event = recorded.event
    # A drill is announced as any request is: who could tell them apart would not be put to a test.
    return tuple(
        OutgoingEvent(
            id=_id(recorded.hash, name),
            type=name,
            model=event.model.removeprefix(PREFIX),
            version=_version(event),
            segment=str(getattr(event, "segment", DEFAULT_SEGMENT)),
            at=recorded.recorded_at,
            sequence=recorded.sequence,
            data=data,
        )
        for name, data in _told(event)
    )


def _told(event: AnyEvent) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    full = event.to_json()
    data = {name: full[name] for name in _TOLD if name in full}
    if event.kind in _OWN_NAME:
        yield event.kind, data
    if event.kind == "DRILL_OPENED":
        yield "REVIEW_REQUESTED", data
    if event.kind == "DRILL_REMINDED":
        yield "REVIEW_REMINDED", {**data, "what": "reminder"}
    if event.kind == "MODEL_PROMOTION":
        yield _STAGE, data
        yield f"MODEL_VERSION_TRANSITIONED_TO_{str(event.promoted_to).upper()}", data
    if event.kind == "ADOPTED":
        adopted: dict[str, JsonValue] = {
            **data,
            "promoted_from": str(Stage.NONE),
            "promoted_to": str(Stage.PRODUCTION),
            "cause": "adoption",
        }
        yield _STAGE, adopted
        yield "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", adopted
    if event.kind == "EVALUATION_FINISHED" and event.tags:
        yield "MODEL_VERSION_TAG_SET", {"tags": dict(event.tags)}


def _version(event: AnyEvent) -> str:
    for name in ("version", "to_version"):
        found = getattr(event, name, None)
        if found is not None:
            return str(found)
    return ""


def _id(entry: str, name: str) -> str:
    return "evt_" + hashlib.sha256(f"{entry}:{name}".encode()).hexdigest()[:32]
