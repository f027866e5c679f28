"""One ledger entry: an event as a signed in-toto Statement, chained to the entry before.

Form, from the inside out: the event's JSON is the predicate of an in-toto Statement (v1) whose
subject is the model version by digest; the predicate also names the entry's place (sequence,
model sequence, time, hash of the previous entry), so that the place is signed too. The Statement
in canonical JSON (RFC 8785) is the payload of a DSSE envelope, signed with Ed25519. The
envelope's canonical JSON is what is stored. Its hash as a leaf of the Merkle tree (RFC 9162) is
the entry's hash, so that chain and tree speak of the same.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, get_args

from pydantic import JsonValue, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Key, Signature, SSlibKey

from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.canonical import canonical_json, digest_bytes
from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.events import AnyEvent, Recorded, parse_event

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "https://promotion-assets.dev/ledger-entry/v1"
FIRST_PREVIOUS = "0" * 64
KINDS = frozenset(str(event.model_fields["kind"].default) for event in get_args(AnyEvent))
# What reading JSON or Base64 of anybody's raises; nested 20,000 deep it is a RecursionError.
_NOT_OF_THE_FORM = (ValueError, TypeError, RecursionError, binascii.Error)


class Signer(Protocol):
    """A private key that signs entries and checkpoints; securesystemslib's signers are such."""

    @property
    def public_key(self) -> Key:
        """The key that verifies the signatures."""

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of ``payload``."""


class Entry(NamedTuple):
    """A row of the ledger as it is stored; nothing of it is believed before it is verified.

    Attributes:
        sequence: place in the ledger, from 1.
        model, model_sequence: the model, and the place among its entries, from 1.
        kind: the event's kind.
        previous: hash of the entry before; 64 zeros for the first.
        hash: the leaf hash of ``envelope``, as 64 hexadecimal digits.
        envelope: the DSSE envelope, canonical JSON.
    """

    sequence: int
    model: str
    model_sequence: int
    kind: str
    previous: str
    hash: str
    envelope: bytes


@dataclass(frozen=True)
class Place:
    """Where in the ledger an event is written."""

    sequence: int
    model_sequence: int
    previous: str
    recorded_at: datetime


def make_entry(event: AnyEvent, place: Place, signer: Signer) -> Entry:
    """Return the signed entry of ``event`` at ``place``."""
    payload = canonical_json(_statement(event, place))
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    stored = canonical_json(envelope.to_dict())
    return Entry(
        sequence=place.sequence,
        model=event.model,
        model_sequence=place.model_sequence,
        kind=event.kind,
        previous=place.previous,
        hash=leaf_hash(stored).hex(),
        envelope=stored,
    )


def recorded_of(entry: Entry) -> Recorded:
    """Return the event that an entry carries, without verifying its signature.

    Raises:
        IntegrityError: if the entry is not of the form that :func:`make_entry` gives.
    """
    predicate = read_statement(entry.envelope, entry.sequence)["predicate"]
    try:
        return Recorded(
            sequence=predicate["sequence"],
            model_sequence=predicate["modelSequence"],
            recorded_at=datetime.fromisoformat(predicate["recordedAt"]),
            hash=entry.hash,
            event=parse_event(predicate["event"]),
        )
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        said = predicate.get("event")
        kind = said.get("kind") if isinstance(said, dict) else None
        if isinstance(kind, str) and kind not in KINDS:
            raise IntegrityError(
                f"read entry {entry.sequence} of the ledger",
                f"it records {kind[:60]!r}, which this release does not know",
                "upgrade promotion-assets if a newer release writes to this ledger; else run "
                "`promotion audit verify`",
            ) from error
        raise _malformed(entry.sequence, "its predicate is not an event of a known kind") from error


def read_statement(envelope: bytes, sequence: int) -> dict[str, Any]:
    """Return the Statement in an envelope, unverified.

    Raises:
        IntegrityError: if it is not an in-toto Statement of ours in a DSSE envelope.
    """
    try:
        outer = json.loads(envelope)
        statement = json.loads(base64.b64decode(outer["payload"], validate=True))
        right = (
            outer["payloadType"] == PAYLOAD_TYPE
            and statement["_type"] == STATEMENT_TYPE
            and statement["predicateType"] == PREDICATE_TYPE
            and isinstance(statement["predicate"], dict)
        )
    except (*_NOT_OF_THE_FORM, KeyError) as error:
        raise _malformed(sequence, "its envelope cannot be read") from error
    if not right:
        raise _malformed(sequence, "it is not an attestation of this ledger's type")
    return dict(statement)


def keyid_of(envelope: bytes) -> str:
    """Return the id of the key that an envelope says it is signed with, empty if it says none."""
    try:
        return str(json.loads(envelope)["signatures"][0]["keyid"])
    except (*_NOT_OF_THE_FORM, LookupError):
        return ""


UNTIL = "until"


def last_of(key: SSlibKey) -> int | None:
    """Return the last entry that counts under a key that was replaced; ``None`` if it was not."""
    until = key.unrecognized_fields.get(UNTIL)
    return int(until) if until is not None else None


def counts_at(key: SSlibKey, sequence: int) -> bool:
    """Whether ``key`` had not been replaced when entry ``sequence`` was signed."""
    last = last_of(key)
    return last is None or sequence <= last


def verify_signature(envelope: bytes, key: SSlibKey, sequence: int) -> None:
    """Check that ``key`` signed the envelope, and before it was replaced.

    Raises:
        IntegrityError: if it did not.
    """
    if not counts_at(key, sequence):
        raise IntegrityError(
            f"verify entry {sequence} of the ledger",
            f"it is signed by key {key.keyid[:12]}, which was replaced after entry {last_of(key)}",
            "find out who still has that key; somebody may have forged it",
        )
    try:
        Envelope.from_dict(json.loads(envelope)).verify([key], 1)
    except (*_NOT_OF_THE_FORM, KeyError, AttributeError, VerificationError) as error:
        raise IntegrityError(
            f"verify entry {sequence} of the ledger",
            f"it is not signed by key {key.keyid[:12]}",
            "compare with a backup and the checkpoints; somebody may have forged it",
        ) from error


def _statement(event: AnyEvent, place: Place) -> dict[str, JsonValue]:
    data = event.to_json()
    version = data.get("version") or data.get("model_version")
    digest = data.get("model_digest") or data.get("digest")
    name = f"{event.model}/{version}" if version else event.model
    # A subject needs a digest; an event without an artifact is named by its own content.
    subject: dict[str, JsonValue] = {
        "name": name,
        "digest": {"sha256": digest or digest_bytes(canonical_json(data))},
    }
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "sequence": place.sequence,
            "modelSequence": place.model_sequence,
            "previous": place.previous,
            "recordedAt": place.recorded_at.isoformat(),
            "event": data,
        },
    }


def _malformed(sequence: int, problem: str) -> IntegrityError:
    return IntegrityError(
        f"read entry {sequence} of the ledger",
        problem,
        "run `promotion audit verify`, and compare with a backup",
    )
