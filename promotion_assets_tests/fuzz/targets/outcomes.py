"""``POST /outcomes`` of a server: what callers say has become of their requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets_tests.fuzz.asking import merged, taken_apart, well_answered
from promotion_assets_tests.fuzz.contract import Run, Target
from promotion_assets_tests.fuzz.served import served


def examples() -> list[bytes]:
    """Return outcomes with and without their time."""
    told = [
        {"request_id": "r1", "label": 1},
        {"request_id": "r2", "label": "0", "observed_at": "2026-03-02T09:00:00Z"},
        {"request_id": "r3", "label": False, "observed_at": 1_700_000_000},
    ]
    return [b"content-type: application/json\n\n" + json.dumps({"outcomes": told}).encode()]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Tell a real server, which writes into a real event log."""
    with served(folder) as caller:

        def run(data: bytes) -> None:
            headers, body = taken_apart(data)
            own = [(b"content-type", b"application/json")]
            well_answered(caller.post("/outcomes", body, merged(headers, own)))

        yield run


TARGET = Target("outcomes", "json", examples, prepare, inputs=300)
