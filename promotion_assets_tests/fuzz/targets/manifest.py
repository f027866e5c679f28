"""What names files and rows: an artifact's manifest, a dataset's pointer, a feature contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.audit.copy_proof import digest_with
from promotion_assets.canonical import digest_of
from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.candidate import ArtifactManifest, ManifestEntry
from promotion_assets.evaluation.dataset import DatasetSummary
from promotion_assets.evaluation.snapshot import load_dataset
from promotion_assets.pipeline.files import read_value
from promotion_assets.pipeline.inputs import Inputs
from promotion_assets.pipeline.records import Pointer
from promotion_assets.policy.model import Dataset, ModelPolicy
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors


def examples() -> list[bytes]:
    """Return a valid one of each."""
    manifest = ArtifactManifest(
        files=(ManifestEntry(path="MLmodel", size=10, sha256="a" * 64),),
        digest="b" * 64,
        content_digest="c" * 64,
    )
    summary = (
        b'{"digest": "%b", "uri": "rows.parquet", "rows": 10, "columns": [{"name": "x", "type":'
        b' "double", "required": true}], "label_rate": 0.2, "group_sizes": {"sex": {"f": 4}}}'
    ) % (b"d" * 64)
    pointer = Pointer(digest="d" * 64).model_dump_json().encode()
    contract = b"age: long\nincome: double\nname: string\n"
    return [manifest.model_dump_json().encode(), summary, pointer, contract]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Put each input in the place of every one of these files."""
    policy = ModelPolicy(
        task="binary",
        dataset=Dataset(uri="rows.parquet", label="y"),
        gates={"schema": {}},
        contract="contract.yaml",
        base=str(folder),
    )
    inputs = Inputs(folder / "home", "m", policy)
    pointer = folder / "home" / "inputs" / "m" / "dataset.json"
    pointer.parent.mkdir(parents=True)
    contract, file = folder / "contract.yaml", folder / "manifest.json"

    def run(data: bytes) -> None:
        for path in (pointer, contract, file):
            path.write_bytes(data)
        with only_our_errors():
            found = read_value(file, ArtifactManifest)
            if found is not None:
                digest_of([entry.model_dump() for entry in found.files])
                digest_with(found, b"flavors: {}")
        with only_our_errors():
            read_value(file, DatasetSummary)
        with only_our_errors():
            inputs.contract()
        with only_our_errors():
            digest = inputs.dataset_digest()
            try:
                load_dataset(policy, inputs.store, digest, model="m")
            except EvidenceMissing as error:
                raise error from None
            holds(False, "rows were found that nobody has put there")

    yield run


TARGET = Target("manifest", "json", examples, prepare, inputs=150)
