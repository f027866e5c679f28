"""The version under evaluation: what is known of it without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.profile import FeatureProfile


class Value(BaseModel):
    """Base of the values in this module."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ManifestEntry(Value):
    """One file of an artifact: its path with forward slashes, its size, its SHA-256."""

    path: str
    size: int
    sha256: str


class ArtifactManifest(Value):
    """Every file of a model artifact, by sorted path.

    Attributes:
        digest: SHA-256 of the canonical JSON of ``files``: the model digest.
        content_digest: the same without the root ``MLmodel``, which a copy to another registry
            has to rewrite.
    """

    files: tuple[ManifestEntry, ...]
    digest: str
    content_digest: str


class Signature(Value):
    """A model's declared input and output.

    ``kind`` is ``columns`` for a column schema, ``tensor`` for a tensor schema; a tensor schema
    lists its tensors in ``inputs`` with an empty name where it has none.
    """

    kind: Literal["columns", "tensor"]
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] = ()


class MLmodelFacts(Value):
    """What the ``MLmodel`` file says, read as plain YAML: nothing of it is believed or executed.

    Attributes:
        flavors: names of all flavors.
        loader_module: of the ``python_function`` flavor.
        code: the code directory that loading would put on the import path, if any.
        serialization_format: of the sklearn flavor, if any.
        skops_trusted_types: the types that the artifact itself asks to be trusted.
        raw: the parsed file.
    """

    flavors: tuple[str, ...] = ()
    loader_module: str | None = None
    code: str | None = None
    serialization_format: str | None = None
    skops_trusted_types: tuple[str, ...] = ()
    raw: Mapping[str, JsonValue] = Field(default_factory=dict)


class Candidate(Value):
    """A registered version, its artifact taken once into the content-addressed store.

    Attributes:
        artifact_dir: the read-only copy that is evaluated, approved and served.
        artifact: its manifest; ``None`` where the artifact cannot be read, see ``problems``.
        problems: what is wrong with the artifact, in sentences; an artifact with a problem is
            never loaded.
        author: who is shown as the author.
        authors: every name that registry and run know of who made or registered it: a tag is
            written by anybody, so none of them may review it.
        logged_metrics: as the run's author logged them. Never evidence, only compared.
        requirements: lines of the declared ``requirements.txt``.
    """

    model: str
    version: str
    created_at: datetime
    source: str
    run_id: str | None = None
    author: str | None = None
    authors: tuple[str, ...] = ()
    artifact_dir: Path | None = None
    artifact: ArtifactManifest | None = None
    mlmodel: MLmodelFacts | None = None
    signature: Signature | None = None
    problems: tuple[str, ...] = ()
    logged_metrics: Mapping[str, float] = Field(default_factory=dict)
    params: Mapping[str, str] = Field(default_factory=dict)
    tags: Mapping[str, str] = Field(default_factory=dict)
    description: str = ""
    requirements: tuple[str, ...] = ()
    profile: FeatureProfile | None = None
    profile_problem: str | None = None

    @property
    def digest(self) -> str:
        """The model digest, or an empty string where the artifact cannot be read."""
        return self.artifact.digest if self.artifact else ""
