"""MLflow as the ledger's mirror: aliases, tags, and the legacy stage where it is still taken."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from promotion_assets.adapters.mlflow_registry import MlflowRegistry
from promotion_assets.adapters.registry_errors import registry_errors
from promotion_assets.adapters.tracing import span
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.mirror import STAGE_TAG, is_managed
from promotion_assets.lifecycle.ports import MirroredVersion, RegistryView

OUR_TAGS = ("promotion.", "gate.")


class MirroringRegistry(MlflowRegistry):
    """MLflow as :class:`promotion_assets.lifecycle.ports.Registry`: read, and made to mirror."""

    def mirror(
        self,
        model: str,
        version: str,
        stage: Stage,
        aliases: Collection[str],
        tags: Mapping[str, str],
    ) -> None:
        """Make MLflow show ``version`` like this; see the protocol."""
        with span("registry mirror", model=model, version=version, stage=str(stage)):
            held = self.aliases(model)
            for alias in sorted(aliases):
                if held.get(alias) != version:
                    self.set_alias(model, alias, version)
            for alias, holder in held.items():
                if holder == version and alias not in aliases and is_managed(alias):
                    self.delete_alias(model, alias)
            self.set_tags(model, version, tags)
            self._legacy_stage(model, version, stage)

    def read_mirror(self, model: str, versions: Collection[str] | None = None) -> RegistryView:
        """Return what MLflow shows now; see the protocol."""
        if versions is None:
            found = self._all_versions(model)
        else:
            each = ((name, self.find(model, name)) for name in versions)
            found = {name: version for name, version in each if version is not None}
        return RegistryView(
            aliases={a: v for a, v in self.aliases(model).items() if is_managed(a)},
            versions={name: _mirrored(version) for name, version in found.items()},
        )

    def _all_versions(self, model: str) -> dict[str, ModelVersion]:
        name = model.replace("'", "\\'")
        found: dict[str, ModelVersion] = {}
        token: str | None = None
        with registry_errors(f"listing the versions of {model}", model):
            while True:
                page = self.client.search_model_versions(
                    f"name='{name}'", max_results=1000, page_token=token
                )
                found.update({str(version.version): version for version in page})
                token = page.token
                if not token:
                    return found

    def _legacy_stage(self, model: str, version: str, stage: Stage) -> None:
        found = self.find(model, version)
        if found is None or found.current_stage in (None, str(stage)):
            return
        with warnings.catch_warnings(), registry_errors(f"moving {model} version {version}", model):
            warnings.simplefilter("ignore", FutureWarning)
            try:
                # Never archive_existing_versions: it is not atomic and the ledger decides.
                self.client.transition_model_version_stage(
                    model, version, str(stage), archive_existing_versions=False
                )
            except MlflowException as error:
                if error.error_code not in ("FEATURE_DISABLED", "NOT_IMPLEMENTED"):
                    raise


def _mirrored(version: ModelVersion) -> MirroredVersion:
    tags = {
        str(key): str(value)
        for key, value in (version.tags or {}).items()
        if str(key).startswith(OUR_TAGS)
    }
    return MirroredVersion(tags.get(STAGE_TAG), version.current_stage, tags)
