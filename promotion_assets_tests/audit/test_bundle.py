from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.answers import RECOMPUTED
from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets.audit.regulation import ROWS, table
from promotion_assets.errors import EvidenceMissing, StorageUnreachable, UsageError
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets_tests import evidence as made
from promotion_assets_tests.audit.bundles import KEYS, Edit, changed, export, judged, listed_anew
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import adopted, evaluated, new_ledger


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of version 2, from a ledger that has more in it."""
    folder = tmp_path_factory.mktemp("bundle")
    clock = Clock()
    ledger = new_ledger(folder, clock)
    adopted(ledger, FakeRegistry())
    ledger.append([evaluated("7", clock, model="churn")])
    evidence = judged(ledger, clock)
    ledger.append([evaluated("3", clock)])
    path = export(ledger, clock, folder / "out" / "bundle.zip", evidence)
    ledger.close()
    return path


def test_a_bundle_is_valid_and_its_statistics_come_out_again(bundle: Path) -> None:
    """With the installation's key every signature, proof and number is checked."""
    found = verify_bundle(bundle, KEYS)
    assert found.problems == ()
    assert found.to_json() == {
        "valid": True,
        "entries": 1,
        "problems": [],
        "compared": found.compared,
        "trusted": True,
    }
    assert found.compared > 50


def test_it_is_checked_where_only_the_package_is(bundle: Path, tmp_path: Path) -> None:
    """No ledger, no store, no configuration, no MLflow and no Dagster are needed."""
    script = (
        "import sys, json; from pathlib import Path\n"
        "from promotion_assets.audit.bundle_verify import verify_bundle\n"
        "print(json.dumps(verify_bundle(Path(sys.argv[1])).to_json()))\n"
        "assert not {'mlflow', 'dagster', 'sqlalchemy'} & set(sys.modules)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": root},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["valid"], said["trusted"]) == (True, False)


def _other_answers(files: dict[str, bytes]) -> None:
    import io

    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(files["answers.parquet"]))
    better = pc.multiply(rows["candidate"], 0.999)
    written = io.BytesIO()
    pq.write_table(rows.set_column(1, "candidate", better), written)
    files["answers.parquet"] = written.getvalue()


def _edit_json(name: str, **values: Any) -> Edit:
    def _edit(files: dict[str, bytes]) -> None:
        files[name] = json.dumps({**json.loads(files[name]), **values}).encode()

    return _edit


def _lower_limit(files: dict[str, bytes]) -> None:
    context = json.loads(files["evidence.json"])
    context["policy"]["gates"]["accuracy"]["minimum"] = 0.1
    files["evidence.json"] = json.dumps(context).encode()


def _other_proof(files: dict[str, bytes]) -> None:
    proofs = json.loads(files["proofs.json"])
    files["proofs.json"] = json.dumps({k: [*v[1:], "00" * 32] for k, v in proofs.items()}).encode()


def _other_page(files: dict[str, bytes]) -> None:
    files["index.html"] = files["index.html"].replace(b"approved", b"rejected")


def _leave_out(name: str) -> Edit:
    def _edit(files: dict[str, bytes]) -> None:
        del files[name]

    return _edit


def _slip_in(files: dict[str, bytes]) -> None:
    files["letter-from-the-board.txt"] = b"all is well"


def _rubbish(name: str) -> Edit:
    def _edit(files: dict[str, bytes]) -> None:
        files[name] = b"\x00rubbish"

    return _edit


def _deep(name: str) -> Edit:
    def _edit(files: dict[str, bytes]) -> None:
        files[name] = b"[" * 20_000 + b"]" * 20_000

    return _edit


EDITS: dict[str, tuple[Edit, str]] = {
    "answers": (_other_answers, "comes out as"),
    "limit": (_lower_limit, "policy in evidence.json is not the one"),
    "decision": (_edit_json("decision.json", verdict="rejected"), "decision.json is not"),
    "explanation": (_edit_json("explain.json", reviews=[{"actor": "bo"}]), "explain.json does not"),
    "proof": (_other_proof, "not proven to be in the ledger"),
    "checkpoint": (_rubbish("checkpoint.txt"), "checkpoint"),
    "entry": (_rubbish("entries/000000000006.json"), "not signed by"),
    "missing answers table": (_rubbish("answers.parquet"), "answers cannot be read"),
    "evidence": (_rubbish("evidence.json"), "not of the form"),
    "no decision file": (_leave_out("decision.json"), "decision.json"),
    "nested deep": (_deep("proofs.json"), "nested too deep"),
}


@pytest.mark.parametrize("name", [*EDITS, "page", "slipped in", "no manifest"])
def test_whoever_changes_a_file_is_found_out_by_the_manifest(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    """Without the key, no file can be changed, taken out or put in."""
    edits = {k: edit for k, (edit, _) in EDITS.items()} | {
        "page": _other_page,
        "slipped in": _slip_in,
        "no manifest": _leave_out("manifest.dsse.json"),
    }
    found = changed(bundle, tmp_path / "b.zip", edits[name])
    assert not found.valid
    assert found.problems


@pytest.mark.parametrize("name", EDITS)
def test_even_with_the_key_the_parts_must_fit_each_other(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    """A manifest signed over changed files does not hide that they contradict the entries."""
    edit, said = EDITS[name]

    def _both(files: dict[str, bytes]) -> None:
        edit(files)
        listed_anew(files)

    found = changed(bundle, tmp_path / "b.zip", _both)
    assert not found.valid
    assert any(said in problem for problem in found.problems), found.problems


def test_a_bundle_signed_by_a_stranger_is_refused(bundle: Path, tmp_path: Path) -> None:
    """The bundle's own key shows that it is whole, and the reader's key that it is ours."""
    stranger = CryptoSigner(Ed25519PrivateKey.generate())
    found = changed(bundle, tmp_path / "b.zip", lambda files: listed_anew(files, stranger))
    assert "no trusted key has signed its manifest" in found.problems[0]


def test_what_is_no_bundle_is_wrong_use(tmp_path: Path) -> None:
    """A file of another kind, or none, is named as such."""
    (tmp_path / "x.zip").write_text("hello")
    for name in ("x.zip", "absent.zip"):
        with pytest.raises(UsageError, match="promotion audit export"):
            verify_bundle(tmp_path / name)


def test_an_archive_whose_content_is_damaged_is_wrong_use(bundle: Path, tmp_path: Path) -> None:
    """A flipped byte in what is compressed is told, wherever it is."""
    whole = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        starts = [info.header_offset + 60 for info in archive.infolist()]
    for start in starts:
        (tmp_path / "x.zip").write_bytes(whole[:start] + b"\xff" * 8 + whole[start + 8 :])
        with pytest.raises(UsageError, match="it is no evidence bundle"):
            verify_bundle(tmp_path / "x.zip")


def test_the_same_evidence_gives_the_same_archive(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Two exports are equal byte for byte, and hold no path of the machine."""
    evidence = judged(ledger, clock, candidate=made.candidate(tmp_path / "artifact"))
    first = export(ledger, clock, tmp_path / "1.zip", evidence).read_bytes()
    second = export(ledger, clock, tmp_path / "2.zip", evidence).read_bytes()
    assert first == second
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert not any(str(tmp_path).encode() in archive.read(n) for n in archive.namelist())


def test_a_version_that_could_not_be_scored_has_a_bundle_too(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """A rejection without answers is evidence as well; there is nothing to compute again."""
    failure = ScoringFailure(kind="timeout", reason="it did not answer within 120 s")
    evidence = judged(ledger, clock, candidate_scores=failure)
    found = verify_bundle(export(ledger, clock, tmp_path / "b.zip", evidence), KEYS)
    assert (found.valid, found.compared) == (True, 0)
    found = verify_bundle(export(ledger, clock, tmp_path / "c.zip", None), KEYS)
    assert (found.valid, found.compared) == (True, 0)


def test_without_a_decision_there_is_nothing_to_export(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """The message says what to run; a target that cannot be written is named."""
    with pytest.raises(EvidenceMissing, match="promotion evaluate credit-risk 2"):
        export(ledger, clock, tmp_path / "b.zip", None)
    evidence = judged(ledger, clock)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnreachable, match="writable"):
        export(ledger, clock, tmp_path / "file" / "b.zip", evidence)


def test_the_page_follows_the_table_of_rules_and_escapes_what_it_shows(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Its headings are the table's, in order; a name with markup stays a name."""
    own = made.candidate(author="<script>alert(1)</script>")
    path = export(ledger, clock, tmp_path / "b.zip", judged(ledger, clock, candidate=own))
    with zipfile.ZipFile(path) as archive:
        page = archive.read("index.html").decode()
    headings = Headings()
    headings.feed(page)
    assert headings.found == [row.section for row in ROWS]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<polyline") == 2
    assert "http" not in page.replace("https://in-toto", "")


class Headings(HTMLParser):
    """Collects the texts of second-level headings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._inside = tag == "h2"

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.found.append(data.strip())
            self._inside = False


def test_the_documentation_has_the_same_table() -> None:
    """What the page says of rules and what the documentation says are one table."""
    text = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
    assert table() in text
    assert set(RECOMPUTED) <= {word.strip(",") for word in text.split()}
