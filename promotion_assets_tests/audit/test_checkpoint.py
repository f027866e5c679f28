from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.checkpoint import Checkpoint, Checkpointer, FilePlace, read_checkpoint
from promotion_assets.audit.note import open_note, sign_note
from promotion_assets.audit.verify import verify
from promotion_assets.errors import IntegrityError, StorageUnreachable
from promotion_assets_tests.audit.attacks import STRANGER
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import SIGNER, evaluated, new_ledger

KEYS = [SIGNER.public_key]


@dataclass(frozen=True)
class DownPlace:
    """A place that does not answer."""

    name: str = "the moon"

    def publish(self, size: int, note: str) -> str:
        raise StorageUnreachable("publish", "no answer", "wait")

    def held(self) -> Iterable[str]:
        raise StorageUnreachable("read", "no answer", "wait")


def test_a_checkpoint_has_the_form_that_other_tools_read(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Origin, size and root on three lines, an empty line, and a signature line."""
    ledger.append([evaluated("1", clock)])
    published = Checkpointer(ledger, SIGNER, [FilePlace(tmp_path / "out")]).publish()
    origin, size, root, empty, signature, end = published.note.split("\n")
    assert (origin, size, empty, end) == ("promotion-assets/ledger", "1", "", "")
    assert base64.b64decode(root) == published.checkpoint.root
    dash, name, encoded = signature.split(" ")
    assert (dash, name) == ("\u2014", "promotion-assets/ledger")
    assert len(base64.b64decode(encoded)) == 4 + 64
    assert Path(published.held_at[0]).read_text() == published.note
    assert read_checkpoint(published.note, KEYS) == published.checkpoint


def test_a_note_of_the_specification_opens() -> None:
    """The specification's own example is accepted, and refused with one character changed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from securesystemslib.signer import SSlibKey

    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    key = SSlibKey.from_crypto(
        Ed25519PublicKey.from_public_bytes(base64.b64decode(vkey.split("+", 2)[2])[1:])
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = (
        "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2"
        "pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(f"{text}\n{signature}", [key]) == text
    with pytest.raises(IntegrityError, match="no trusted key"):
        open_note(f"{text[:-2]}!\n\n{signature}", [key])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "no signature\n",
        "text\n\nno dash\n",
        "text\n\n\u2014 name not-base64!\n",
        "text\n\n\u2014 name\n",
        sign_note("a\nb\nc\n", "promotion-assets/ledger", SIGNER),
        sign_note("promotion-assets/ledger\n01\nAAAA\n", "promotion-assets/ledger", SIGNER),
        sign_note("another/ledger\n1\nAAAA\n", "promotion-assets/ledger", SIGNER),
        sign_note("promotion-assets/ledger\n1\nAAAA\n", "promotion-assets/ledger", STRANGER),
    ],
)
def test_what_is_no_checkpoint_of_this_ledger_is_a_problem_and_not_a_crash(
    ledger: DatabaseLedger, clock: Clock, note: str
) -> None:
    """A damaged, foreign or forged checkpoint makes verification fail and is named."""
    with pytest.raises(IntegrityError):
        read_checkpoint(note, KEYS)
    ledger.append([evaluated("1", clock)])
    found = verify(ledger.entries(), KEYS, [note])
    assert [problem.kind for problem in found.problems] == ["checkpoint"]


def test_a_place_that_fails_does_not_stop_the_others(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """The checkpoint is held where it can be, and the failure is reported."""
    ledger.append([evaluated("1", clock)])
    published = Checkpointer(ledger, SIGNER, [DownPlace(), FilePlace(tmp_path / "out")]).publish()
    assert len(published.held_at) == 1
    assert published.failed == ("the moon: no answer",)


def test_a_published_checkpoint_is_never_replaced(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """The same again is fine; another history of the same length is refused by the place."""
    place = FilePlace(tmp_path / "out")
    ledger.append([evaluated("1", clock)])
    first = Checkpointer(ledger, SIGNER, [place]).publish()
    assert Checkpointer(ledger, SIGNER, [place]).publish() == first
    other = new_ledger(tmp_path, clock, "other.db")
    other.append([evaluated("2", clock)])
    published = Checkpointer(other, SIGNER, [place]).publish()
    assert "says something else" in published.failed[0]
    assert list(place.held()) == [first.note]


def test_a_later_checkpoint_costs_only_what_is_new(
    ledger: DatabaseLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree is kept as its frontier; a second checkpoint reads the new entries alone."""
    checkpointer = Checkpointer(ledger, SIGNER, [])
    ledger.append([evaluated(v, clock) for v in "123"])
    checkpointer.publish()
    ledger.append([evaluated("4", clock)])
    asked = []
    entries = ledger.entries

    def _counted(model: str | None = None, after: int | None = None) -> Iterable[object]:
        asked.append(after)
        return entries(model, after)

    monkeypatch.setattr(ledger, "entries", _counted)
    later = checkpointer.publish()
    assert asked == [3]
    assert later.checkpoint == Checkpointer(ledger, SIGNER, []).publish().checkpoint


def test_a_note_with_an_empty_line_or_a_name_with_spaces_is_not_signed() -> None:
    """What could be read in two ways is not signed."""
    for text, name in (("a\n\nb\n", "k"), ("a", "k"), ("a\n", "k k"), ("a\n", "")):
        with pytest.raises(ValueError, match="a note's text"):
            sign_note(text, name, SIGNER)


def _checkpoint(size: int, root: bytes) -> str:
    text = f"promotion-assets/ledger\n{size}\n{base64.b64encode(root).decode()}\n"
    return sign_note(text, "promotion-assets/ledger", SIGNER)


@pytest.mark.parametrize(
    ("size", "root"),
    [
        pytest.param(-1, b"x" * 32, id="size below nothing"),
        pytest.param(1, b"x" * 31, id="root too short"),
        pytest.param(0, b"x" * 32, id="something in an empty ledger"),
    ],
)
def test_checkpoint_of_no_possible_ledger_does_not_hide_what_the_others_show(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path, size: int, root: bytes
) -> None:
    """Whoever has the key and makes the history anew cannot silence the checkpoints held before."""
    ledger.append([evaluated("1", clock), evaluated("2", clock)])
    honest = Checkpointer(ledger, SIGNER, []).publish().note
    anew = new_ledger(tmp_path, clock, "anew.db")
    anew.append([evaluated("1", clock), evaluated("3", clock)])
    kinds = [
        p.kind for p in verify(anew.entries(), KEYS, [honest, _checkpoint(size, root)]).problems
    ]
    assert sorted(kinds) == ["checkpoint", "rewritten"]


def test_every_checkpoint_is_compared_at_its_own_size(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Of two of one size either may differ; one of a longer ledger names where it was cut."""
    ledger.append([evaluated("1", clock), evaluated("2", clock)])
    notes = [Checkpointer(ledger, SIGNER, []).publish().note, _checkpoint(2, b"x" * 32)]
    for order in (notes, notes[::-1]):
        found = verify(ledger.entries(), KEYS, order)
        assert [p.kind for p in found.problems] == ["rewritten"]
        assert found.checkpoints == 2
    longer = _checkpoint(3, b"x" * 32)
    (cut,) = verify(ledger.entries(), KEYS, [notes[0], longer]).problems
    assert (cut.kind, cut.sequence) == ("truncated", 3)
    assert "signed over 3 entries and there are 2" in cut.what


def test_a_checkpoint_of_another_ledger_is_named(ledger: DatabaseLedger, clock: Clock) -> None:
    """It is well formed and signed by the right key, and still not of this ledger."""
    ledger.append([evaluated("2", clock)])
    head = Checkpointer(ledger, SIGNER, []).publish().checkpoint
    note = sign_note(Checkpoint(head.size, head.root, "other/ledger").text(), "other", SIGNER)
    with pytest.raises(IntegrityError, match="it is of the ledger 'other/ledger' and not of"):
        read_checkpoint(note, KEYS)


@pytest.mark.parametrize(
    ("text", "size"), [("promotion\n", r"\?"), ("a/ledger\nmany\n", "many"), ("a\n2\nAAAA\n", "2")]
)
def test_a_signed_note_that_is_no_checkpoint_is_named(text: str, size: str) -> None:
    """Too short, without a number, or with a root that none has: refused, with its size if any."""
    note = sign_note(text, "name", SIGNER)
    with pytest.raises(IntegrityError, match=f"read the checkpoint of size {size}:") as refused:
        read_checkpoint(note, KEYS)
    assert "it is signed and not of the form (" in refused.value.problem
    assert "(None)" not in refused.value.problem


def test_a_damaged_file_among_the_checkpoints_is_a_problem_and_not_a_crash(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Bytes that are no text are read as a checkpoint that nobody has signed."""
    place = FilePlace(tmp_path)
    ledger.append([evaluated("1", clock)])
    (tmp_path / "checkpoint-000000000001.txt").write_bytes(b"\xff\xfe")
    found = verify(ledger.entries(), KEYS, place.held())
    assert [(p.kind, p.what[:23]) for p in found.problems] == [
        ("checkpoint", "a checkpoint of size ?:")
    ]
    published = Checkpointer(ledger, SIGNER, [place]).publish()
    assert "says something else" in published.failed[0]
