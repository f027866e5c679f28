"""Bundles of other kinds of evidence than the usual, and bundles that fit together badly."""

from __future__ import annotations

import dataclasses
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit import bundle_verify
from promotion_assets.audit.answers import (
    answers_of,
    context_of,
    read_answers,
    recompute,
    recompute_tally,
    tally_of,
)
from promotion_assets.audit.bundle import export_bundle
from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets.audit.checkpoint import Checkpointer
from promotion_assets.errors import UsageError
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets_tests import evidence as made
from promotion_assets_tests.audit.attacks import STRANGER
from promotion_assets_tests.audit.bundles import (
    KEYS,
    Edit,
    Files,
    changed,
    decided,
    export,
    judged,
    listed_anew,
    recorded,
)
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.large_rows import Large, large
from promotion_assets_tests.ledgers import MODEL, SIGNER, new_ledger, shadow


def three_classes() -> Evidence:
    """Evidence of a first version that tells three classes apart."""
    truth = np.random.default_rng(1).integers(0, 3, 600).astype(np.int64)
    values = np.full((600, 3), 0.1)
    values[np.arange(600), truth] = 0.8
    values[:60] = (0.8, 0.1, 0.1)
    classes = ("a", "b", "c")
    own = made.candidate()
    return made.evidence(
        policy=made.policy(
            task="multiclass",
            gates={"accuracy": {"metric": "accuracy", "minimum": 0.5}},
            first_version={"accept": "absolute", "reason": "there is none to compare with"},
        ),
        champion_strength=None,
        candidate=own,
        dataset=made.dataset(truth, {}, classes=classes),
        candidate_scores=made.scores(values, own, classes=classes),
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of version 2."""
    folder = tmp_path_factory.mktemp("bundle")
    ledger = new_ledger(folder, Clock())
    path = export(ledger, Clock(), folder / "bundle.zip", judged(ledger, Clock()))
    ledger.close()
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A dataset in shards, scored and counted."""
    return large(tmp_path_factory.mktemp("large"), rows=1500)


def page_of(path: Path) -> str:
    """The page in a bundle."""
    with zipfile.ZipFile(path) as archive:
        return archive.read("index.html").decode()


def test_answers_of_several_classes_come_out_again(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Each class has its column, the numbers are computed again, and the page has no ROC curve."""
    evidence = recorded(ledger, three_classes(), clock)
    answers = answers_of(evidence)
    assert answers is not None
    columns = read_answers(answers)
    assert sorted(columns) == ["candidate:0", "candidate:1", "candidate:2", "label"]
    path = export(ledger, clock, tmp_path / "b.zip", evidence)
    found = verify_bundle(path, KEYS)
    assert found.problems == ()
    assert found.compared > 5
    assert "<polyline" not in page_of(path)


def test_a_first_version_has_one_curve_and_is_compared_with_nothing(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Its table has no champion; a measurement without limit or outcome has no bar of one."""
    evidence = judged(ledger, clock, champion_strength=None)
    path = export(ledger, clock, tmp_path / "b.zip", evidence)
    assert verify_bundle(path, KEYS).problems == ()
    assert page_of(path).count("<polyline") == 1


def test_a_bundle_carries_counts_in_the_place_of_rows(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path, rows: Large
) -> None:
    """Whoever has it computes the same from the counts; changed counts come out otherwise."""
    evidence = recorded(ledger, rows.evidence(counted=True), clock)
    path = export(ledger, clock, tmp_path / "b.zip", evidence)
    found = verify_bundle(path, KEYS)
    assert found.problems == ()
    assert found.compared > 50
    assert "<polyline" not in page_of(path)

    def _forge(files: dict[str, bytes]) -> None:
        assert "answers.parquet" not in files
        files["tally.json"] = files["tally.json"].replace(b'"auc": 0.', b'"auc": 0.0', 1)
        listed_anew(files)

    assert "comes out as" in changed(path, tmp_path / "c.zip", _forge).problems[0]


def test_counts_of_a_version_alone_are_compared_with_no_champion(rows: Large, clock: Clock) -> None:
    """A champion whose answers were not counted gives an error again, as it did then."""
    evidence = rows.evidence(counted=True)
    assert evidence.tally is not None
    alone = evidence.tally.model_copy(update={"champion_digest": None, "champion_sha256": None})
    evidence = dataclasses.replace(evidence, champion_scores=None, tally=alone)
    counted = tally_of(evidence)
    assert counted is not None
    decision = decided(evidence, clock)
    assert decision.verdict == "rejected"
    compared, disagreements = recompute_tally(context_of(evidence), counted, decision)
    assert compared > 5
    assert disagreements == ()


def test_what_lacks_a_part_is_not_computed_again(rows: Large, clock: Clock) -> None:
    """Without the dataset's description, or the version's own answers, there is no number."""
    evidence = made.evidence()
    context, answers = context_of(evidence), answers_of(evidence)
    assert answers is not None
    decision = decided(evidence, clock)
    bare = context.model_copy(update={"dataset": None})
    with pytest.raises(ValueError, match="there are answers and no description of the rows"):
        recompute(bare, answers, decision)
    counted = tally_of(rows.evidence(counted=True))
    assert counted is not None
    with pytest.raises(ValueError, match="there are counts and no description of the rows"):
        recompute_tally(bare, counted, decision)
    with pytest.raises(ValueError, match="the candidate's answers are not there"):
        recompute(context, _only_labels(answers), decision)
    nothing = decision.model_copy(update={"results": ()})
    assert recompute(context, answers, nothing) == (0, ())


def _only_labels(answers: bytes) -> bytes:
    import io

    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(answers)).select(["label"]), written)
    return written.getvalue()


def test_a_bundle_holds_nothing_that_is_newer_than_its_checkpoint(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """What was recorded after the checkpoint is not proven by it, and so not in the bundle."""
    evidence = judged(ledger, clock)
    published = Checkpointer(ledger, SIGNER, []).publish()
    ledger.append([shadow("2")])
    path = tmp_path / "b.zip"
    made_of = export_bundle(ledger, SIGNER, published, MODEL, "2", path, clock(), evidence=evidence)
    assert made_of.entries == published.checkpoint.size
    found = verify_bundle(path, KEYS)
    assert (found.valid, found.entries) == (True, made_of.entries)


def _other_ledger(files: Files) -> None:
    said = json.loads(files["manifest.json"])["ledger"]
    listed_anew(files, ledger=said | {"size": said["size"] + 1})


def _swapped(files: Files) -> None:
    """Give an entry the number of another."""
    (name,) = (n for n in files if n.startswith("entries/"))
    files["entries/000000000009.json"] = files.pop(name)
    listed_anew(files, entries=[9])


def _without_answers(files: Files) -> None:
    del files["answers.parquet"]
    listed_anew(files)


def _other_candidate(files: Files) -> None:
    context = json.loads(files["evidence.json"])
    context["candidate"]["artifact"]["digest"] = "0" * 64
    files["evidence.json"] = json.dumps(context).encode()
    listed_anew(files)


MISFITS: list[tuple[Edit, str]] = [
    (
        lambda files: listed_anew(files, kind="text/plain"),
        "its manifest is not the one that was signed",
    ),
    (
        lambda files: files.update({"manifest.json": b"{}"}),
        "its manifest is not the one that was signed",
    ),
    (lambda files: listed_anew(files, format="v9"), "its format 'v9' is not known to this release"),
    (lambda files: listed_anew(files, model="churn"), "entry 1 was signed as something else"),
    (_swapped, "entry 9 was signed as something else"),
    (lambda files: listed_anew(files, entries=[]), "it has no decision"),
    (_other_ledger, "its checkpoint is not the one in the manifest"),
    (_other_candidate, "the candidate in evidence.json is not the one that was judged"),
]


@pytest.mark.parametrize("number", range(len(MISFITS)))
def test_a_manifest_that_does_not_fit_its_bundle_is_told(
    bundle: Path, tmp_path: Path, number: int
) -> None:
    """Though the key's owner has signed it: type, format, entries, ledger and evidence."""
    edit, said = MISFITS[number]
    found = changed(bundle, tmp_path / "b.zip", edit)
    assert not found.valid
    assert any(said in problem for problem in found.problems), found.problems


def test_without_the_answers_no_number_is_said_to_be_compared(bundle: Path, tmp_path: Path) -> None:
    """The signatures still hold, and the count of compared numbers is nothing."""
    found = changed(bundle, tmp_path / "b.zip", _without_answers)
    assert (found.valid, found.compared) == (True, 0)


def test_any_of_several_trusted_keys_will_do(bundle: Path) -> None:
    """The order of the keys does not matter; strangers alone do not make it valid."""
    for keys in ([STRANGER.public_key, *KEYS], [*KEYS, STRANGER.public_key]):
        assert verify_bundle(bundle, keys).valid
    assert not verify_bundle(bundle, [STRANGER.public_key]).valid


def test_an_archive_that_is_too_big_or_says_a_name_twice_is_not_read(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither fills the memory, nor lets one of two files be checked and the other read."""
    twice = tmp_path / "twice.zip"
    with zipfile.ZipFile(bundle) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = archive.read("decision.json")
        with zipfile.ZipFile(twice, "w") as made_of:
            made_of.writestr("decision.json", data)
            made_of.writestr("decision.json", b"{}")
    with pytest.raises(UsageError, match="a file occurs twice in it"):
        verify_bundle(twice)
    monkeypatch.setattr(bundle_verify, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="it unpacks to more than"):
        verify_bundle(bundle)
