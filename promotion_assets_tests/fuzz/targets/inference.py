"""``infer`` of the Open Inference Protocol V2, by the quick address and by the framework's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets_tests.fuzz.asking import merged, taken_apart, well_answered
from promotion_assets_tests.fuzz.contract import Run, Target
from promotion_assets_tests.fuzz.served import COLUMNS, MODEL, served

PATHS = (f"/v2/models/{MODEL}/infer", f"/v2/models/{MODEL}/versions/1/infer")


def examples() -> list[bytes]:
    """Return a tensor a column, and one for all."""
    each = [
        {"name": name, "shape": [2, 1], "datatype": "FP64", "data": [0.5, 1]} for name in COLUMNS
    ]
    whole = [{"name": "x", "shape": [1, 8], "datatype": "FP64", "data": [[1.0] * 8]}]
    head = b"x-promotion-segment: default\nx-promotion-request-id: r1\n\n"
    return [head + json.dumps({"id": "1", "inputs": inputs}).encode() for inputs in (each, whole)]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Ask a real server, at either address."""
    with served(folder) as caller:

        def run(data: bytes) -> None:
            headers, body = taken_apart(data)
            own = [(b"content-type", b"application/json")]
            for path in PATHS:
                well_answered(caller.post(path, body, merged(headers, own)))

        yield run


TARGET = Target("inference", "json", examples, prepare, inputs=400)
