"""The factory as a Dagster Component, for projects that are made of components."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from promotion_assets.defs.factory import promotion_definitions
from promotion_assets.pipeline.workspace import Workspace


class ModelPromotion(dg.Component, dg.Model, dg.Resolvable):
    """Assets, checks, job and sensor for every model of a policy file.

    Attributes:
        config: path of the policy file, relative to the component's folder.
        home: where state lives; beside the policy file where not given.
    """

    config: str = "promotion.yaml"
    home: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions."""
        opened = Workspace.open(
            config=Path(context.path) / self.config,
            home=Path(context.path) / self.home if self.home else None,
        )
        return promotion_definitions(opened.policy, config=opened.config, home=opened.home)
