"""A copy and its proof as they lie at the target, and whatever may have been done to them there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from promotion_assets.audit.arrival import verify_arrival
from promotion_assets.audit.copy_proof import (
    BUNDLE,
    MANIFEST,
    STATEMENT,
    digest_with,
    verify_proof,
    write_proof,
)
from promotion_assets.audit.entries import PAYLOAD_TYPE
from promotion_assets.canonical import canonical_json, digest_bytes, digest_of
from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.artifact import MLMODEL, manifest
from promotion_assets.evaluation.candidate import ArtifactManifest
from promotion_assets.lifecycle.copy_identity import rewritten
from promotion_assets.lifecycle.copy_values import SourceVersion
from promotion_assets.lifecycle.copying import CopyPlan, Placed
from promotion_assets_tests import evidence as made
from promotion_assets_tests.audit.attacks import STRANGER
from promotion_assets_tests.audit.bundles import KEYS, Edit, edited, export, judged, listed_anew
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, SIGNER, evaluated, new_ledger

PLACED = Placed(run_id="r2", model_id="m-2", artifact_path="mlflow-artifacts:/7/m-2")
FILES = {
    MLMODEL: b"artifact_path: here\nflavors: {}\nmodel_id: m-1\nmodel_uuid: m-1\nrun_id: r1\n",
    "model.skops": b"weights",
    "requirements.txt": b"scikit-learn==1.9.1\n",
}


@dataclass(frozen=True)
class Copy:
    """A copy: what was planned, and its files and those of its proof, as they lie there."""

    plan: CopyPlan
    artifact: Path
    attached: Path

    def proof(self, keys: list[SSlibKey] = KEYS) -> Any:
        """Verify it as whoever has sent it does before it is registered."""
        return verify_proof(self.plan, PLACED, self.artifact, self.attached, keys)

    def arrival(self, keys: list[SSlibKey] = KEYS, name: str = "credit", run: str = "r2") -> Any:
        """Verify it as whoever finds it there does."""
        return verify_arrival("use it", name, run, self.artifact, self.attached, keys)

    def sign(self, change: Callable[[dict[str, Any]], None], by: CryptoSigner = SIGNER) -> None:
        """Sign another statement about the copy."""
        path = self.attached / STATEMENT
        said = json.loads(Envelope.from_dict(json.loads(path.read_bytes())).payload)
        change(said)
        envelope = Envelope(canonical_json(said), PAYLOAD_TYPE, {})
        envelope.sign(by)
        path.write_bytes(canonical_json(envelope.to_dict()))

    def pack(self, edit: Edit, *, signed: bool = True) -> None:
        """Change the evidence bundle, and sign its list of files anew."""
        path = self.attached / BUNDLE
        edited(path, path, edit)
        if signed:
            edited(path, path, listed_anew)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of version 2, which was judged for real, with nothing done to it."""
    folder = tmp_path_factory.mktemp("copy")
    clock = Clock()
    ledger = new_ledger(folder, clock)
    original = write(folder / "original", FILES)
    found = manifest(original)
    evidence = judged(ledger, clock, candidate=made.candidate(artifact=found))
    bundle = export(ledger, clock, folder / BUNDLE, evidence).read_bytes()
    ledger.close()
    plan = CopyPlan(
        copy="c" * 64,
        source_uri="http://test",
        target_uri="http://live",
        name="credit",
        source=SourceVersion(
            model=MODEL, version="2", run_id="r1", created_at=datetime(2026, 3, 1, tzinfo=UTC)
        ),
        manifest=found,
        decision=evaluated("2", clock, model_digest=found.digest),
        work=folder,
        actor="ana",
    )
    write_proof(plan, PLACED, original, bundle, folder / "attached", SIGNER)
    there = FILES | {MLMODEL: rewritten(FILES[MLMODEL], PLACED.identity())}
    return Copy(plan, write(folder / "artifact", there), folder / "attached")


@pytest.fixture
def copy(whole: Copy, tmp_path: Path) -> Copy:
    """The same copy, to do something to."""
    artifact, attached = tmp_path / "artifact", tmp_path / "attached"
    shutil.copytree(whole.artifact, artifact)
    shutil.copytree(whole.attached, attached)
    return Copy(whole.plan, artifact, attached)


def test_an_untouched_copy_is_proven_at_both_ends(whole: Copy) -> None:
    """The same decision is found by who sends it and by who finds it, from a public key alone."""
    proven, found = whole.proof(), whole.arrival()
    assert proven.target_digest == manifest(whole.artifact).digest
    assert proven.target_digest == digest_with(
        whole.plan.manifest, (whole.artifact / MLMODEL).read_bytes()
    )
    assert proven.target_digest != whole.plan.manifest.digest
    assert proven.attestation_digest == digest_bytes((whole.attached / BUNDLE).read_bytes())
    assert (proven.decision_digest, proven.keyid) == (found.decision_digest, found.keyid)
    assert found.sentence() == (
        f"it is version 2 of credit-risk at http://test, approved there (decision "
        f"{proven.decision_digest[:12]}, signed by {SIGNER.public_key.keyid[:12]})"
    )


def _weights(copy: Copy) -> None:
    (copy.artifact / "model.skops").write_bytes(b"other weights")


def _slip_in(copy: Copy) -> None:
    (copy.artifact / "more.py").write_bytes(b"import os")


def _mlmodel(copy: Copy) -> None:
    path = copy.artifact / MLMODEL
    path.write_bytes(path.read_bytes() + b"code: code\n")


def _elsewhere(copy: Copy) -> None:
    path = copy.artifact / MLMODEL
    path.write_bytes(path.read_bytes().replace(b"m-2", b"m-9"))


def _nowhere(copy: Copy) -> None:
    path = copy.artifact / MLMODEL
    path.write_bytes(path.read_bytes().replace(b"run_id: r2\n", b""))


def _original(copy: Copy) -> None:
    path = copy.attached / MLMODEL
    path.write_bytes(path.read_bytes() + b"# a remark\n")


def _lost(name: str) -> Callable[[Copy], None]:
    return lambda copy: (copy.attached / name).unlink()


def _rubbish(name: str, data: bytes = b"\x00rubbish") -> Callable[[Copy], None]:
    def _spoil(copy: Copy) -> None:
        (copy.attached / name).write_bytes(data)

    return _spoil


def _other_manifest(copy: Copy) -> None:
    path = copy.attached / MANIFEST
    said = ArtifactManifest.model_validate_json(path.read_bytes())
    files = tuple(e for e in said.files if e.path != "model.skops")
    path.write_text(said.model_copy(update={"files": files}).model_dump_json())


def _other_content(copy: Copy) -> None:
    path = copy.attached / MANIFEST
    said = ArtifactManifest.model_validate_json(path.read_bytes())
    path.write_text(said.model_copy(update={"content_digest": "0" * 64}).model_dump_json())


def _of_another_kind(copy: Copy) -> None:
    copy.pack(lambda files: files.update({"decision.json": b"{}"}))


def _unlisted(copy: Copy) -> None:
    copy.pack(lambda files: files.update({"letter.txt": b"all is well"}), signed=False)


UNSIGNED = "no trusted key has signed the statement about the copy"
SAID_BY_BOTH: dict[str, tuple[Callable[[Copy], None], str]] = {
    "no bundle": (_lost(BUNDLE), "bundle.zip of its attestation is missing"),
    "no manifest": (_lost(MANIFEST), "manifest.json of its attestation is missing"),
    "no statement": (_lost(STATEMENT), "copy.dsse.json of its attestation is missing"),
    "no original": (_lost(MLMODEL), "MLmodel of its attestation is missing"),
    "bundle": (_rubbish(BUNDLE), "its attestation cannot be read: it is no evidence bundle"),
    "slipped in": (_unlisted, "its attestation is not valid: "),
    "decision": (_of_another_kind, "its attestation is not valid: "),
    "manifest": (_rubbish(MANIFEST), "the manifest that came along cannot be read"),
    "other manifest": (_other_manifest, "the manifest that came along is not the one"),
    "other content": (_other_content, "the manifest that came along is not the one"),
    "statement": (_rubbish(STATEMENT), UNSIGNED),
    "a list": (_rubbish(STATEMENT, b"[]"), UNSIGNED),
    "nested deep": (_rubbish(STATEMENT, b"[" * 20_000 + b"]" * 20_000), UNSIGNED),
    "by a stranger": (lambda copy: copy.sign(lambda said: None, STRANGER), UNSIGNED),
    "more in the MLmodel": (_mlmodel, "its MLmodel says more that is new than where it belongs"),
}


@pytest.mark.parametrize("name", SAID_BY_BOTH)
def test_what_was_done_to_a_copy_is_named_before_it_is_registered(copy: Copy, name: str) -> None:
    """The refusal says what is wrong, that nothing is registered, and what to delete."""
    do, said = SAID_BY_BOTH[name]
    do(copy)
    with pytest.raises(IntegrityError) as caught:
        copy.proof()
    assert said in caught.value.problem
    assert caught.value.doing == "copy credit-risk version 2 to http://live"
    assert "it is not registered there; find out who changed it" in caught.value.next_step


# There the signed digest is compared first, so that another MLmodel is seen as other bytes.
@pytest.mark.parametrize("name", [n for n in SAID_BY_BOTH if n != "more in the MLmodel"])
def test_what_was_done_to_it_later_is_named_where_it_is_used(copy: Copy, name: str) -> None:
    """Whoever finds the copy reads the same, and where it is to come from again."""
    do, said = SAID_BY_BOTH[name]
    do(copy)
    with pytest.raises(IntegrityError) as caught:
        copy.arrival()
    assert said in caught.value.problem
    assert caught.value.doing == "use it"
    assert "have it copied again" in caught.value.next_step


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (_weights, "the content digest .* and the source's .*: model.skops$"),
        (_slip_in, "the content digest .* and the source's .*: more.py$"),
        (_original, "the MLmodel that came along is not the one that was decided on"),
        (_elsewhere, "its MLmodel says more that is new than where it belongs"),
        (_nowhere, "it has no run_id"),
    ],
)
def test_other_bytes_than_were_decided_on_are_not_registered(
    copy: Copy, do: Callable[[Copy], None], said: str
) -> None:
    """The files that differ are named, and an MLmodel that belongs somewhere else is refused."""
    do(copy)
    with pytest.raises(IntegrityError) as caught:
        copy.proof()
    assert re.search(said, caught.value.problem)


def test_a_statement_about_another_copy_proves_nothing(copy: Copy) -> None:
    """A key that one trusts has signed it, and still it is not about what lies there."""
    copy.sign(lambda said: said["predicate"]["target"].update(run="r9"))
    with pytest.raises(IntegrityError, match="about another copy than the one that lies there"):
        copy.proof()


def test_without_a_key_nothing_is_proven(copy: Copy) -> None:
    """The bundle's own key is never taken for one that somebody trusts."""
    with pytest.raises(IntegrityError, match="there is no key to verify its attestation with"):
        copy.proof(keys=[])
    with pytest.raises(IntegrityError, match=UNSIGNED):
        copy.arrival(keys=[])
    with pytest.raises(IntegrityError, match="no trusted key has signed its manifest"):
        copy.proof(keys=[STRANGER.public_key])


def _subject(said: dict[str, Any]) -> None:
    said["subject"] = [*said["subject"], *said["subject"]]


def _rights(said: dict[str, Any]) -> None:
    said["predicateType"] = "https://example.org/other"


def _half(said: dict[str, Any]) -> None:
    del said["predicate"]["content_digest"]


def _sent(**values: str) -> Callable[[dict[str, Any]], None]:
    def _change(said: dict[str, Any]) -> None:
        for key, value in values.items():
            part, _, name = key.rpartition("_of_")
            held = said["predicate"][name] if part else said["predicate"]
            held[part or key] = value

    return _change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_subject, UNSIGNED),
        (_half, UNSIGNED),
        (_rights, "the statement is not about a copy"),
        (_sent(digest_of_target="0" * 64), "its artifact has the digest "),
        (_sent(content_digest="0" * 64), "its files are not those that were decided on"),
        (_sent(digest_of_source="0" * 64), "the decision that came along is on another artifact"),
        (_sent(attestation="0" * 64), "the bundle is not the one that was signed for"),
        (_sent(version_of_source="3"), "its attestation is of credit-risk version 2, approved"),
        (_sent(model_of_source="churn"), "its attestation is of credit-risk version 2, approved"),
        (_sent(model_of_target="m"), "it was sent as m of run r2 and lies here as credit of run"),
    ],
)
def test_what_was_signed_for_has_to_follow_from_what_lies_there(
    copy: Copy, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """Even a statement of a trusted key is compared with the bundle, the files and the place."""
    copy.sign(change)
    with pytest.raises(IntegrityError) as caught:
        copy.arrival()
    assert said in caught.value.problem


def test_a_copy_that_is_found_in_another_place_is_refused(whole: Copy) -> None:
    """Under another name or in another run it is not what was sent there."""
    for place in ({"name": "other"}, {"run": "r9"}):
        with pytest.raises(IntegrityError, match="it was sent as credit of run r2 and lies here"):
            whole.arrival(**place)  # type: ignore[arg-type]


def test_changed_bytes_are_found_where_they_are_used(copy: Copy) -> None:
    """Whether a file is another, or the original MLmodel that came along."""
    _original(copy)
    with pytest.raises(IntegrityError, match="its MLmodel says more that is new"):
        copy.arrival()
    _weights(copy)
    with pytest.raises(IntegrityError, match="its artifact has the digest"):
        copy.arrival()


def test_an_mlmodel_that_was_signed_for_is_still_read(copy: Copy) -> None:
    """A trusted key may sign for the bytes there; what they say more is refused all the same."""
    _mlmodel(copy)
    found = manifest(copy.artifact).digest

    def _change(said: dict[str, Any]) -> None:
        said["subject"][0]["digest"]["sha256"] = said["predicate"]["target"]["digest"] = found

    copy.sign(_change)
    with pytest.raises(IntegrityError, match="its MLmodel says more that is new"):
        copy.arrival()


def test_a_digest_of_a_copy_needs_only_the_manifest() -> None:
    """An artifact without an MLmodel keeps its digest; one with it gets another."""
    bare = made.manifest({"a": b"1"})
    assert digest_with(bare, b"x") == bare.digest
    full = made.manifest({"a": b"1", MLMODEL: b"y"})
    rewritten_too = made.manifest({"a": b"1", MLMODEL: b"x"})
    assert digest_with(full, b"x") == rewritten_too.digest
    assert digest_of([e.model_dump() for e in full.files]) == full.digest
