"""Envelopes that anybody may have put into a database: refused by name, never a traceback."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest
from securesystemslib.dsse import Envelope

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.entries import Entry, keyid_of, recorded_of, verify_signature
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.audit.verify import verify
from promotion_assets.canonical import canonical_json
from promotion_assets.errors import IntegrityError
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import (
    MODEL,
    SIGNER,
    evaluated,
)

DEEP = b"[" * 20_000 + b"]" * 20_000


def carrying(payload: bytes) -> bytes:
    """An envelope of our type around anything."""
    kind = "application/vnd.in-toto+json"
    encoded = base64.b64encode(payload).decode()
    return json.dumps({"payload": encoded, "payloadType": kind, "signatures": []}).encode()


HOSTILE: Mapping[str, bytes] = {
    "nothing": b"",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "nested deep": DEEP,
    "a payload nested deep": carrying(DEEP),
    "a payload that is a list": carrying(b"[]"),
    "a payload that is none": b'{"payload": 7, "payloadType": "application/vnd.in-toto+json"}',
    "signatures that are a number": b'{"payload": "", "payloadType": "", "signatures": 7}',
    "a number of 5,000 digits": b'{"payload": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_envelope_that_is_none_is_refused(case: str) -> None:
    """Reading says which entry it is, verifying lists it, and neither ends in a traceback."""
    envelope = HOSTILE[case]
    entry = Entry(1, MODEL, 1, "ADOPTED", "0" * 64, leaf_hash(envelope).hex(), envelope)
    with pytest.raises(IntegrityError, match="entry 1 of the ledger"):
        recorded_of(entry)
    with pytest.raises(IntegrityError, match="it is not signed by key"):
        verify_signature(envelope, SIGNER.public_key, 1)
    assert keyid_of(envelope) == ""
    found = verify([entry], [SIGNER.public_key])
    assert [problem.kind for problem in found.problems] == ["unreadable"]


def test_a_known_kind_of_event_without_its_fields_is_malformed(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """It is not told as one that a newer release has written."""
    ledger.append([evaluated("2", clock)])
    (entry,) = ledger.entries()
    said = json.loads(Envelope.from_dict(json.loads(entry.envelope)).payload)
    del said["predicate"]["event"]["verdict"]
    envelope = Envelope(canonical_json(said), "application/vnd.in-toto+json", {})
    envelope.sign(SIGNER)
    data = canonical_json(envelope.to_dict())
    broken = Entry(1, "", 0, "", "", leaf_hash(data).hex(), data)
    with pytest.raises(IntegrityError, match="its predicate is not an event of a known kind"):
        recorded_of(broken)
