"""Names of assets, groups, partitions and jobs, derived from the model's name in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

import dagster as dg

# On a run of the evaluation job: what asked for it. Such a run records one verdict on the same
# version, dataset, policy and champion, however often it is started.
REQUEST_TAG = "promotion/request"


@dataclass(frozen=True)
class Names:
    """All names of one model's assets.

    Asset keys carry the registered model's own name as their prefix where Dagster allows it, that
    is where it has only letters, digits, hyphens and underscores. Names of groups, jobs and steps
    get the model's name with everything but letters, digits and underscores replaced, and so do
    other asset keys; ``taken`` keeps two models apart that would collide.
    """

    model: str
    slug: str

    @classmethod
    def of(cls, model: str, taken: set[str]) -> Names:
        """Return names for ``model`` and add its slug to ``taken``."""
        slug = base = re.sub(r"[^A-Za-z0-9_]", "_", model) or "model"
        number = 2
        while slug in taken:
            slug, number = f"{base}_{number}", number + 1
        taken.add(slug)
        return cls(model, slug)

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of one of the model's assets."""
        plain = re.fullmatch(r"[A-Za-z0-9_-]+", self.model)
        return dg.AssetKey([self.model if plain else self.slug, asset])

    def step(self, asset: str) -> str:
        """Return the name of the step that makes an asset."""
        return f"{self.slug}__{asset}"

    @property
    def group(self) -> str:
        """The asset group."""
        return self.slug

    @property
    def job(self) -> str:
        """The job that evaluates one version."""
        return f"evaluate_{self.slug}"

    @property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """One partition a registered version."""
        return dg.DynamicPartitionsDefinition(name=f"{self.model} versions")


def gate_asset(gate: str) -> str:
    """Return the asset name of a gate."""
    return f"{gate}_gate"
