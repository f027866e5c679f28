"""A registered model's tag as a place for checkpoints: a hint, since anybody there can edit it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from promotion_assets.adapters.mlflow_registry import MlflowRegistry
from promotion_assets.adapters.registry_errors import registry_errors
from promotion_assets.errors import RegistryUnreachable, UsageError

TAG = "promotion.checkpoint"


@dataclass(frozen=True)
class TagPlace:
    """The newest checkpoint as a tag of one registered model in MLflow."""

    registry: MlflowRegistry
    model: str

    @property
    def name(self) -> str:
        """Which tag of which model."""
        return f"tag {TAG} of {self.model} in MLflow"

    def publish(self, size: int, note: str) -> str:
        """Set the tag."""
        try:
            with registry_errors(f"publishing a checkpoint as a {self.name}", self.model):
                self.registry.client.set_registered_model_tag(self.model, TAG, note)
        except UsageError as error:
            raise RegistryUnreachable(error.doing, error.problem, error.next_step) from error
        return self.name

    def held(self) -> Iterable[str]:
        """Return the tag's value, if it is set."""
        try:
            with registry_errors(f"reading the {self.name}", self.model):
                tags = self.registry.client.get_registered_model(self.model).tags or {}
        except UsageError:
            return []
        return [str(tags[TAG])] if TAG in tags else []
