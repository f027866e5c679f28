"""A small evidence bundle, exported from a real ledger, and its manifest signed anew."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path

from securesystemslib.dsse import Envelope

from promotion_assets.audit.bundle import MANIFEST_TYPE, export_bundle
from promotion_assets.audit.checkpoint import Checkpointer
from promotion_assets.canonical import canonical_json
from promotion_assets.decision.decide import decide, pins_of
from promotion_assets.gates.catalogue import run_gate, settings_for
from promotion_assets.lifecycle.record import record_evaluation
from promotion_assets_tests import evidence as evidences
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, SIGNER, adopted, new_ledger

KEYS = [SIGNER.public_key]


@cache
def made(*, evidence: bool) -> bytes:
    """Return the bytes of a bundle of version 2."""
    clock = Clock()
    policy = evidences.policy(gates={"accuracy": {"minimum": 0.7}, "fairness": {}})
    judged = evidences.evidence(policy=policy)
    with tempfile.TemporaryDirectory(prefix="made-bundle-") as name:
        folder = Path(name)
        ledger = new_ledger(folder, clock)
        adopted(ledger, FakeRegistry())
        decision = decide(
            [run_gate(g, judged, s, clock) for g, s in settings_for(policy).values()],
            policy,
            model=MODEL,
            version="2",
            pins=pins_of(judged, "0.1.0", {"python": "3.11"}),
            decided_at=clock(),
        )
        record_evaluation(ledger, FakeRegistry(), decision)
        published = Checkpointer(ledger, SIGNER, []).publish()
        target = folder / "bundle.zip"
        held = judged if evidence else None
        export_bundle(ledger, SIGNER, published, MODEL, "2", target, clock(), evidence=held)
        ledger.close()
        return target.read_bytes()


def listed_anew(files: dict[str, bytes], manifest: bytes | None = None) -> None:
    """Sign the manifest over the files as they are now, or sign ``manifest`` as it is."""
    if manifest is None:
        said = json.loads(files["manifest.json"])
        others = {n: d for n, d in files.items() if not n.startswith("manifest")}
        said["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in sorted(others.items())}
        manifest = canonical_json(said)
    files["manifest.json"] = manifest
    envelope = Envelope(manifest, MANIFEST_TYPE, {})
    envelope.sign(SIGNER)
    files["manifest.dsse.json"] = canonical_json(envelope.to_dict())
