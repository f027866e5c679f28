"""Events in entries that our own key has signed: another release's, or a defective writer's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope

from promotion_assets.audit.entries import PAYLOAD_TYPE, Entry, recorded_of
from promotion_assets.audit.explain import explain_history
from promotion_assets.audit.merkle import leaf_hash
from promotion_assets.lifecycle.fold import check_whole, fold
from promotion_assets_tests.fuzz.contract import Run, Target, only_our_errors
from promotion_assets_tests.fuzz.targets.ledger_entry import frozen
from promotion_assets_tests.ledgers import MODEL, SIGNER

STRETCH = 12


def examples() -> list[bytes]:
    """Return stretches of the frozen ledger from its beginning on, as the events in them."""
    events = [_event(envelope) for envelope in frozen()]
    mine = [event for event in events if MODEL in (event.get("model"), event.get("model_name"))]
    lengths = (STRETCH, 3 * STRETCH, len(mine))
    return [json.dumps(mine[:length]).encode() for length in lengths]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Sign each event of a list, read the entries back, fold and explain them."""

    def run(data: bytes) -> None:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return
        events = said if isinstance(said, list) else [said]
        with only_our_errors():
            entries = [entry_of(event, at) for at, event in enumerate(events[:100], start=1)]
            history = [recorded_of(entry) for entry in entries]
            check_whole(fold(MODEL, [recorded.event for recorded in history]))
            json.dumps(explain_history(MODEL, "2", history))

    yield run


def entry_of(event: Any, at: int) -> Entry:
    """Return a signed entry that carries anything for an event."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [],
        "predicateType": "https://promotion-assets.dev/ledger-entry/v1",
        "predicate": {
            "sequence": at,
            "modelSequence": at,
            "previous": "0" * 64,
            "recordedAt": "2026-03-02T09:00:00+00:00",
            "event": event,
        },
    }
    envelope = Envelope(json.dumps(statement).encode(), PAYLOAD_TYPE, {})
    if at == 1:
        envelope.sign(SIGNER)
    stored = json.dumps(envelope.to_dict()).encode()
    return Entry(at, MODEL, at, "", "", leaf_hash(stored).hex(), stored)


def _event(envelope: bytes) -> dict[str, Any]:
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    event: dict[str, Any] = statement["predicate"]["event"]
    return event


TARGET = Target("ledger_event", "json", examples, prepare, inputs=150)
