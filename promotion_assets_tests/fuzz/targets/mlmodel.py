"""``MLmodel`` and requirements of an artifact, which whoever registers a version has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from promotion_assets.evaluation.mlmodel import (
    loads_without_pickle,
    read_mlmodel,
    read_requirements,
    read_signature,
)
from promotion_assets.serving.schema import InputSchema
from promotion_assets_tests.fuzz.contract import Run, Target, holds, only_our_errors


def examples() -> list[bytes]:
    """Return what MLflow writes for a model of columns, and for one of a tensor."""
    columns = [
        {"type": "double", "name": "x", "required": True},
        {"type": "long", "name": "n", "optional": True},
        {"type": "array", "items": {"type": "string"}, "name": "tags", "required": False},
    ]
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]
    written = []
    for inputs in (columns, tensor, []):
        flavors = {
            "python_function": {"loader_module": "mlflow.sklearn", "python_version": "3.11.2"},
            "sklearn": {"serialization_format": "skops", "skops_trusted_types": ["a.B"]},
        }
        signature = {
            "inputs": json.dumps(inputs),
            "outputs": '[{"type": "long"}]',
            "params": None,
        }
        written.append({"flavors": flavors, "signature": signature, "model_uuid": "m-1"})
    return [yaml.safe_dump(one).encode() for one in written]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Write each input as an artifact's files, and read them as intake does."""

    def run(data: bytes) -> None:
        (folder / "MLmodel").write_bytes(data)
        (folder / "requirements.txt").write_bytes(data)
        with only_our_errors():
            read_requirements(folder)
        with only_our_errors():
            facts = read_mlmodel(folder)
            loads_without_pickle(facts)
            json.dumps(facts.model_dump(mode="json"))
            signature = read_signature(folder)
            if signature is not None and signature.kind == "columns":
                names = InputSchema(signature).names
                holds(len(names) == len(signature.inputs), "a column is lost")

    yield run


TARGET = Target("mlmodel", "yaml", examples, prepare, inputs=800)
