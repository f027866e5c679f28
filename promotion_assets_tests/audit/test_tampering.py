from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import open_entries
from promotion_assets.audit.checkpoint import Checkpointer, FilePlace
from promotion_assets.audit.entries import Place, make_entry, recorded_of
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.audit.verify import Verification, verify, verify_chain
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    SIGNER,
    adopted,
    evaluated,
    go_live,
    new_ledger,
)

STRANGER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"another key, which nobody trusts"))
COLUMNS = "seq, model, model_seq, kind, previous, hash, envelope"
SIZE = 17

Row = list[Any]
SEQ, MODEL_, MODEL_SEQ, KIND, PREVIOUS, HASH, ENVELOPE = range(7)


@dataclass
class Store:
    """A ledger's file in the hands of somebody who may write anything to it."""

    path: Path
    checkpoints: FilePlace

    def rows(self) -> list[Row]:
        """Read every row."""
        with sqlite3.connect(self.path) as database:
            found = database.execute(f"SELECT {COLUMNS} FROM ledger_entries ORDER BY rowid")
            rows = [list(row) for row in found]
        database.close()
        return rows

    def write(self, rows: list[Row]) -> None:
        """Replace the whole table, triggers and primary key included."""
        with sqlite3.connect(self.path) as database:
            database.execute("DROP TABLE ledger_entries")
            database.execute(f"CREATE TABLE ledger_entries ({COLUMNS})")
            database.executemany("INSERT INTO ledger_entries VALUES (?,?,?,?,?,?,?)", rows)
        database.close()

    def verify(self, check: Callable[..., Verification] = verify) -> Verification:
        """Verify it with the public key and the published checkpoints, and nothing else."""
        stored = open_entries(f"sqlite:///{self.path}")
        try:
            return check(stored.entries(), [SIGNER.public_key], self.checkpoints.held())
        finally:
            stored.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 17 entries; checkpoints were published at 5 and at 14."""
    folder = tmp_path_factory.mktemp("ledger")
    clock, registry = Clock(), FakeRegistry()
    ledger = new_ledger(folder, clock)
    checkpointer = Checkpointer(ledger, SIGNER, [FilePlace(folder / "elsewhere")])
    adopted(ledger, registry)
    ledger.append([evaluated("1", clock, model="churn")])
    ledger.append([evaluated("2", clock, model="churn")])
    assert checkpointer.publish().checkpoint.size == 5
    go_live(ledger, registry, "2", clock)
    assert checkpointer.publish().checkpoint.size == 14
    ledger.append([evaluated(v, clock) for v in "345"])
    ledger.close()
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    """A copy of the template, to be tampered with."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Store(tmp_path / "ledger.db", FilePlace(tmp_path / "elsewhere"))


def edit(row: Row) -> None:
    """Turn the verdict of a row's event around, and leave all else."""
    outer = json.loads(row[ENVELOPE])
    statement = json.loads(base64.b64decode(outer["payload"]))
    statement["predicate"]["event"]["reason"] = "it was like this from the start"
    outer["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    row[ENVELOPE] = json.dumps(outer)


def rehash(row: Row) -> None:
    """Make the row's hash fit its envelope."""
    row[HASH] = leaf_hash(row[ENVELOPE].encode()).hex()


def rechain(rows: list[Row]) -> None:
    """Make every hash, and every name of the row before, fit again."""
    previous = "0" * 64
    for row in rows:
        row[PREVIOUS] = previous
        rehash(row)
        previous = row[HASH]


def renumber(rows: list[Row]) -> None:
    """Number rows as they stand."""
    for at, row in enumerate(rows, start=1):
        row[SEQ] = at


def resign(rows: list[Row], signer: CryptoSigner, start: int) -> None:
    """Sign every row from ``start`` on anew at the place where it stands."""
    from promotion_assets.audit.entries import Entry

    previous = rows[start - 2][HASH] if start > 1 else "0" * 64
    models: dict[str, int] = {}
    for at, row in enumerate(rows, start=1):
        models[row[MODEL_]] = models.get(row[MODEL_], 0) + 1
        if at < start:
            continue
        old = Entry(at, "", 0, "", "", "", row[ENVELOPE].encode())
        event = recorded_of(old).event
        place = Place(at, models[event.model], previous, datetime(2026, 3, 2, tzinfo=UTC))
        new = make_entry(event, place, signer)
        rows[at - 1] = [
            at,
            new.model,
            new.model_sequence,
            new.kind,
            new.previous,
            new.hash,
            new.envelope.decode(),
        ]
        previous = new.hash


def _changed_text(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    return rows


def _changed_text_and_hash(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    rehash(rows[7])
    return rows


def _changed_text_and_every_hash(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    rechain(rows)
    return rows


def _changed_text_in_the_last_entry(rows: list[Row]) -> list[Row]:
    edit(rows[-1])
    rechain(rows)
    return rows


def _changed_and_signed_anew_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    resign(rows, SIGNER, 8)
    return rows


def _dropped_and_signed_anew_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    del rows[1]
    resign(rows, SIGNER, 2)
    return rows


def _removed(rows: list[Row]) -> list[Row]:
    del rows[7]
    return rows


def _removed_three(rows: list[Row]) -> list[Row]:
    del rows[7:10]
    return rows


def _removed_the_first(rows: list[Row]) -> list[Row]:
    return rows[1:]


def _removed_and_renumbered(rows: list[Row]) -> list[Row]:
    del rows[7]
    renumber(rows)
    rechain(rows)
    return rows


def _swapped(rows: list[Row]) -> list[Row]:
    rows[7], rows[8] = rows[8], rows[7]
    renumber(rows)
    return rows


def _swapped_and_rechained(rows: list[Row]) -> list[Row]:
    rows[7], rows[8] = rows[8], rows[7]
    renumber(rows)
    rechain(rows)
    return rows


def _repeated_at_the_end(rows: list[Row]) -> list[Row]:
    rows.append([*rows[7]])
    renumber(rows)
    rechain(rows)
    return rows


def _repeated_in_place(rows: list[Row]) -> list[Row]:
    rows.insert(8, [*rows[7]])
    return rows


def _slipped_in_before_the_first(rows: list[Row]) -> list[Row]:
    return [[0, *rows[3][1:]], *rows]


def _cut_after_a_checkpoint(rows: list[Row]) -> list[Row]:
    return rows[:12]


def _cut_to_nothing(rows: list[Row]) -> list[Row]:
    return []


def _cut_and_regrown_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    rows = rows[:10] + [[*rows[16]] for _ in range(7)]
    resign(rows, SIGNER, 11)
    return rows


def _appended_with_another_key(rows: list[Row]) -> list[Row]:
    rows.append([*rows[16]])
    resign(rows, STRANGER, SIZE + 1)
    return rows


def _signed_anew_with_another_key(rows: list[Row]) -> list[Row]:
    resign(rows, STRANGER, 1)
    return rows


def _other_key_under_our_key_id(rows: list[Row]) -> list[Row]:
    resign(rows, STRANGER, SIZE)
    ours, theirs = SIGNER.public_key.keyid, STRANGER.public_key.keyid
    rows[-1][ENVELOPE] = rows[-1][ENVELOPE].replace(theirs, ours)
    rehash(rows[-1])
    return rows


def _signature_taken_off(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[-1][ENVELOPE])
    outer["signatures"] = []
    rows[-1][ENVELOPE] = json.dumps(outer)
    rehash(rows[-1])
    return rows


def _signature_of_another_entry(rows: list[Row]) -> list[Row]:
    outer, other = json.loads(rows[-1][ENVELOPE]), json.loads(rows[3][ENVELOPE])
    outer["signatures"] = other["signatures"]
    rows[-1][ENVELOPE] = json.dumps(outer)
    rehash(rows[-1])
    return rows


def _rubbish(rows: list[Row]) -> list[Row]:
    rows[7][ENVELOPE] = "{}"
    rechain(rows)
    return rows


def _empty(rows: list[Row]) -> list[Row]:
    rows[7][ENVELOPE] = ""
    return rows


def _of_another_type(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[7][ENVELOPE])
    outer["payloadType"] = "text/plain"
    rows[7][ENVELOPE] = json.dumps(outer)
    rechain(rows)
    return rows


def _given_to_another_model(rows: list[Row]) -> list[Row]:
    rows[7][MODEL_] = "churn"
    return rows


def _called_another_kind(rows: list[Row]) -> list[Row]:
    rows[7][KIND] = "ADOPTED"
    return rows


def _numbered_otherwise_in_its_model(rows: list[Row]) -> list[Row]:
    rows[7][MODEL_SEQ] = 99
    return rows


def _another_previous(rows: list[Row]) -> list[Row]:
    rows[7][PREVIOUS] = "f" * 64
    return rows


def _another_hash(rows: list[Row]) -> list[Row]:
    rows[7][HASH] = "f" * 64
    return rows


def _written_out_in_another_way(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[7][ENVELOPE])
    rows[7][ENVELOPE] = json.dumps(outer, indent=1)
    rechain(rows)
    return rows


ATTACKS: list[tuple[Callable[[list[Row]], list[Row]], str, int]] = [
    (_changed_text, "changed", 8),
    (_changed_text_and_hash, "forged", 8),
    (_changed_text_and_every_hash, "forged", 8),
    (_changed_text_in_the_last_entry, "forged", 17),
    (_changed_and_signed_anew_by_whoever_has_the_key, "rewritten", 6),
    (_dropped_and_signed_anew_by_whoever_has_the_key, "rewritten", 1),
    (_removed, "removed", 8),
    (_removed_three, "removed", 8),
    (_removed_the_first, "removed", 1),
    (_removed_and_renumbered, "reordered", 8),
    (_swapped, "reordered", 8),
    (_swapped_and_rechained, "reordered", 8),
    (_repeated_at_the_end, "reordered", 18),
    (_repeated_in_place, "duplicated", 8),
    (_slipped_in_before_the_first, "duplicated", 0),
    (_cut_after_a_checkpoint, "truncated", 13),
    (_cut_to_nothing, "truncated", 1),
    (_cut_and_regrown_by_whoever_has_the_key, "rewritten", 6),
    (_appended_with_another_key, "forged", 18),
    (_signed_anew_with_another_key, "forged", 1),
    (_other_key_under_our_key_id, "forged", 17),
    (_signature_taken_off, "forged", 17),
    (_signature_of_another_entry, "forged", 17),
    (_rubbish, "unreadable", 8),
    (_empty, "changed", 8),
    (_of_another_type, "unreadable", 8),
    (_given_to_another_model, "changed", 8),
    (_called_another_kind, "changed", 8),
    (_numbered_otherwise_in_its_model, "changed", 8),
    (_another_previous, "changed", 8),
    (_another_hash, "changed", 8),
    (_written_out_in_another_way, "changed", 8),
]


@pytest.mark.parametrize(
    ("attack", "kind", "entry"), ATTACKS, ids=lambda a: getattr(a, "__name__", None)
)
def test_an_attack_is_found_and_the_entry_named(
    store: Store, attack: Callable[[list[Row]], list[Row]], kind: str, entry: int
) -> None:
    """Whoever may write anything to the database, and even sign, is found out."""
    store.write(attack(store.rows()))
    found = store.verify()
    assert not found.valid
    said = {(problem.kind, problem.sequence) for problem in found.problems}
    assert (kind, entry) in said, found.problems
    assert found.problems[0].sequence == entry


@pytest.mark.parametrize("attack", [_removed, _another_hash, _swapped, _cut_after_a_checkpoint])
def test_the_fast_check_finds_what_breaks_the_chain(
    store: Store, attack: Callable[[list[Row]], list[Row]]
) -> None:
    """Hashes and checkpoints alone find what does not take a signature to find."""
    store.write(attack(store.rows()))
    assert not store.verify(verify_chain).valid


@pytest.mark.parametrize("check", [verify, verify_chain])
def test_an_untouched_ledger_is_valid(store: Store, check: Callable[..., Verification]) -> None:
    """The same rows written back as they were are found valid, with both checkpoints."""
    store.write(store.rows())
    found = store.verify(check)
    assert found.to_json() == {
        "valid": True,
        "entries": SIZE,
        "problems": [],
        "head": store.rows()[-1][HASH],
        "root": found.root,
        "checkpoints": 2,
    }


def test_without_checkpoints_a_cut_tail_goes_unseen_and_the_answer_shows_why(
    store: Store,
) -> None:
    """The answer says how many checkpoints were held against the ledger."""
    store.write(_cut_after_a_checkpoint(store.rows()))
    for path in store.checkpoints.folder.iterdir():
        path.unlink()
    found = store.verify()
    assert (found.valid, found.entries, found.checkpoints) == (True, 12, 0)


def test_a_million_problems_are_reported_as_a_hundred(store: Store) -> None:
    """The list of problems is bounded, and its first is the first in the ledger."""
    rows = store.rows()
    for _ in range(4):
        rows += [[*row] for row in rows]
    renumber(rows)
    store.write(rows)
    found = store.verify()
    assert len(found.problems) <= 101
    assert found.problems[0].sequence == SIZE + 1
