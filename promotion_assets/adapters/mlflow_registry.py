"""The MLflow registry: reading versions, and mirroring stages into tags and aliases."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.artifact_download import download_whole
from promotion_assets.adapters.patience import limit_patience
from promotion_assets.adapters.profile_logging import read_training_profile
from promotion_assets.adapters.registry_entries import Entry, entries_of, quoted
from promotion_assets.adapters.registry_errors import registry_errors
from promotion_assets.errors import UsageError
from promotion_assets.evaluation.intake import VersionFacts
from promotion_assets.evaluation.profile import FeatureProfile

# MLflow cuts or refuses longer values without saying so everywhere; see FACTS of the registry.
TAG_LIMIT = 5000
# Where among a run's artifacts the attestation of a copied version lies.
ATTACHED = "attestation"


@dataclass(frozen=True)
class Registered:
    """A version's number, and when it was registered by MLflow's clock.

    A registered model that is deleted and made again begins with number 1 again: the two
    together name a version.
    """

    version: str
    at: datetime


class MlflowRegistry:
    """One MLflow registry, addressed explicitly: the global tracking URI is never set.

    It is waited for in seconds, see :mod:`promotion_assets.adapters.patience`.

    Args:
        tracking_uri: where runs and artifacts are.
        registry_uri: where models are; the same where not given.
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.registry_uri = registry_uri or tracking_uri
        limit_patience()
        self.client = MlflowClient(tracking_uri, registry_uri or tracking_uri)

    def facts(self, model: str, version: str) -> VersionFacts:
        """Return what the registry says of ``version``.

        Raises:
            UsageError: no such model or version.
            RegistryUnreachable: MLflow does not answer.
        """
        with registry_errors(f"reading {model} version {version} from MLflow", model):
            found = self.client.get_model_version(model, version)
            run = self.client.get_run(found.run_id) if found.run_id else None
        tags = {str(k): str(v) for k, v in (found.tags or {}).items()}
        run_tags = dict(run.data.tags) if run else {}
        named = (tags.get("author"), found.user_id, run_tags.get("mlflow.user"))
        run_user = run.info.user_id if run else None
        return VersionFacts(
            model=model,
            version=str(found.version),
            created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            source=found.source or "",
            run_id=found.run_id or None,
            author=next((name for name in named if name), None),
            authors=tuple(dict.fromkeys(name for name in (*named, run_user) if name)),
            description=found.description or "",
            tags=tags,
            logged_metrics=_finite(run.data.metrics) if run else {},
            params=dict(run.data.params) if run else {},
        )

    def download(self, model: str, version: str, destination: Path) -> Path:
        """Copy the artifact of ``version`` below ``destination`` and return its root.

        Raises:
            FileNotFoundError: the registry names an artifact that is not there.
            RegistryUnreachable: MLflow does not answer.
        """
        with registry_errors(f"downloading the artifact of {model} version {version}", model):
            uri = self.client.get_model_version_download_uri(model, version)
            return download_whole(uri, destination, self.tracking_uri)

    def training_profile(self, run_id: str) -> tuple[FeatureProfile | None, str | None]:
        """Return the run's feature profile, or a sentence that says why there is none."""
        with registry_errors(f"reading the feature profile of run {run_id}", run_id):
            return read_training_profile(self.client, run_id)

    def attestation(self, run_id: str, folder: Path) -> Path | None:
        """Copy the attestation that came along with a run below ``folder``; ``None`` without one.

        Raises:
            RegistryUnreachable: MLflow does not answer.
        """
        with registry_errors(f"reading the attestation of run {run_id}", run_id):
            if not any(entry.path == ATTACHED for entry in self.client.list_artifacts(run_id)):
                return None
            return Path(self.client.download_artifacts(run_id, ATTACHED, str(folder)))

    def models(self) -> tuple[str, ...]:
        """Return the names of all registered models, newest change first."""
        with registry_errors("listing registered models", "registry"):
            names: list[str] = []
            token: str | None = None
            while True:
                page = self.client.search_registered_models(
                    max_results=100, order_by=["last_updated_timestamp DESC"], page_token=token
                )
                names += [m.name for m in page]
                token = page.token
                if not token:
                    return tuple(names)

    def entries(self, known: Mapping[str, tuple[int, int]], also: Collection[str]) -> list[Entry]:
        """Return the entries of models that may have changed; see :func:`entries_of`.

        Raises:
            RegistryUnreachable: MLflow does not answer.
        """
        with registry_errors("looking for changed models", "registry"):
            return entries_of(self.client, self.registry_uri, known, also)

    def registered_after(
        self, model: str, number: int, *, limit: int = 200
    ) -> tuple[Registered, ...]:
        """Return the versions with numbers above ``number``, ascending, at most ``limit``.

        Version numbers are free of gaps and never reused while the model is there, timestamps
        are neither ordered nor visible when they say: so the number is the cursor.
        """
        with registry_errors(f"looking for versions of {model} above {number}", model):
            found = self.client.search_model_versions(
                f"name='{quoted(model)}' AND version_number > {number}",
                max_results=limit,
                order_by=["version_number ASC"],
            )
        return tuple(map(_registered, sorted(found, key=lambda version: int(version.version))))

    def versions_after(self, model: str, number: int, *, limit: int = 200) -> tuple[str, ...]:
        """Return version numbers above ``number``, ascending, at most ``limit``."""
        return tuple(found.version for found in self.registered_after(model, number, limit=limit))

    def registration(self, model: str, version: str) -> Registered | None:
        """Return the version with its time, or ``None`` where it does not exist (any more)."""
        found = self.find(model, version)
        return None if found is None else _registered(found)

    def find(self, model: str, version: str) -> ModelVersion | None:
        """Return the version, or ``None`` where it does not exist."""
        try:
            with registry_errors(f"reading {model} version {version}", model):
                return self.client.get_model_version(model, version)
        except UsageError:
            return None

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags that differ; values are cut to what MLflow keeps."""
        with registry_errors(f"tagging {model} version {version}", model):
            present = self.client.get_model_version(model, version).tags or {}
            for key, value in tags.items():
                if present.get(key) != value[:TAG_LIMIT]:
                    _again(
                        self.client.set_model_version_tag, model, version, key, value[:TAG_LIMIT]
                    )

    def aliases(self, model: str) -> Mapping[str, str]:
        """Return ``{alias: version}``; a search would say that there are none."""
        with registry_errors(f"reading the aliases of {model}", model):
            found = self.client.get_registered_model(model).aliases or {}
        return {str(alias): str(version) for alias, version in found.items()}

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point ``alias`` at ``version``."""
        with registry_errors(f"pointing {alias} of {model} at version {version}", model):
            _again(self.client.set_registered_model_alias, model, alias, version)

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove ``alias``; one that is not there is no error."""
        with registry_errors(f"removing the alias {alias} of {model}", model):
            self.client.delete_registered_model_alias(model, alias)


def _registered(version: ModelVersion) -> Registered:
    at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
    return Registered(str(version.version), at)


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    # A NaN has no form in JSON, and there is nothing to compare it with.
    return {k: float(v) for k, v in metrics.items() if math.isfinite(v)}


def _again(call: object, *arguments: str) -> None:
    # The first concurrent set of one alias or tag can raise a raw IntegrityError: MLflow has no
    # upsert there. The second attempt finds the row and updates it.
    assert callable(call)
    for attempt in range(4):
        try:
            call(*arguments)
            return
        except MlflowException as error:
            if "IntegrityError" not in str(error) or attempt == 3:
                raise
            time.sleep(0.02 * (attempt + 1))
