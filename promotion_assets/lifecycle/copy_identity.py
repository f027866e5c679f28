"""The three words by which ``MLmodel`` says where it belongs, and which a copy has to rewrite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.mlmodel import YamlLoader
from promotion_assets.lifecycle.events import Value

IDENTITY = ("model_id", "run_id", "artifact_path")


class Identity(Value):
    """Where an artifact belongs in its registry; without it MLflow cannot describe the model."""

    model_id: str
    run_id: str
    artifact_path: str


def rewritten(mlmodel: bytes, identity: Identity) -> bytes:
    """Return an ``MLmodel`` that says ``identity`` and otherwise what it said before.

    Raises:
        IntegrityError: it is no YAML mapping, or would not say the same otherwise.
    """
    said = _parsed(mlmodel)
    # As MLflow itself writes it.
    text = yaml.safe_dump(said | identity.model_dump(), default_flow_style=False)
    data = text.encode()
    if not same_but_for_identity(mlmodel, data):
        raise _not_ours("it does not survive being written again")
    return data


def identity_of(mlmodel: bytes) -> Identity:
    """Return where an ``MLmodel`` says that it belongs.

    Raises:
        IntegrityError: it is no YAML mapping, or says it not.
    """
    said = _parsed(mlmodel)
    try:
        return Identity(**{name: str(said[name]) for name in IDENTITY})
    except KeyError as error:
        raise _not_ours(f"it has no {error.args[0]}") from error


def same_but_for_identity(one: bytes, other: bytes) -> bool:
    """Whether two ``MLmodel`` files say the same but for where they belong."""
    first, second = _parsed(one), _parsed(other)
    for name in IDENTITY:
        first.pop(name, None)
        second.pop(name, None)
    # By their text: a NaN is not equal to itself, and 1 is equal to True.
    return yaml.safe_dump(first) == yaml.safe_dump(second)


def read(directory: Path) -> bytes:
    """Return the root ``MLmodel`` of an artifact.

    Raises:
        IntegrityError: there is none.
    """
    try:
        return (directory / "MLmodel").read_bytes()
    except OSError as error:
        raise _not_ours(f"it cannot be read ({error.strerror})") from error


def _parsed(mlmodel: bytes) -> dict[str, Any]:
    try:
        # The loader is PyYAML's safe one, in C where it is built.
        said = yaml.load(mlmodel, Loader=YamlLoader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _not_ours("it is not valid YAML") from error
    if not isinstance(said, dict):
        raise _not_ours("it is not a YAML mapping")
    return said


def _not_ours(problem: str) -> IntegrityError:
    return IntegrityError(
        "read the MLmodel of a copy", problem, "log the model again as a new version"
    )
