"""What has come from another registry, verified where it arrived, with nothing but a public key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from promotion_assets.audit.copy_proof import BUNDLE, MANIFEST, PREDICATE_TYPE, STATEMENT, Check
from promotion_assets.audit.entries import keyid_of
from promotion_assets.canonical import digest_bytes
from promotion_assets.evaluation.artifact import MLMODEL, manifest
from promotion_assets.lifecycle import copy_identity


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Source(_Said):
    registry: str
    model: str
    version: str
    digest: str


class _Target(_Said):
    model: str
    run: str
    logged_model: str
    digest: str


class _Predicate(_Said):
    source: _Source
    target: _Target
    content_digest: str
    attestation: str


@dataclass(frozen=True)
class Arrival:
    """Where a version came from, and what was decided there.

    Attributes:
        keyid: of the trusted key that has signed for it.
    """

    source_registry: str
    source_model: str
    source_version: str
    decision_digest: str
    keyid: str

    def sentence(self) -> str:
        """Say it in one sentence."""
        return (
            f"it is version {self.source_version} of {self.source_model} at "
            f"{self.source_registry}, approved there (decision {self.decision_digest[:12]}, "
            f"signed by {self.keyid[:12]})"
        )


def verify_arrival(
    doing: str,
    model: str,
    run_id: str,
    artifact: Path,
    attached: Path,
    keys: Sequence[SSlibKey],
) -> Arrival:
    """Verify that an artifact is what was approved where it came from.

    Args:
        model, run_id: what it is called here, and the run that it lies in here.
        artifact, attached: its files and those of its attestation, as they lie here.
        keys: whom one trusts to have approved it.

    Raises:
        IntegrityError: naming the first thing that does not follow from the rest.
    """
    check = Check(doing, "nothing was changed; have it copied again, and find out who changed it")
    stored = check.read(attached / STATEMENT)
    digest, said = _statement(check, stored, keys)
    decision = check.bundle(
        attached / BUNDLE, keys, model=said.source.model, version=said.source.version
    )
    recorded = check.manifest(attached / MANIFEST, decision)
    found = manifest(artifact)
    original, here = check.read(attached / MLMODEL), copy_identity.read(artifact)
    bundle = digest_bytes(check.read(attached / BUNDLE))
    for condition, otherwise in (
        (
            found.digest == digest == said.target.digest,
            f"its artifact has the digest {found.digest[:12]} and what was sent {digest[:12]}",
        ),
        (
            found.content_digest == recorded.content_digest == said.content_digest,
            "its files are not those that were decided on",
        ),
        (
            decision.pins.model_digest == said.source.digest,
            "the decision that came along is on another artifact",
        ),
        (
            digest_bytes(original) == check.entry(recorded, MLMODEL)
            and copy_identity.same_but_for_identity(original, here),
            "its MLmodel says more that is new than where it belongs",
        ),
        (said.attestation == bundle, "the bundle is not the one that was signed for"),
        (
            (said.target.model, said.target.run) == (model, run_id),
            f"it was sent as {said.target.model} of run {said.target.run[:12]} and lies here as "
            f"{model} of run {run_id[:12]}",
        ),
    ):
        check.holds(condition, otherwise)
    return Arrival(
        source_registry=said.source.registry,
        source_model=said.source.model,
        source_version=said.source.version,
        decision_digest=decision.digest,
        keyid=keyid_of(stored),
    )


def _statement(check: Check, stored: bytes, keys: Sequence[SSlibKey]) -> tuple[str, _Predicate]:
    """Return the digest that the signed statement is about, and what it says of it."""
    try:
        envelope = Envelope.from_dict(json.loads(stored))
        envelope.verify(list(keys), 1)
        said: Mapping[str, Any] = json.loads(envelope.payload)
        check.holds(said["predicateType"] == PREDICATE_TYPE, "the statement is not about a copy")
        (subject,) = said["subject"]
        return str(subject["digest"]["sha256"]), _Predicate.model_validate(said["predicate"])
    except (
        *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
        *(VerificationError, ValidationError),
    ):
        check.holds(False, "no trusted key has signed the statement about the copy")
        raise
