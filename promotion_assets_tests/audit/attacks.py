"""What somebody may do to the stored rows of a ledger who can write anything, and even sign."""

# ruff: noqa: D103 (an attack's name says what it does; it is the test's id as well)

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.audit.entries import Entry, Place, make_entry, recorded_of
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets_tests.ledgers import SIGNER

STRANGER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"another key, which nobody trusts"))
SIZE = 17

Row = list[Any]
SEQ, MODEL_, MODEL_SEQ, KIND, PREVIOUS, HASH, ENVELOPE = range(7)


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


def changed_text(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    return rows


def changed_text_and_hash(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    rehash(rows[7])
    return rows


def changed_text_and_every_hash(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    rechain(rows)
    return rows


def changed_text_in_the_last_entry(rows: list[Row]) -> list[Row]:
    edit(rows[-1])
    rechain(rows)
    return rows


def changed_and_signed_anew_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    edit(rows[7])
    resign(rows, SIGNER, 8)
    return rows


def dropped_and_signed_anew_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    del rows[1]
    resign(rows, SIGNER, 2)
    return rows


def removed(rows: list[Row]) -> list[Row]:
    del rows[7]
    return rows


def removed_three(rows: list[Row]) -> list[Row]:
    del rows[7:10]
    return rows


def removed_the_first(rows: list[Row]) -> list[Row]:
    return rows[1:]


def removed_and_renumbered(rows: list[Row]) -> list[Row]:
    del rows[7]
    renumber(rows)
    rechain(rows)
    return rows


def swapped(rows: list[Row]) -> list[Row]:
    rows[7], rows[8] = rows[8], rows[7]
    renumber(rows)
    return rows


def swapped_and_rechained(rows: list[Row]) -> list[Row]:
    rows[7], rows[8] = rows[8], rows[7]
    renumber(rows)
    rechain(rows)
    return rows


def repeated_at_the_end(rows: list[Row]) -> list[Row]:
    rows.append([*rows[7]])
    renumber(rows)
    rechain(rows)
    return rows


def repeated_in_place(rows: list[Row]) -> list[Row]:
    rows.insert(8, [*rows[7]])
    return rows


def slipped_in_before_the_first(rows: list[Row]) -> list[Row]:
    return [[0, *rows[3][1:]], *rows]


def cut_after_a_checkpoint(rows: list[Row]) -> list[Row]:
    return rows[:12]


def cut_to_nothing(rows: list[Row]) -> list[Row]:
    return []


def cut_and_regrown_by_whoever_has_the_key(rows: list[Row]) -> list[Row]:
    rows = rows[:10] + [[*rows[16]] for _ in range(7)]
    resign(rows, SIGNER, 11)
    return rows


def appended_with_another_key(rows: list[Row]) -> list[Row]:
    rows.append([*rows[16]])
    resign(rows, STRANGER, SIZE + 1)
    return rows


def signed_anew_with_another_key(rows: list[Row]) -> list[Row]:
    resign(rows, STRANGER, 1)
    return rows


def other_key_under_our_key_id(rows: list[Row]) -> list[Row]:
    resign(rows, STRANGER, SIZE)
    ours, theirs = SIGNER.public_key.keyid, STRANGER.public_key.keyid
    rows[-1][ENVELOPE] = rows[-1][ENVELOPE].replace(theirs, ours)
    rehash(rows[-1])
    return rows


def signature_taken_off(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[-1][ENVELOPE])
    outer["signatures"] = []
    rows[-1][ENVELOPE] = json.dumps(outer)
    rehash(rows[-1])
    return rows


def signature_of_another_entry(rows: list[Row]) -> list[Row]:
    outer, other = json.loads(rows[-1][ENVELOPE]), json.loads(rows[3][ENVELOPE])
    outer["signatures"] = other["signatures"]
    rows[-1][ENVELOPE] = json.dumps(outer)
    rehash(rows[-1])
    return rows


def rubbish(rows: list[Row]) -> list[Row]:
    rows[7][ENVELOPE] = "{}"
    rechain(rows)
    return rows


def empty(rows: list[Row]) -> list[Row]:
    rows[7][ENVELOPE] = ""
    return rows


def of_another_type(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[7][ENVELOPE])
    outer["payloadType"] = "text/plain"
    rows[7][ENVELOPE] = json.dumps(outer)
    rechain(rows)
    return rows


def given_to_another_model(rows: list[Row]) -> list[Row]:
    rows[7][MODEL_] = "churn"
    return rows


def called_another_kind(rows: list[Row]) -> list[Row]:
    rows[7][KIND] = "ADOPTED"
    return rows


def numbered_otherwise_in_its_model(rows: list[Row]) -> list[Row]:
    rows[7][MODEL_SEQ] = 99
    return rows


def another_previous(rows: list[Row]) -> list[Row]:
    rows[7][PREVIOUS] = "f" * 64
    return rows


def another_hash(rows: list[Row]) -> list[Row]:
    rows[7][HASH] = "f" * 64
    return rows


def written_out_in_another_way(rows: list[Row]) -> list[Row]:
    outer = json.loads(rows[7][ENVELOPE])
    rows[7][ENVELOPE] = json.dumps(outer, indent=1)
    rechain(rows)
    return rows


ATTACKS: list[tuple[Callable[[list[Row]], list[Row]], str, int]] = [
    (changed_text, "changed", 8),
    (changed_text_and_hash, "forged", 8),
    (changed_text_and_every_hash, "forged", 8),
    (changed_text_in_the_last_entry, "forged", 17),
    (changed_and_signed_anew_by_whoever_has_the_key, "rewritten", 6),
    (dropped_and_signed_anew_by_whoever_has_the_key, "rewritten", 1),
    (removed, "removed", 8),
    (removed_three, "removed", 8),
    (removed_the_first, "removed", 1),
    (removed_and_renumbered, "reordered", 8),
    (swapped, "reordered", 8),
    (swapped_and_rechained, "reordered", 8),
    (repeated_at_the_end, "reordered", 18),
    (repeated_in_place, "duplicated", 8),
    (slipped_in_before_the_first, "duplicated", 0),
    (cut_after_a_checkpoint, "truncated", 13),
    (cut_to_nothing, "truncated", 1),
    (cut_and_regrown_by_whoever_has_the_key, "rewritten", 6),
    (appended_with_another_key, "forged", 18),
    (signed_anew_with_another_key, "forged", 1),
    (other_key_under_our_key_id, "forged", 17),
    (signature_taken_off, "forged", 17),
    (signature_of_another_entry, "forged", 17),
    (rubbish, "unreadable", 8),
    (empty, "changed", 8),
    (of_another_type, "unreadable", 8),
    (given_to_another_model, "changed", 8),
    (called_another_kind, "changed", 8),
    (numbered_otherwise_in_its_model, "changed", 8),
    (another_previous, "changed", 8),
    (another_hash, "changed", 8),
    (written_out_in_another_way, "changed", 8),
]
