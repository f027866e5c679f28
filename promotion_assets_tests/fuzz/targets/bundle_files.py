"""Files of an evidence bundle whose manifest is signed anew: what a signer's defect would give."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors
from promotion_assets_tests.fuzz.made_bundle import KEYS, listed_anew, made

NAMES = (
    "decision.json",
    "explain.json",
    "evidence.json",
    "proofs.json",
    "key.json",
    "checkpoint.txt",
    "manifest.json",
    "entries",
)


def examples() -> list[bytes]:
    """Return each file: its name, an empty line, its content."""
    files = _files()
    entry = next(name for name in files if name.startswith("entries/"))
    named = {name: entry if name == "entries" else name for name in NAMES}
    return [name.encode() + b"\n\n" + files[stored] for name, stored in named.items()]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Put each input in its file's place, sign the manifest over it, and verify."""
    path, whole = folder / "bundle.zip", _files()
    entry = next(name for name in whole if name.startswith("entries/"))

    def run(data: bytes) -> None:
        name, _, content = data.partition(b"\n\n")
        said = name.decode("latin-1")
        if said not in NAMES:
            return
        files = {**whole, (entry if said == "entries" else said): content}
        listed_anew(files, files["manifest.json"] if said == "manifest.json" else None)
        with zipfile.ZipFile(path, "w") as archive:
            for each, stored in files.items():
                archive.writestr(each, stored)
        with only_our_errors():
            found = verify_bundle(path, [] if said == "key.json" else KEYS)
            json.dumps(found.to_json())
            holds(found.valid or found.problems, "it is not valid and nothing says why")

    yield run


def _files() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(made(evidence=True))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


TARGET = Target("bundle_files", "json", examples, prepare, inputs=100)
