"""One version's evidence in one archive that is checked on a machine with nothing else.

Files: ``manifest.json`` (what is in it, by digest) and ``manifest.dsse.json`` (the same, signed);
``entries/`` (the version's ledger entries as they are stored), ``checkpoint.txt`` and
``proofs.json`` (that they are in the ledger); ``decision.json``, ``explain.json``,
``evidence.json`` and ``answers.parquet`` (what was found, and what it was computed from);
``key.json`` (the public key) and ``index.html`` (all of it, to read).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key, SSlibKey

from promotion_assets.audit.answers import answers_of, context_of, tally_of
from promotion_assets.audit.bundle_page import render_page
from promotion_assets.audit.checkpoint import Published
from promotion_assets.audit.entries import UNTIL, Entry, Signer, last_of, recorded_of
from promotion_assets.audit.explain import concerns, explain_history
from promotion_assets.audit.ledger import Ledger
from promotion_assets.audit.merkle import inclusion_proof, leaf_hash
from promotion_assets.canonical import canonical_json, digest_bytes
from promotion_assets.errors import EvidenceMissing, StorageUnreachable
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.lifecycle.events import EvaluationFinished

FORMAT = "promotion-assets/evidence-bundle/v1"
MANIFEST_TYPE = "application/vnd.promotion-assets.bundle+json"
MANIFEST, SIGNED = "manifest.json", "manifest.dsse.json"


@dataclass(frozen=True)
class Bundle:
    """A written bundle."""

    path: Path
    entries: int
    size: int


def export_bundle(
    ledger: Ledger,
    signer: Signer,
    published: Published,
    model: str,
    version: str,
    target: Path,
    now: datetime,
    *,
    evidence: Evidence | None = None,
    trusted: Sequence[SSlibKey] = (),
) -> Bundle:
    """Write the bundle of one version to ``target``.

    Args:
        published: a checkpoint of the ledger as it is now.
        evidence: what the last decision was made on; without it the bundle has no answers, and
            its statistics cannot be computed again.
        trusted: the public keys of those who signed before ``signer`` did.

    Raises:
        EvidenceMissing: if the ledger has no decision on the version.
        StorageUnreachable: if ``target`` cannot be written.
    """
    size = published.checkpoint.size
    leaves, chosen = _entries(ledger, size, model, version)
    history = [recorded_of(entry) for entry in chosen]
    decisions = [r.event for r in history if isinstance(r.event, EvaluationFinished)]
    if not decisions:
        raise EvidenceMissing(
            f"export the evidence of {model} version {version}",
            "the ledger has no decision on it",
            f"evaluate it: `promotion evaluate {model} {version}`",
        )
    files = {f"entries/{entry.sequence:012d}.json": entry.envelope for entry in chosen}
    files |= _told(explain_history(model, version, history), decisions[-1], evidence, published)
    files |= {
        "checkpoint.txt": published.note.encode(),
        "proofs.json": canonical_json(_proofs(leaves, chosen, size)),
        "key.json": _pretty(_keys(signer.public_key, trusted)),
    }
    manifest = {
        "format": FORMAT,
        "model": model,
        "version": version,
        "created_at": now.isoformat(),
        "ledger": {
            "origin": published.checkpoint.origin,
            "size": size,
            "root": published.checkpoint.root.hex(),
        },
        "entries": [entry.sequence for entry in chosen],
        "files": {name: digest_bytes(data) for name, data in sorted(files.items())},
    }
    files |= _signed(manifest, signer)
    _write(target, files)
    return Bundle(target, len(chosen), target.stat().st_size)


def _entries(
    ledger: Ledger, size: int, model: str, version: str
) -> tuple[list[bytes], list[Entry]]:
    """Return the leaf hashes of the first ``size`` entries, and the entries of the version."""
    leaves: list[bytes] = []
    chosen: list[Entry] = []
    for entry in ledger.entries():
        if len(leaves) == size:
            break
        leaves.append(leaf_hash(entry.envelope))
        if entry.model == model and concerns(recorded_of(entry).event, version):
            chosen.append(entry)
    return leaves, chosen


def _proofs(leaves: Sequence[bytes], chosen: Sequence[Entry], size: int) -> dict[str, list[str]]:
    return {
        str(entry.sequence): [
            step.hex() for step in inclusion_proof(leaves, entry.sequence - 1, size)
        ]
        for entry in chosen
    }


def _told(
    explained: Mapping[str, Any],
    decision: EvaluationFinished,
    evidence: Evidence | None,
    published: Published,
) -> dict[str, bytes]:
    """Return the files that people and programs read, and what they were computed from."""
    answers = answers_of(evidence) if evidence is not None else None
    context = context_of(evidence) if evidence is not None else None
    page = render_page(explained, decision, context, answers, published)
    files = {
        "decision.json": _pretty(dict(decision.decision)),
        "explain.json": _pretty(explained),
        "index.html": page.encode(),
    }
    if context is not None:
        files["evidence.json"] = _pretty(context.model_dump(mode="json"))
    if answers is not None:
        files["answers.parquet"] = answers
    counted = tally_of(evidence) if evidence is not None else None
    if counted is not None:
        files["tally.json"] = counted
    return files


def _signed(manifest: Mapping[str, Any], signer: Signer) -> dict[str, bytes]:
    plain = canonical_json(manifest)
    envelope = Envelope(plain, MANIFEST_TYPE, {})
    envelope.sign(signer)
    return {MANIFEST: plain, SIGNED: canonical_json(envelope.to_dict())}


def _keys(own: Key, trusted: Sequence[SSlibKey]) -> dict[str, Any]:
    earlier = [{**_key(key), UNTIL: last_of(key)} for key in trusted if key.keyid != own.keyid]
    return {**_key(own), "earlier": earlier} if earlier else _key(own)


def _key(key: Key) -> dict[str, str]:
    return {"keyid": key.keyid, "type": "ed25519", "public": key.keyval["public"]}


def _pretty(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _write(target: Path, files: Mapping[str, bytes]) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            # A fixed date: the same evidence gives the same archive.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        draft.write_bytes(written.getvalue())
        draft.replace(target)
    except OSError as error:
        raise StorageUnreachable(
            f"write the bundle {target}", str(error), "name a folder that is writable"
        ) from error
