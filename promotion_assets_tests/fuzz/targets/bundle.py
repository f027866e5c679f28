"""Evidence bundles as anybody may hand them over: an archive with everything changed at will."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors
from promotion_assets_tests.fuzz.made_bundle import KEYS, made


def examples() -> list[bytes]:
    """Return a valid bundle, without and with what its statistics are computed from."""
    return [made(evidence=False), made(evidence=True)]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Verify each input; only the unchanged content may be valid."""
    path = folder / "bundle.zip"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        for keys in (KEYS, []):
            with only_our_errors():
                found = verify_bundle(path, keys)
                json.dumps(found.to_json())
                holds(found.valid or found.problems, "it is not valid and nothing says why")

    yield run


TARGET = Target("bundle", "zip", examples, prepare, inputs=60)
