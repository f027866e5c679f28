"""The proof that travels with a copy: from the copied bytes back to the signed decision.

Files, beside the copy's run: ``bundle.zip`` (the evidence bundle), ``manifest.json`` (every file
of the source's artifact, whose digest the decision pins), ``MLmodel`` (the one file that the copy
had to rewrite, as it was) and ``copy.dsse.json`` (source and target by digest, signed). A public
key is all that is needed to go the way from one end to the other.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets.audit.entries import PAYLOAD_TYPE, STATEMENT_TYPE, Signer, keyid_of
from promotion_assets.canonical import canonical_json, digest_bytes, digest_of
from promotion_assets.decision.decide import Decision
from promotion_assets.errors import IntegrityError, UsageError
from promotion_assets.evaluation.artifact import MLMODEL, manifest
from promotion_assets.evaluation.candidate import ArtifactManifest
from promotion_assets.lifecycle import copy_identity
from promotion_assets.lifecycle.copying import CopyPlan, Placed, Proven

PREDICATE_TYPE = "https://promotion-assets.dev/copy/v1"
BUNDLE, MANIFEST, STATEMENT = "bundle.zip", "manifest.json", "copy.dsse.json"


def write_proof(
    plan: CopyPlan, placed: Placed, artifact: Path, bundle: bytes, folder: Path, signer: Signer
) -> None:
    """Write the proof's files into ``folder``.

    Args:
        artifact: the source's artifact, as it was decided on.
    """
    original = copy_identity.read(artifact)
    sent = digest_with(plan.manifest, copy_identity.rewritten(original, placed.identity()))
    envelope = Envelope(
        canonical_json(_statement(plan, placed, sent, digest_bytes(bundle))), PAYLOAD_TYPE, {}
    )
    envelope.sign(signer)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BUNDLE).write_bytes(bundle)
    (folder / MLMODEL).write_bytes(original)
    (folder / MANIFEST).write_bytes(canonical_json(plan.manifest.model_dump(mode="json")))
    (folder / STATEMENT).write_bytes(canonical_json(envelope.to_dict()))


def verify_proof(
    plan: CopyPlan, placed: Placed, artifact: Path, attached: Path, keys: Sequence[SSlibKey]
) -> Proven:
    """Verify an artifact and its proof, both as they were read at the target.

    Raises:
        IntegrityError: naming the first thing that does not follow from the rest.
    """
    check = Check(
        plan.doing(),
        "it is not registered there; find out who changed it, delete the copy's run and model at "
        "the target, and copy again",
    )
    source = plan.source
    decision = check.bundle(attached / BUNDLE, keys, model=source.model, version=source.version)
    recorded = check.manifest(attached / MANIFEST, decision)
    found = manifest(artifact)
    check.holds(
        found.content_digest == recorded.content_digest,
        f"the files there have the content digest {found.content_digest[:12]} and the source's "
        f"{recorded.content_digest[:12]}: {_changed(recorded, found)}",
    )
    original, copied = check.read(attached / MLMODEL), copy_identity.read(artifact)
    check.holds(
        digest_bytes(original) == check.entry(recorded, MLMODEL),
        "the MLmodel that came along is not the one that was decided on",
    )
    check.holds(
        copy_identity.same_but_for_identity(original, copied)
        and copy_identity.identity_of(copied) == placed.identity(),
        "its MLmodel says more that is new than where it belongs",
    )
    statement = check.read(attached / STATEMENT)
    bundle = digest_bytes(check.read(attached / BUNDLE))
    check.statement(statement, keys, _statement(plan, placed, found.digest, bundle))
    return Proven(
        target_digest=found.digest,
        attestation_digest=bundle,
        decision_digest=decision.digest,
        keyid=keyid_of(statement),
        statement=statement.decode(),
    )


def digest_with(source: ArtifactManifest, mlmodel: bytes) -> str:
    """Return the digest of an artifact that is the source's but for its ``MLmodel``."""
    new = {"size": len(mlmodel), "sha256": digest_bytes(mlmodel)}
    files = (entry.model_dump() for entry in source.files)
    return digest_of([entry | new if entry["path"] == MLMODEL else entry for entry in files])


@dataclass(frozen=True)
class Check:
    """Checks of one proof; each raises IntegrityError where something does not hold."""

    doing: str
    next_step: str

    def holds(self, condition: bool, otherwise: str) -> None:
        """Raise with ``otherwise`` unless ``condition`` holds."""
        if not condition:
            raise IntegrityError(self.doing, otherwise, self.next_step)

    def read(self, path: Path) -> bytes:
        """Return the content of a file of the proof."""
        self.holds(path.is_file(), f"{path.name} of its attestation is missing")
        return path.read_bytes()

    def bundle(self, path: Path, keys: Sequence[SSlibKey], *, model: str, version: str) -> Decision:
        """Return the approved decision that the evidence bundle proves."""
        self.holds(bool(keys), "there is no key to verify its attestation with")
        self.read(path)
        try:
            found = verify_bundle(path, keys)
            self.holds(
                found.valid, f"its attestation is not valid: {'; '.join(found.problems[:3])}"
            )
            with zipfile.ZipFile(path) as archive:
                decision = Decision.model_validate_json(archive.read("decision.json"))
        except (UsageError, ValidationError) as error:
            problem = error.problem if isinstance(error, UsageError) else "no decision is in it"
            self.holds(False, f"its attestation cannot be read: {problem}")
            raise
        about = (decision.model, decision.version, decision.verdict)
        self.holds(
            about == (model, version, "approved"),
            f"its attestation is of {about[0]} version {about[1]}, {about[2]}",
        )
        return decision

    def manifest(self, path: Path, decision: Decision) -> ArtifactManifest:
        """Return the source's manifest, which the decision pins."""
        try:
            said = ArtifactManifest.model_validate_json(self.read(path))
        except ValidationError:
            self.holds(False, "the manifest that came along cannot be read")
            raise
        files = [entry.model_dump() for entry in said.files]
        content = [entry for entry in files if entry["path"] != MLMODEL]
        self.holds(
            digest_of(files) == decision.pins.model_digest
            and digest_of(content) == said.content_digest,
            "the manifest that came along is not the one that was decided on",
        )
        return said

    def entry(self, recorded: ArtifactManifest, path: str) -> str | None:
        """Return the digest of one file of a manifest."""
        return next((entry.sha256 for entry in recorded.files if entry.path == path), None)

    def statement(self, stored: bytes, keys: Sequence[SSlibKey], expected: dict[str, Any]) -> None:
        """Check that a trusted key has signed exactly ``expected``."""
        try:
            envelope = Envelope.from_dict(json.loads(stored))
            envelope.verify(list(keys), 1)
        except (
            *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
            VerificationError,
        ):
            self.holds(False, "no trusted key has signed the statement about the copy")
            raise
        self.holds(
            envelope.payload == canonical_json(expected),
            "the signed statement is about another copy than the one that lies there",
        )


def _statement(plan: CopyPlan, placed: Placed, target_digest: str, bundle: str) -> dict[str, Any]:
    source = plan.source
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": plan.name, "digest": {"sha256": target_digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "copy": plan.copy,
            "source": {
                "registry": plan.source_uri,
                "model": source.model,
                "version": source.version,
                "run": source.run_id,
                "digest": plan.manifest.digest,
            },
            "target": {
                "registry": plan.target_uri,
                "model": plan.name,
                "run": placed.run_id,
                "logged_model": placed.model_id,
                "digest": target_digest,
            },
            "content_digest": plan.manifest.content_digest,
            "attestation": bundle,
        },
    }


def _changed(recorded: ArtifactManifest, found: ArtifactManifest) -> str:
    before = {e.path: e.sha256 for e in recorded.files if e.path != MLMODEL}
    after = {e.path: e.sha256 for e in found.files if e.path != MLMODEL}
    names = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    return ", ".join(names[:5])
