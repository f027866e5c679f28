"""The state of one model: which version stands where, folded from the ledger and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from promotion_assets.lifecycle.champion_events import ChampionFailed
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    Cause,
    DeploymentConfirmed,
    Deviation,
    DigestLatched,
    EvaluationFinished,
    IntentRecorded,
    ReviewDecided,
    ReviewRequested,
    RolledBack,
    RolloutStepped,
    ShadowReported,
    Stage,
    VersionCopied,
)
from promotion_assets.serving.plan import TrafficPlan

# Every stage change there is, with the causes it may have. Adoption is an event of its own.
ALLOWED: Mapping[tuple[Stage, Stage], frozenset[Cause]] = {
    (Stage.NONE, Stage.STAGING): frozenset({"promotion"}),
    (Stage.STAGING, Stage.PRODUCTION): frozenset({"promotion"}),
    (Stage.PRODUCTION, Stage.ARCHIVED): frozenset({"superseded", "rollback"}),
    (Stage.STAGING, Stage.ARCHIVED): frozenset({"rejected", "withdrawn"}),
    (Stage.ARCHIVED, Stage.PRODUCTION): frozenset({"rollback"}),
}

Place = tuple[str, str]
"""A segment and a version."""


@dataclass(frozen=True)
class ModelState:
    """What the ledger says of one model after its first ``sequence`` events.

    Attributes:
        sequence: number of the model's last event; what compare-and-set compares.
        stages: stage by segment and version; a version not named is in stage None.
        champions: the version that holds the champion's role, by segment.
        rolling: the version that is rolling out beside the champion, by segment.
        lines: every champion of a segment in order of its taking the role, repeats included.
        rolled_back: the rollback that was a segment's last change of Production, if it was one.
        decisions: the last evaluation of each version in whichever segment, without the
            decision's full text.
        for_segment: the same by segment and version.
        past_tags: tags of all evaluations of a version before the last one.
        shadows, reviews: last shadow report and all reviews, by segment and version.
        requests: the last request for review, by segment and version.
        assignments: everybody who was ever assigned to a review, in order.
        requested: how many reviews were ever requested.
        reminders: what was said of a request since it was opened, by its name.
        asked_by: who had a version moved to Staging, and so asks for its promotion.
        latches: latched artifact digests.
        digests: digest of a version's artifact when it last changed its stage.
        intent: the change that was announced and is neither finished nor abandoned.
        copies: where each version was copied to, in order.
        traffic: the plan that servers follow; ``None`` before the first champion.
        rollout_steps: what happened to the version that is rolling out, by segment, in order;
            of the last one where none is.
        deployments: what pipelines reported, in order, by segment and version.
        champion_failures: the last report on a champion that would not be let through today, by
            segment and version; of an earlier decision where it passes again.
        deviations: what the registry was last found to say against the ledger, if it does still.
    """

    model: str
    sequence: int = 0
    stages: Mapping[str, Mapping[str, Stage]] = field(default_factory=dict)
    champions: Mapping[str, str] = field(default_factory=dict)
    rolling: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rolled_back: Mapping[str, RolledBack] = field(default_factory=dict)
    for_segment: Mapping[Place, EvaluationFinished] = field(default_factory=dict)
    decisions: Mapping[str, EvaluationFinished] = field(default_factory=dict)
    past_tags: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    shadows: Mapping[Place, ShadowReported] = field(default_factory=dict)
    reviews: Mapping[Place, tuple[ReviewDecided, ...]] = field(default_factory=dict)
    requests: Mapping[Place, ReviewRequested] = field(default_factory=dict)
    assignments: tuple[str, ...] = ()
    requested: int = 0
    reminders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked_by: Mapping[Place, str] = field(default_factory=dict)
    latches: Mapping[str, DigestLatched] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, tuple[VersionCopied, ...]] = field(default_factory=dict)
    deployments: Mapping[Place, tuple[DeploymentConfirmed, ...]] = field(default_factory=dict)
    champion_failures: Mapping[Place, ChampionFailed] = field(default_factory=dict)
    intent: IntentRecorded | None = None
    traffic: TrafficPlan | None = None
    rollout_steps: Mapping[str, tuple[RolloutStepped, ...]] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()

    def stage(self, version: str, segment: str = DEFAULT_SEGMENT) -> Stage:
        """Return the version's stage in ``segment``."""
        return self.stages.get(segment, {}).get(version, Stage.NONE)

    def stage_anywhere(self, version: str) -> Stage:
        """Return the stage nearest to live traffic that the version has in any segment."""
        held = {by_version.get(version, Stage.NONE) for by_version in self.stages.values()}
        for stage in (Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED):
            if stage in held:
                return stage
        return Stage.NONE

    def decision(self, version: str, segment: str = DEFAULT_SEGMENT) -> EvaluationFinished | None:
        """Return the last evaluation of the version for ``segment``."""
        return self.for_segment.get((segment, version))

    def deployment(
        self, version: str, segment: str = DEFAULT_SEGMENT, environment: str = "production"
    ) -> DeploymentConfirmed | None:
        """Return the last report on the version in ``environment``."""
        reports = self.deployments.get((segment, version), ())
        return next((r for r in reversed(reports) if r.environment == environment), None)

    def in_stage(self, stage: Stage, segment: str = DEFAULT_SEGMENT) -> tuple[str, ...]:
        """Return the versions in ``stage``, in order of version number."""
        found = [v for v, held in self.stages.get(segment, {}).items() if held is stage]
        return tuple(sorted(found, key=version_key))

    def versions(self) -> tuple[str, ...]:
        """Return every version that the ledger knows, in order of version number."""
        known = {v for by_version in self.stages.values() for v in by_version}
        return tuple(sorted(known | set(self.decisions), key=version_key))

    def had_production(self, segment: str = DEFAULT_SEGMENT) -> bool:
        """Whether any version has ever been champion of ``segment``."""
        return bool(self.lines.get(segment))


def version_key(version: str) -> tuple[int, int, str]:
    """Sort key of versions: numbers by value and before all else, anything else as text."""
    return (0, int(version), version) if version.isdecimal() else (1, 0, version)
