"""Copy a version and its attestation to another registry: everything, verified there, once.

A copy keeps no state of its own. Each object that it makes at the target carries the copy's name,
so that a copy which died at any point finds what it had made and goes on from there, and one that
is repeated finds the version. The version is registered last, after what lies at the target was
read back and verified: until then nobody there can take it for a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from promotion_assets.errors import IntegrityError, Refusal
from promotion_assets.evaluation.candidate import ArtifactManifest
from promotion_assets.lifecycle.copy_identity import Identity
from promotion_assets.lifecycle.copy_values import (
    COPY_TAG,
    Held,
    Record,
    SourceVersion,
    carried_tags,
    differences,
)
from promotion_assets.lifecycle.events import EvaluationFinished, VersionCopied
from promotion_assets.lifecycle.ports import Ledger
from promotion_assets.lifecycle.stages import ModelState

# Each has a point before and a point after it; see Reach.
STEPS = (
    "run",
    "model",
    "records",
    "artifact",
    "attestation",
    "verification",
    "registration",
    "source tags",
    "ledger",
)
Reach = Callable[[str], None]
"""Told ``before STEP`` and ``after STEP`` as a copy passes them; may raise, or end the process."""


class Placed(Record):
    """A run and a model at the target, with the address of the model's files."""

    run_id: str
    model_id: str
    artifact_path: str
    finished: bool = False

    def identity(self) -> Identity:
        """Return what the copy's ``MLmodel`` has to say."""
        return Identity(
            model_id=self.model_id, run_id=self.run_id, artifact_path=self.artifact_path
        )


class TargetVersion(Record):
    """A version at the target, and what it was made of."""

    version: str
    placed: Placed


class NewVersion(Record):
    """A version as it is registered."""

    name: str
    placed: Placed
    description: str
    tags: Mapping[str, str]


class CopySource(Protocol):
    """The registry that a version is copied from."""

    def mark(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of the version."""


class CopyTarget(Protocol):
    """The registry that a version is copied to; all of it may be repeated.

    Raises, all of them:
        RegistryUnreachable: it does not answer; repeating the copy goes on from there.
        UsageError: it refuses what was asked.
    """

    def find(self, name: str, copy: str) -> TargetVersion | None:
        """Return the version that this copy has registered, if it has."""

    def make_run(self, source: SourceVersion, copy: str, tags: Mapping[str, str]) -> str:
        """Return the run of this copy, made if it is not there."""

    def make_model(self, source: SourceVersion, copy: str, run_id: str) -> Placed:
        """Return the model of this copy, made if it is not there."""

    def write_records(self, source: SourceVersion, copy: str, placed: Placed) -> None:
        """Log parameters, metrics, tags and inputs of the run and of the model."""

    def read_records(self, copy: str, placed: Placed) -> Held:
        """Return what is logged."""

    def upload(self, placed: Placed, folder: Path) -> None:
        """Write the model's files and finish the model."""

    def attach(self, placed: Placed, folder: Path) -> None:
        """Write the attestation's files to the run."""

    def download(self, placed: Placed, folder: Path) -> None:
        """Read the model's files into ``folder``."""

    def download_attached(self, placed: Placed, folder: Path) -> None:
        """Read the attestation's files into ``folder``."""

    def register(self, new: NewVersion, copy: str) -> str:
        """Register the version, with the model where it is new; return its number."""


@dataclass(frozen=True)
class CopyPlan:
    """One version on its way.

    Attributes:
        copy: names the copy, see :func:`promotion_assets.lifecycle.copy_values.copy_id`.
        source_uri, target_uri: without credentials.
        name: of the model at the target.
        manifest: of the source's artifact.
        work: a folder for what is read back.
    """

    copy: str
    source_uri: str
    target_uri: str
    name: str
    source: SourceVersion
    manifest: ArtifactManifest
    decision: EvaluationFinished
    work: Path
    actor: str

    def doing(self) -> str:
        """Say what is being done, as the first part of a message."""
        return f"copy {self.source.model} version {self.source.version} to {self.target_uri}"


class Proven(Record):
    """What was verified at the target.

    Attributes:
        target_digest: of the whole artifact there.
        attestation_digest: of the evidence bundle there.
        decision_digest: of the approving decision in it.
        statement: the signed statement about the copy, a DSSE envelope in JSON.
    """

    target_digest: str
    attestation_digest: str
    decision_digest: str
    keyid: str
    statement: str


class Courier(Protocol):
    """Who packs artifact and attestation here, and verifies both there."""

    def pack_artifact(self, plan: CopyPlan, placed: Placed) -> Path:
        """Return a folder with the artifact as it is to lie at the target."""

    def pack_attestation(self, plan: CopyPlan, placed: Placed) -> Path:
        """Return a folder with the attestation's files."""

    def verify(self, plan: CopyPlan, placed: Placed, artifact: Path, attached: Path) -> Proven:
        """Verify what was read back, with the source's public key.

        Raises:
            IntegrityError: it is not what was decided on.
        """


def check_copyable(state: ModelState, version: str, digest: str, doing: str) -> EvaluationFinished:
    """Return the approved decision on exactly this artifact.

    Raises:
        Refusal: there is none, or something speaks against the version by now.
    """
    decision = state.decisions.get(version)
    again = f"evaluate it: `promotion evaluate {state.model} {version}`"
    if decision is None:
        raise Refusal(doing, "no decision is recorded for this version", again)
    if decision.verdict != "approved":
        gates = ", ".join(decision.deciding_gates) or "no gate named"
        raise Refusal(
            doing,
            f"its decision is {decision.verdict} by {gates}: {decision.reason}",
            f"see `promotion explain {state.model} {version}`; only what is approved is copied",
        )
    if not digest or decision.model_digest != digest:
        raise Refusal(
            doing,
            f"the artifact judged was {decision.model_digest[:12]} and the one in the registry "
            f"is {digest[:12] or 'unreadable'}",
            f"find out who changed it; then {again}",
        )
    if digest in state.latches:
        raise Refusal(
            doing,
            f"its artifact was rejected in production: {state.latches[digest].reason}",
            "if the reason no longer holds, clear the latch with `promotion rollout clear-latch`",
        )
    for (_, reviewed), reviews in state.reviews.items():
        if reviewed == version and reviews and reviews[-1].verdict == "rejected":
            raise Refusal(
                doing,
                f"{reviews[-1].actor} has rejected it: {reviews[-1].comment}",
                "register a new version that answers the reviewer",
            )
    return decision


def copy_version(
    plan: CopyPlan,
    source: CopySource,
    target: CopyTarget,
    courier: Courier,
    ledger: Ledger,
    reach: Reach,
) -> VersionCopied:
    """Carry out a copy, or what is left of it; repeating it changes nothing.

    Raises:
        IntegrityError: what lies at the target is not what was sent; it is not registered.
        RegistryUnreachable, LedgerUnreachable, StorageUnreachable: repeat it, it goes on.
    """
    found = target.find(plan.name, plan.copy)
    placed = found.placed if found else _place(plan, target, courier, reach)
    with _Between(reach, "verification"):
        proven = _verify(plan, target, courier, placed)
    with _Between(reach, "registration"):
        new = _new_version(plan, placed, proven)
        version = found.version if found else target.register(new, plan.copy)
    event = _event(plan, placed, proven, version)
    with _Between(reach, "source tags"):
        source.mark(plan.source.model, plan.source.version, _source_tags(plan, event))
    with _Between(reach, "ledger"):
        if not _is_recorded(ledger.state(event.model), event):
            ledger.append([event])
    return event


def _is_recorded(state: ModelState, event: VersionCopied) -> bool:
    """Whether this copy is recorded, by whomever it was asked for."""
    return any(
        (held.target_registry, held.target_model, held.target_version, held.target_run_id)
        == (event.target_registry, event.target_model, event.target_version, event.target_run_id)
        for held in state.copies.get(event.version, ())
    )


def _place(plan: CopyPlan, target: CopyTarget, courier: Courier, reach: Reach) -> Placed:
    with _Between(reach, "run"):
        run_id = target.make_run(plan.source, plan.copy, _run_tags(plan))
    with _Between(reach, "model"):
        placed = target.make_model(plan.source, plan.copy, run_id)
    with _Between(reach, "records"):
        target.write_records(plan.source, plan.copy, placed)
    with _Between(reach, "artifact"):
        if not placed.finished:
            target.upload(placed, courier.pack_artifact(plan, placed))
    with _Between(reach, "attestation"):
        target.attach(placed, courier.pack_attestation(plan, placed))
    return placed


def _verify(plan: CopyPlan, target: CopyTarget, courier: Courier, placed: Placed) -> Proven:
    artifact, attached = plan.work / "artifact", plan.work / "attached"
    target.download(placed, artifact)
    target.download_attached(placed, attached)
    proven = courier.verify(plan, placed, artifact, attached)
    lacking = differences(plan.source, target.read_records(plan.copy, placed))
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise IntegrityError(
            plan.doing(),
            "the target does not hold what the source does: " + "; ".join(lacking[:5]) + more,
            f"find out who changed run {placed.run_id} there, or which limit of the server cuts "
            "values; delete that run and repeat the copy",
        )
    return proven


def _run_tags(plan: CopyPlan) -> dict[str, str]:
    return {
        COPY_TAG: plan.copy,
        "source_registry": plan.source_uri,
        "source_model": plan.source.model,
        "source_version": plan.source.version,
        "source_run_id": plan.source.run_id or "",
    }


def _new_version(plan: CopyPlan, placed: Placed, proven: Proven) -> NewVersion:
    tags = carried_tags(plan.source.tags) | {
        COPY_TAG: plan.copy,
        "promoted_from_registry": plan.source_uri,
        "promoted_from_model": plan.source.model,
        "promoted_from_version": plan.source.version,
        "promotion.digest": proven.target_digest,
        "promotion.content_digest": plan.manifest.content_digest,
        "promotion.source_digest": plan.manifest.digest,
        "promotion.attestation.sha256": proven.attestation_digest,
        "promotion.attestation.key": proven.keyid,
        "promotion.attestation": proven.statement,
    }
    return NewVersion(name=plan.name, placed=placed, description=plan.source.description, tags=tags)


def _source_tags(plan: CopyPlan, event: VersionCopied) -> dict[str, str]:
    return {
        "promoted_to_registry": plan.target_uri,
        "promoted_to_model": plan.name,
        "promoted_to_version": event.target_version,
        "promoted_to_digest": event.target_digest,
        "promotion.content_digest": plan.manifest.content_digest,
        "promotion.source_digest": plan.manifest.digest,
    }


def _event(plan: CopyPlan, placed: Placed, proven: Proven, version: str) -> VersionCopied:
    return VersionCopied(
        model=plan.source.model,
        version=plan.source.version,
        actor=plan.actor,
        source_registry=plan.source_uri,
        target_registry=plan.target_uri,
        target_model=plan.name,
        target_version=version,
        target_run_id=placed.run_id,
        model_digest=plan.manifest.digest,
        target_digest=proven.target_digest,
        content_digest=plan.manifest.content_digest,
        decision_digest=proven.decision_digest,
        attestation_digest=proven.attestation_digest,
    )


@dataclass(frozen=True)
class _Between:
    """The span of one step, with a point at either end."""

    reach: Reach
    step: str

    def __enter__(self) -> None:
        self.reach(f"before {self.step}")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.reach(f"after {self.step}")
