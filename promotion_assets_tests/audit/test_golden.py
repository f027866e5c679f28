from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from promotion_assets.adapters.keys import load_public
from promotion_assets.adapters.ledger_store import open_entries, open_ledger
from promotion_assets.audit.checkpoint import FilePlace
from promotion_assets.audit.entries import recorded_of
from promotion_assets.audit.status import status
from promotion_assets.audit.verify import verify
from promotion_assets.lifecycle.events import AnyEvent
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, SIGNER, evaluated

GOLDEN = Path(__file__).parent.parent / "golden"
RELEASES = sorted(path.name for path in GOLDEN.glob("ledger-*"))


def load(release: str, folder: Path) -> str:
    """Load a frozen ledger into a database, and return its URL."""
    with closing(sqlite3.connect(folder / "ledger.db")) as database:
        database.executescript((GOLDEN / release / "ledger.sql").read_text())
    return f"sqlite:///{folder}/ledger.db"


@pytest.mark.parametrize("release", RELEASES)
def test_a_ledger_of_a_release_is_verified_for_ever(release: str, tmp_path: Path) -> None:
    """What an earlier release has signed stays valid, with its key and its checkpoints."""
    stored = open_entries(load(release, tmp_path))
    key = load_public(GOLDEN / release / "ledger.pub")
    notes = list(FilePlace(GOLDEN / release / "checkpoints").held())
    found = verify(stored.entries(), [key], notes)
    stored.close()
    assert found.problems == ()
    assert found.entries >= 60
    assert found.checkpoints == len(notes) >= 3


@pytest.mark.parametrize("release", RELEASES)
def test_a_ledger_of_a_release_means_what_it_meant(
    release: str, tmp_path: Path, clock: Clock
) -> None:
    """This release folds it to the same stages and verdicts, migrates it, and goes on with it."""
    ledger = open_ledger(load(release, tmp_path), SIGNER, clock)
    assert status(ledger) == json.loads((GOLDEN / release / "status.json").read_text())
    before = [entry.hash for entry in ledger.entries()]
    ledger.append([evaluated("8", clock)])
    assert [entry.hash for entry in ledger.entries()][:-1] == before
    assert ledger.state(MODEL).decisions["8"].verdict == "approved"
    ledger.close()


def test_the_newest_frozen_ledger_has_every_kind_of_event(tmp_path: Path) -> None:
    """An event that this release adds is to be frozen with it."""
    stored = open_entries(load(RELEASES[-1], tmp_path))
    kinds = {type(recorded_of(entry).event) for entry in stored.entries()}
    stored.close()
    assert kinds == set(get_args(AnyEvent))


def test_a_frozen_ledger_can_fail(tmp_path: Path) -> None:
    """One character of one entry changed is found in it as in any other."""
    url = load(RELEASES[-1], tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        database.execute("DROP TRIGGER ledger_entries_no_update")
        forged = "UPDATE ledger_entries SET kind = 'X' WHERE kind = 'REVIEW_DECIDED'"
        assert database.execute(forged).rowcount == 3
        database.commit()
    stored = open_entries(url)
    found = verify(stored.entries(), [SIGNER.public_key])
    stored.close()
    assert [problem.kind for problem in found.problems] == ["changed"] * 3
