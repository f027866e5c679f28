from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promotion_assets.adapters.ledger_store import open_entries
from promotion_assets.audit.checkpoint import Checkpointer, FilePlace
from promotion_assets.audit.verify import Verification, verify, verify_chain
from promotion_assets_tests.audit import attacks
from promotion_assets_tests.audit.attacks import ATTACKS, HASH, SIZE, Row, renumber
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import SIGNER, adopted, evaluated, go_live, new_ledger

COLUMNS = "seq, model, model_seq, kind, previous, hash, envelope"


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
    """A ledger of 17 entries; checkpoints were published at 5 and at 15."""
    folder = tmp_path_factory.mktemp("ledger")
    clock, registry = Clock(), FakeRegistry()
    ledger = new_ledger(folder, clock)
    checkpointer = Checkpointer(ledger, SIGNER, [FilePlace(folder / "elsewhere")])
    adopted(ledger, registry)
    ledger.append([evaluated("1", clock, model="churn")])
    assert checkpointer.publish().checkpoint.size == 5
    go_live(ledger, registry, "2", clock)
    assert checkpointer.publish().checkpoint.size == 15
    ledger.append([evaluated(v, clock) for v in "34"])
    ledger.close()
    return folder


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Store:
    """A copy of the template, to be tampered with."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Store(tmp_path / "ledger.db", FilePlace(tmp_path / "elsewhere"))


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


@pytest.mark.parametrize(
    "attack",
    [attacks.removed, attacks.another_hash, attacks.swapped, attacks.cut_after_a_checkpoint],
)
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
    store.write(attacks.cut_after_a_checkpoint(store.rows()))
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
