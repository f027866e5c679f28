"""Ledger entries as they are stored: envelopes that anybody may have written into a database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from promotion_assets.audit.checkpoint import read_checkpoint
from promotion_assets.audit.entries import Entry, recorded_of, verify_signature
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.audit.verify import verify, verify_chain
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors
from promotion_assets_tests.ledgers import MODEL, SIGNER

GOLDEN = Path(__file__).parents[2] / "golden" / "ledger-0.2"
KEY = SIGNER.public_key


@cache
def frozen() -> tuple[bytes, ...]:
    """Return the envelopes of the frozen ledger, which has every kind of event."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript((GOLDEN / "ledger.sql").read_text())
        rows = database.execute("SELECT envelope FROM ledger_entries ORDER BY seq")
        return tuple(
            bytes(row[0]) if isinstance(row[0], bytes) else row[0].encode() for row in rows
        )


def examples() -> list[bytes]:
    """Return a few envelopes and a checkpoint."""
    notes = sorted((GOLDEN / "checkpoints").glob("*.txt"))
    return [*frozen()[:4], notes[0].read_bytes()]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Read each input as an entry, as a ledger of one entry, and as a checkpoint."""
    known = set(frozen())

    def run(data: bytes) -> None:
        entry = Entry(1, MODEL, 1, "ADOPTED", "0" * 64, leaf_hash(data).hex(), data)
        with only_our_errors():
            recorded_of(entry)
        signed = False
        with only_our_errors():
            verify_signature(data, KEY, 1)
            signed = True
        holds(not signed or _payload(data) in map(_payload, known), "a forgery was taken for ours")
        note = data.decode("utf-8", "replace")
        answer = verify([entry], [KEY], [note])
        json.dumps(answer.to_json())
        holds(data in known or not answer.valid or not signed, "a forgery is valid")
        verify_chain([entry], [KEY], [note])
        with only_our_errors():
            read_checkpoint(note, [KEY])

    yield run


def _payload(envelope: bytes) -> object:
    return json.loads(envelope).get("payload")


TARGET = Target("ledger_entry", "json", examples, prepare, inputs=300)
