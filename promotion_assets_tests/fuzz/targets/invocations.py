"""``/invocations``: any headers, any body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets_tests.fuzz.asking import merged, taken_apart, well_answered
from promotion_assets_tests.fuzz.contract import Run, Target
from promotion_assets_tests.fuzz.served import COLUMNS, served

ROW = [1.0, 2, 0.5, None, 0, 0, 0, 1]


def examples() -> list[bytes]:
    """Return one request of every form."""
    named = dict(zip(COLUMNS, ROW, strict=True))
    forms = (
        {"dataframe_split": {"columns": list(COLUMNS), "data": [ROW, ROW]}},
        {"dataframe_records": [named]},
        {"instances": [named, named]},
        {"inputs": {name: [value] for name, value in named.items()}},
    )
    head = b"content-type: application/json\nx-promotion-unit: u1\nx-promotion-attribute-a: b\n"
    csv = ",".join(COLUMNS) + "\n" + ",".join(map(str, [1.5] * 8)) + "\n"
    return [
        *(head + b"\n" + json.dumps(form).encode() for form in forms),
        b"content-type: text/csv\nx-request-id: r1\n\n" + csv.encode(),
    ]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Ask a real server."""
    with served(folder) as caller:

        def run(data: bytes) -> None:
            headers, body = taken_apart(data)
            own = [(b"content-type", b"application/json")]
            well_answered(caller.post("/invocations", body, merged(headers, own)))

        yield run


TARGET = Target("invocations", "json", examples, prepare, inputs=700)
