"""What can have happened to a model: past facts, each of them one entry of the ledger.

Events are never changed and never taken back; a later event says what became of it. ``kind`` is
the word in the ledger and, where SPEC names one, in outgoing notifications.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, JsonValue, TypeAdapter

from promotion_assets.lifecycle.champion_events import ChampionFailed as ChampionFailed
from promotion_assets.lifecycle.drill_events import (
    DrillAnswered,
    DrillEnded,
    DrillOpened,
    DrillRefused,
    DrillReminded,
)
from promotion_assets.lifecycle.event_base import DEFAULT_SEGMENT as DEFAULT_SEGMENT
from promotion_assets.lifecycle.event_base import Event as Event
from promotion_assets.lifecycle.event_base import Value as Value
from promotion_assets.lifecycle.registry_events import Deviation as Deviation
from promotion_assets.lifecycle.registry_events import RegistryRestored as RegistryRestored
from promotion_assets.lifecycle.registry_events import RegistryTampered as RegistryTampered
from promotion_assets.lifecycle.review_events import AccessRecorded as AccessRecorded
from promotion_assets.lifecycle.review_events import ReviewDecided as ReviewDecided
from promotion_assets.lifecycle.review_events import ReviewRefused as ReviewRefused
from promotion_assets.lifecycle.review_events import ReviewReminded as ReviewReminded
from promotion_assets.lifecycle.review_events import ReviewRequested as ReviewRequested
from promotion_assets.lifecycle.traffic_events import RolloutStepped as RolloutStepped
from promotion_assets.lifecycle.traffic_events import TrafficPlanned as TrafficPlanned


class Stage(StrEnum):
    """Where a version stands in one segment. It is in exactly one stage at any time."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


Cause = Literal["promotion", "adoption", "superseded", "rollback", "rejected", "withdrawn"]
Action = Literal["promote", "adopt", "complete_rollout", "archive", "mirror"]


class GateSummary(Value):
    """One gate result in short, as stages, tags and tables show it."""

    gate: str
    outcome: str
    reason: str


class EvaluationFinished(Event):
    """One evaluation of one version has ended with a decision, approving or not.

    Attributes:
        decision: the whole decision as JSON; ``decision_digest`` is the SHA-256 of its
            canonical form.
        registered_at: when the version was registered, which tells it from one of the same number
            of a registered model that was deleted and made again.
        metrics, champion_metrics: what was measured then of either version, by name.
        tags: what the registry's version is tagged with because of this decision.
    """

    kind: Literal["EVALUATION_FINISHED"] = "EVALUATION_FINISHED"
    version: str
    segment: str = DEFAULT_SEGMENT
    verdict: Literal["approved", "rejected"]
    deciding_gates: tuple[str, ...] = ()
    reason: str
    decided_at: AwareDatetime
    registered_at: AwareDatetime | None = None
    model_digest: str
    dataset_digest: str
    policy_digest: str
    champion_version: str | None = None
    champion_digest: str | None = None
    gates: tuple[GateSummary, ...] = ()
    metrics: Mapping[str, float | None] = Field(default_factory=dict)
    champion_metrics: Mapping[str, float | None] = Field(default_factory=dict)
    tags: Mapping[str, str] = Field(default_factory=dict)
    decision: Mapping[str, JsonValue] = Field(default_factory=dict)
    decision_digest: str


class MirrorSlice(Value):
    """The part of the registry's mirror that one change touches.

    Attributes:
        aliases: the version that each touched alias points to; ``None`` for no such alias.
        stages: the mirrored stage of each touched version.
    """

    aliases: Mapping[str, str | None] = Field(default_factory=dict)
    stages: Mapping[str, Stage] = Field(default_factory=dict)


class PlannedChange(Value):
    """One stage change that an intent announces.

    ``shadow_waiver`` is the reason for which the policy asked for no shadow report, where there
    is none that passed.
    """

    version: str
    segment: str = DEFAULT_SEGMENT
    promoted_from: Stage
    promoted_to: Stage
    cause: Cause
    model_digest: str = ""
    shadow_waiver: str | None = None


class IntentRecorded(Event):
    """A change was checked and announced; the registry may or may not have been changed yet.

    ``before`` and ``after`` are what the registry mirrors of it on both sides of the change, so
    that whoever finds the intent open can tell on which side it stopped.
    """

    kind: Literal["INTENT_RECORDED"] = "INTENT_RECORDED"
    intent_id: str
    action: Action
    reason: str
    changes: tuple[PlannedChange, ...] = ()
    before: MirrorSlice = MirrorSlice()
    after: MirrorSlice = MirrorSlice()


class IntentFinished(Event):
    """The registry mirrors what the intent announced; nothing is outstanding."""

    kind: Literal["INTENT_FINISHED"] = "INTENT_FINISHED"
    intent_id: str
    finished_by: Literal["writer", "reconciler"] = "writer"


class IntentAbandoned(Event):
    """The intent will not be carried out; no stage has changed because of it."""

    kind: Literal["INTENT_ABANDONED"] = "INTENT_ABANDONED"
    intent_id: str
    reason: str


class Reviewer(Value):
    """Who approved, when, and what they answered."""

    reviewer: str
    approved_at: AwareDatetime
    answers: Mapping[str, JsonValue] = Field(default_factory=dict)


class StageChanged(Event):
    """A version has moved from one stage to another in one segment.

    ``approved`` says whether an approved decision stands behind the move; it is false for moves
    out of the way (superseded, rolled back, withdrawn) and for rollbacks, which have no gates.
    """

    kind: Literal["MODEL_PROMOTION"] = "MODEL_PROMOTION"
    model: str = Field(alias="model_name", min_length=1)
    version: str = Field(alias="model_version")
    segment: str = DEFAULT_SEGMENT
    promoted_from: Stage
    promoted_to: Stage
    cause: Cause
    reason: str
    approved: bool
    intent_id: str | None = None
    model_digest: str = ""
    decision_digest: str | None = None
    automated_gates: tuple[GateSummary, ...] = ()
    human_reviewers: tuple[Reviewer, ...] = ()
    eval_dataset_version: str | None = None
    shadow_results: Mapping[str, JsonValue] | None = None
    shadow_waiver: str | None = None
    champion_version: str | None = None
    champion_metrics: Mapping[str, JsonValue] | None = None
    pipeline_result_timestamp: AwareDatetime | None = None


class Adopted(Event):
    """A version that already served when the platform arrived was taken in as the champion."""

    kind: Literal["ADOPTED"] = "ADOPTED"
    version: str
    segment: str = DEFAULT_SEGMENT
    reason: str
    model_digest: str
    intent_id: str | None = None


class RolloutCompleted(Event):
    """The version that was rolling out has taken the champion's role in its segment."""

    kind: Literal["ROLLOUT_COMPLETED"] = "ROLLOUT_COMPLETED"
    version: str
    segment: str = DEFAULT_SEGMENT
    reason: str
    intent_id: str | None = None


class RolledBack(Event):
    """Traffic of a segment went back from one version to another."""

    kind: Literal["ROLLED_BACK"] = "ROLLED_BACK"
    segment: str = DEFAULT_SEGMENT
    from_version: str
    to_version: str
    reason: str


class DigestLatched(Event):
    """An artifact was rejected in production: nothing with this digest goes live again."""

    kind: Literal["DIGEST_LATCHED"] = "DIGEST_LATCHED"
    version: str
    digest: str
    reason: str


class LatchCleared(Event):
    """A person has cleared the latch on a digest."""

    kind: Literal["LATCH_CLEARED"] = "LATCH_CLEARED"
    digest: str
    reason: str


class ShadowReported(Event):
    """The shadow of a Staging version was judged.

    Attributes:
        report: the report in full; ``report_digest`` is the SHA-256 of its canonical form.
        outcome: ``passed``, ``failed`` or ``inconclusive``.
        champion_digest: of the artifact that it was held against.
        rules_digest: of the policy's part on shadows that it was judged by.
        pairs: how many pairs of answers it saw.
        last: time of the last of them.
    """

    kind: Literal["SHADOW_REPORTED"] = "SHADOW_REPORTED"
    version: str
    segment: str = DEFAULT_SEGMENT
    passed: bool
    model_digest: str
    summary: str
    report: Mapping[str, JsonValue] = Field(default_factory=dict)
    report_digest: str = ""
    outcome: str = ""
    champion_digest: str = ""
    rules_digest: str = ""
    pairs: int = Field(default=0, ge=0)
    last: AwareDatetime | None = None


class VersionCopied(Event):
    """A version and its attestation were copied to another registry and verified there.

    Attributes:
        source_registry, target_registry: their addresses, without credentials.
        target_run_id: the run that stands for the version's own at the target.
        model_digest, target_digest: of the whole artifact at either end. They differ, since
            ``MLmodel`` names the run and the model it belongs to.
        content_digest: of everything but ``MLmodel``; the same at both ends.
        attestation_digest: of the evidence bundle that lies at the target.
    """

    kind: Literal["VERSION_COPIED"] = "VERSION_COPIED"
    version: str
    source_registry: str
    target_registry: str
    target_model: str
    target_version: str
    target_run_id: str
    model_digest: str
    target_digest: str
    content_digest: str
    decision_digest: str
    attestation_digest: str


class DeploymentConfirmed(Event):
    """A pipeline that a transition had started has reported what became of it.

    Attributes:
        notification: id of the outgoing event that the report answers.
        environment: where the version was put.
        detail: in the pipeline's own words, a link included.
    """

    kind: Literal["DEPLOYMENT_CONFIRMED"] = "DEPLOYMENT_CONFIRMED"
    version: str
    segment: str = DEFAULT_SEGMENT
    notification: str
    environment: str = Field(default="production", min_length=1, max_length=100)
    smoke_test: Literal["passed", "failed"]
    health: Literal["healthy", "unhealthy"]
    detail: str = Field(default="", max_length=2000)
    reported_at: AwareDatetime

    @property
    def good(self) -> bool:
        """Whether the version answers there and is well."""
        return self.smoke_test == "passed" and self.health == "healthy"


AnyEvent = (
    EvaluationFinished
    | IntentRecorded
    | IntentFinished
    | IntentAbandoned
    | StageChanged
    | Adopted
    | RolloutCompleted
    | TrafficPlanned
    | RolloutStepped
    | RolledBack
    | DigestLatched
    | LatchCleared
    | ShadowReported
    | ReviewRequested
    | ReviewReminded
    | ReviewRefused
    | ReviewDecided
    | AccessRecorded
    | RegistryTampered
    | RegistryRestored
    | VersionCopied
    | DeploymentConfirmed
    | ChampionFailed
    | DrillOpened
    | DrillAnswered
    | DrillRefused
    | DrillReminded
    | DrillEnded
)

_EVENTS: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])


def parse_event(data: Mapping[str, JsonValue]) -> AnyEvent:
    """Return the event that :meth:`Event.to_json` was called on.

    Raises:
        pydantic.ValidationError: if ``data`` is no event of a known kind.
    """
    return _EVENTS.validate_python(dict(data))


@dataclass(frozen=True)
class Recorded:
    """An event with its place in the ledger.

    Attributes:
        sequence: its number in the whole ledger, from 1.
        model_sequence: its number among its model's events, from 1.
        recorded_at: the writer's clock; order is never taken from it.
        hash: the entry's hash, as 64 hexadecimal digits.
    """

    sequence: int
    model_sequence: int
    recorded_at: datetime
    hash: str
    event: AnyEvent
