"""The resource through which every asset reaches the platform."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.workspace import Workspace


class Platform(dg.ConfigurableResource["Platform"]):
    """Where policy and state are; empty means: as the environment says.

    Policy and state are read anew in every run, so that an asset never judges by an old policy
    because a process has been up for long.
    """

    config: str = ""
    home: str = ""

    _workspace: Workspace | None = PrivateAttr(default=None)
    _evaluators: dict[str, Evaluator] = PrivateAttr(default_factory=dict)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the workspace once a run."""
        self._workspace = self.open()
        self._evaluators = {}

    def open(self) -> Workspace:
        """Open the workspace afresh."""
        return Workspace.open(
            config=Path(self.config) if self.config else None,
            home=Path(self.home) if self.home else None,
        )

    @property
    def workspace(self) -> Workspace:
        """The workspace of this run."""
        if self._workspace is None:
            self._workspace = self.open()
        return self._workspace

    def evaluator(self, model: str) -> Evaluator:
        """Return the steps of evaluating ``model``; one object a run, which reads inputs once."""
        if model not in self._evaluators:
            self._evaluators[model] = Evaluator(self.workspace, model)
        return self._evaluators[model]
