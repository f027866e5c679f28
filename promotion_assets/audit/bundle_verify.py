"""Check an evidence bundle with the bundle alone: signatures, proofs, and the statistics again."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from promotion_assets.audit.answers import Context, recompute, recompute_tally
from promotion_assets.audit.bundle import FORMAT, MANIFEST, MANIFEST_TYPE, SIGNED
from promotion_assets.audit.checkpoint import Checkpoint, read_checkpoint
from promotion_assets.audit.entries import UNTIL, Entry, recorded_of, verify_signature
from promotion_assets.audit.explain import explain_history
from promotion_assets.audit.merkle import leaf_hash, verify_inclusion
from promotion_assets.audit.shadow_words import shadow_problems
from promotion_assets.canonical import digest_bytes, digest_of
from promotion_assets.decision.decide import Decision
from promotion_assets.errors import IntegrityError, UsageError
from promotion_assets.lifecycle.events import EvaluationFinished, Recorded

# Far above any real bundle; below what would fill a disk or the memory of who checks it.
MOST_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class BundleVerification:
    """The answer about a bundle.

    Attributes:
        compared: numbers that were computed again and compared with the signed decision.
        trusted: whether the key was given by whoever checks; a bundle checked with its own key
            is only known to be whole.
    """

    valid: bool
    entries: int
    problems: tuple[str, ...]
    compared: int
    trusted: bool

    def to_json(self) -> dict[str, Any]:
        """Return the answer in the form that ``promotion audit verify BUNDLE --json`` prints."""
        return {
            "valid": self.valid,
            "entries": self.entries,
            "problems": list(self.problems),
            "compared": self.compared,
            "trusted": self.trusted,
        }


def verify_bundle(path: Path, keys: Sequence[SSlibKey] = ()) -> BundleVerification:
    """Check a bundle.

    Args:
        keys: the public keys that the reader trusts; with none, the bundle's own is used and
            the answer says so.

    Raises:
        UsageError: if there is no such file, or it is no archive.
    """
    files = _read(path)
    problems: list[str] = []
    entries = compared = 0
    try:
        trusted = list(keys) or _own_keys(files)
        manifest = _manifest(files, trusted)
        problems += _file_problems(files, manifest)
        history = _history(files, manifest, trusted)
        entries = len(history)
        problems += _proof_problems(files, manifest, trusted)
        decision, found = _decision(files, manifest, history)
        problems += found
        problems += shadow_problems(history)
        compared, found = _statistics(files, decision)
        problems += found
    except IntegrityError as error:
        problems.append(f"{error.doing}: {error.problem}")
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        problems.append(f"a file of the bundle is not of the form it should have ({error})")
    except RecursionError:
        problems.append("a file of the bundle is nested too deep to be one of ours")
    return BundleVerification(
        not problems, entries, tuple(dict.fromkeys(problems)), compared, bool(keys)
    )


def _read(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
                raise UsageError(
                    f"read the bundle {path}",
                    f"it unpacks to more than {MOST_BYTES // 1024**3} GB",
                    "ask whoever made it for one bundle a version",
                )
            names = archive.namelist()
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise UsageError(
                    f"read the bundle {path}",
                    f"a file occurs twice in it: {twice[:100]!r}",
                    "trust nothing in it; have it exported again with `promotion audit export`",
                )
            return {name: archive.read(name) for name in names}
    except (
        *(OSError, zipfile.BadZipFile, RuntimeError),
        *(zlib.error, lzma.LZMAError, EOFError, ValueError),
    ) as error:
        raise UsageError(
            f"read the bundle {path}",
            f"it is no evidence bundle ({error})",
            "name a file that `promotion audit export` has written",
        ) from error


def _own_keys(files: Mapping[str, bytes]) -> list[SSlibKey]:
    said = json.loads(files["key.json"])
    return [
        SSlibKey(
            key["keyid"],
            "ed25519",
            "ed25519",
            {"public": key["public"]},
            {UNTIL: key.get(UNTIL)},
        )
        for key in (said, *said.get("earlier", ()))
    ]


def _manifest(files: Mapping[str, bytes], keys: Sequence[SSlibKey]) -> dict[str, Any]:
    if MANIFEST not in files or SIGNED not in files:
        raise _damaged("it has no signed manifest")
    envelope = Envelope.from_dict(json.loads(files[SIGNED]))
    try:
        envelope.verify(list(keys), 1)
    except VerificationError as error:
        raise _damaged("no trusted key has signed its manifest") from error
    if envelope.payload_type != MANIFEST_TYPE or envelope.payload != files[MANIFEST]:
        raise _damaged("its manifest is not the one that was signed")
    manifest: dict[str, Any] = json.loads(envelope.payload)
    if manifest.get("format") != FORMAT:
        raise _damaged(f"its format {manifest.get('format')!r} is not known to this release")
    return manifest


def _file_problems(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Iterator[str]:
    listed = manifest["files"]
    for name in sorted(listed.keys() | (files.keys() - {MANIFEST, SIGNED})):
        if name not in files:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} is not listed in the manifest"
        elif digest_bytes(files[name]) != listed[name]:
            yield f"{name} is not the file that was signed for"


def _history(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], keys: Sequence[SSlibKey]
) -> list[Recorded]:
    history = []
    for sequence in manifest["entries"]:
        envelope = files[f"entries/{sequence:012d}.json"]
        _signed_by_one(envelope, keys, sequence)
        entry = Entry(sequence, "", 0, "", "", leaf_hash(envelope).hex(), envelope)
        recorded = recorded_of(entry)
        if recorded.sequence != sequence or recorded.event.model != manifest["model"]:
            raise _damaged(f"entry {sequence} was signed as something else")
        history.append(recorded)
    return history


def _signed_by_one(envelope: bytes, keys: Sequence[SSlibKey], sequence: int) -> None:
    *others, last = keys
    for key in others:
        try:
            verify_signature(envelope, key, sequence)
            return
        except IntegrityError:
            continue
    verify_signature(envelope, last, sequence)


def _proof_problems(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], keys: Sequence[SSlibKey]
) -> Iterator[str]:
    said = manifest["ledger"]
    checkpoint = read_checkpoint(files["checkpoint.txt"].decode(), list(keys), said["origin"])
    if checkpoint != Checkpoint(said["size"], bytes.fromhex(said["root"]), said["origin"]):
        yield "its checkpoint is not the one in the manifest"
    proofs = json.loads(files["proofs.json"])
    for sequence in manifest["entries"]:
        leaf = leaf_hash(files[f"entries/{sequence:012d}.json"])
        proof = [bytes.fromhex(step) for step in proofs.get(str(sequence), ())]
        if not verify_inclusion(leaf, sequence - 1, checkpoint.size, proof, checkpoint.root):
            yield f"entry {sequence} is not proven to be in the ledger of the checkpoint"


def _decision(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], history: Sequence[Recorded]
) -> tuple[Decision, list[str]]:
    model, version = manifest["model"], manifest["version"]
    signed = [r.event for r in history if isinstance(r.event, EvaluationFinished)]
    if not signed:
        raise _damaged("it has no decision")
    last = signed[-1]
    said = json.loads(files["decision.json"])
    problems = []
    if said != last.decision or digest_of(said) != last.decision_digest:
        problems.append("decision.json is not the decision in the signed entry")
    if json.loads(files["explain.json"]) != explain_history(model, version, history):
        problems.append("explain.json does not follow from the entries")
    return Decision.model_validate(dict(last.decision)), problems


def _statistics(files: Mapping[str, bytes], decision: Decision) -> tuple[int, list[str]]:
    if "evidence.json" not in files:
        return 0, []
    context = Context.model_validate_json(files["evidence.json"])
    problems = list(_pin_problems(context, decision))
    if problems:
        return 0, problems
    if "answers.parquet" in files:
        compared, disagreements = recompute(context, files["answers.parquet"], decision)
    elif "tally.json" in files:
        compared, disagreements = recompute_tally(context, files["tally.json"], decision)
    else:
        return 0, problems
    problems += [
        f"{d.where} was recorded as {d.recorded} and comes out as {d.recomputed}"
        for d in disagreements
    ]
    return compared, problems


def _pin_problems(context: Context, decision: Decision) -> Iterator[str]:
    """Hold what the statistics are computed from against the digests in the signed decision."""
    pins = decision.pins
    if context.policy.digest != pins.policy_digest:
        yield "the policy in evidence.json is not the one that was judged by"
    champion = context.champion.digest if context.champion else None
    for name, digest, pinned in (
        ("candidate", context.candidate.digest, pins.model_digest),
        ("champion", champion, pins.champion_digest),
        ("dataset", context.dataset.digest if context.dataset else "", pins.dataset_digest),
    ):
        if digest != pinned:
            yield f"the {name} in evidence.json is not the one that was judged"


def _damaged(problem: str) -> IntegrityError:
    return IntegrityError(
        "check the bundle",
        problem,
        "trust nothing in it; have it exported again with `promotion audit export`, and tell "
        "whoever sent it",
    )
