"""Taking a registered version in: its facts, and its artifact, once, into our own store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from promotion_assets.errors import IntegrityError, PromotionError, StorageUnreachable
from promotion_assets.evaluation.artifact import take_in
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.mlmodel import read_mlmodel, read_requirements, read_signature
from promotion_assets.evaluation.profile import FeatureProfile


class VersionFacts(BaseModel):
    """What the registry says of a version. Claims of its author, none of them evidence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: str
    created_at: datetime
    source: str
    run_id: str | None = None
    author: str | None = None
    authors: tuple[str, ...] = ()
    description: str = ""
    tags: Mapping[str, str] = Field(default_factory=dict)
    logged_metrics: Mapping[str, float] = Field(default_factory=dict)
    params: Mapping[str, str] = Field(default_factory=dict)


class VersionSource(Protocol):
    """The registry as intake needs it."""

    def facts(self, model: str, version: str) -> VersionFacts:
        """Return what the registry says of a version."""

    def download(self, model: str, version: str, destination: Path) -> Path:
        """Copy the version's artifact below ``destination`` and return its root."""

    def training_profile(self, run_id: str) -> tuple[FeatureProfile | None, str | None]:
        """Return the run's feature profile, or why there is none."""


def take_candidate(source: VersionSource, model: str, version: str, store: Path) -> Candidate:
    """Take a version in: facts, artifact into ``store`` by content, signature, profile.

    What is wrong with the artifact is recorded in ``problems`` and judged by the artifact gate;
    only an unknown version or an unreachable part raises.

    Raises:
        UsageError: no such model or version.
        RegistryUnreachable: MLflow does not answer.
        StorageUnreachable: our own store cannot be written.
    """
    facts = source.facts(model, version)
    profile: FeatureProfile | None = None
    problem: str | None = "the version names no run, so there is no training feature profile"
    if facts.run_id:
        profile, problem = source.training_profile(facts.run_id)
    known = Candidate(
        model=facts.model,
        version=facts.version,
        created_at=facts.created_at,
        source=facts.source,
        run_id=facts.run_id,
        author=facts.author,
        authors=facts.authors,
        description=facts.description,
        tags=facts.tags,
        logged_metrics=facts.logged_metrics,
        params=facts.params,
        profile=profile,
        profile_problem=problem,
    )
    with tempfile.TemporaryDirectory(
        prefix="intake-", dir=_writable(store, model, version)
    ) as scratch:
        try:
            root = source.download(model, version, Path(scratch))
            directory, artifact = take_in(root, store)
        except IntegrityError as error:
            return known.model_copy(update={"problems": (error.problem,)})
        except FileNotFoundError as error:
            return known.model_copy(update={"problems": (f"the artifact is missing: {error}",)})
    return _with_declarations(known.model_copy(update={"artifact": artifact}), directory)


def _with_declarations(known: Candidate, directory: Path) -> Candidate:
    """Add what the artifact declares of itself; a part that cannot be read is a problem."""
    problems: list[str] = []
    declared: dict[str, object] = {"artifact_dir": directory}
    for name, read in (
        ("mlmodel", read_mlmodel),
        ("signature", read_signature),
        ("requirements", read_requirements),
    ):
        try:
            declared[name] = read(directory)
        except PromotionError as error:
            problems.append(error.problem)
    declared["problems"] = tuple(dict.fromkeys(problems))
    return known.model_copy(update=declared)


def _writable(store: Path, model: str, version: str) -> Path:
    doing = f"taking the artifact of {model} version {version} into {store}"
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnreachable(
            doing, f"{error}", "make the folder writable for this user, then run the same again"
        ) from error
    if shutil.disk_usage(store).free < 16 * 1024**2:
        raise StorageUnreachable(
            doing,
            "less than 16 MiB are free",
            "free some space on that disk, or set PROMOTION_HOME elsewhere",
        )
    return store
