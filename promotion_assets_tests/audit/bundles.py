"""Evidence bundles of versions that were judged for real, and copies that somebody has changed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.bundle import MANIFEST_TYPE, export_bundle
from promotion_assets.audit.bundle_verify import BundleVerification, verify_bundle
from promotion_assets.audit.checkpoint import Checkpointer
from promotion_assets.canonical import canonical_json
from promotion_assets.decision.decide import Decision, decide, pins_of
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.catalogue import run_gate, settings_for
from promotion_assets.lifecycle.record import record_evaluation
from promotion_assets_tests import evidence as made
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, SIGNER

KEYS = [SIGNER.public_key]
Files = dict[str, bytes]
Edit = Callable[[Files], None]


def decided(evidence: Evidence, clock: Clock) -> Decision:
    """Judge version 2 by the policy of its evidence, for real."""
    results = [
        run_gate(gate, evidence, settings, clock)
        for gate, settings in settings_for(evidence.policy).values()
    ]
    return decide(
        results,
        evidence.policy,
        model=MODEL,
        version="2",
        pins=pins_of(evidence, "0.1.0", {"python": "3.11"}),
        decided_at=clock(),
    )


def recorded(ledger: DatabaseLedger, evidence: Evidence, clock: Clock) -> Evidence:
    """Judge the evidence and record the decision."""
    record_evaluation(ledger, FakeRegistry(), decided(evidence, clock))
    return evidence


def judged(ledger: DatabaseLedger, clock: Clock, **changes: Any) -> Evidence:
    """Judge version 2 by its answers to four gates, and record the decision."""
    gates = {"accuracy": {"minimum": 0.7}, "fairness": {}, "calibration": {}, "schema": {}}
    evidence = made.evidence(policy=made.policy(gates=gates), **changes)
    return recorded(ledger, evidence, clock)


def export(ledger: DatabaseLedger, clock: Clock, target: Path, evidence: Evidence | None) -> Path:
    """Publish a checkpoint and export version 2."""
    published = Checkpointer(ledger, SIGNER, []).publish()
    return export_bundle(
        ledger, SIGNER, published, MODEL, "2", target, clock(), evidence=evidence
    ).path


def edited(bundle: Path, target: Path, edit: Edit) -> Path:
    """Write a copy of the bundle in which somebody has changed something."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    edit(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def changed(bundle: Path, target: Path, edit: Edit) -> BundleVerification:
    """Verify a copy of the bundle in which somebody has changed something."""
    return verify_bundle(edited(bundle, target, edit), KEYS)


def listed_anew(
    files: Files, signer: CryptoSigner = SIGNER, *, kind: str = MANIFEST_TYPE, **changes: Any
) -> None:
    """Sign the manifest, with changes, over the files as they are: only the key's owner can."""
    manifest = json.loads(files["manifest.json"])
    others = {n: d for n, d in files.items() if not n.startswith("manifest")}
    manifest["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in sorted(others.items())}
    files["manifest.json"] = canonical_json(manifest | changes)
    envelope = Envelope(files["manifest.json"], kind, {})
    envelope.sign(signer)
    files["manifest.dsse.json"] = canonical_json(envelope.to_dict())
