"""The resource through which every asset reaches the platform."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from promotion_assets.adapters.tracing import within_run
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.workspace import Workspace

SEGMENT_TAG = "promotion/segment"
PARTITION_TAG = "dagster/partition"


class Platform(dg.ConfigurableResource["Platform"]):
    """Where policy and state are; empty means: as the environment says.

    Policy and state are read anew in every run, so that an asset never judges by an old policy
    because a process has been up for long.
    """

    config: str = ""
    home: str = ""

    _run: str | None = PrivateAttr(default=None)
    _workspace: Workspace | None = PrivateAttr(default=None)
    _evaluators: dict[tuple[str, str], Evaluator] = PrivateAttr(default_factory=dict)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Open the workspace once a run."""
        self._workspace = self.open()
        self._evaluators = {}
        run = context.run
        self._run = run.run_id if run is not None and PARTITION_TAG in run.tags else None

    def traced(self) -> AbstractContextManager[object]:
        """Have what is done meanwhile belong to the run's trace, where the run is of a version."""
        return within_run(self._run)

    def open(self) -> Workspace:
        """Open the workspace afresh."""
        return Workspace.open(
            config=Path(self.config) if self.config else None,
            home=Path(self.home) if self.home else None,
        )

    def opened(self) -> closing[Workspace]:
        """Open the workspace for one look and close it: a code server looks for months.

        What is not closed waits for the garbage collector, which comes ever more seldom in a
        process that keeps much.
        """
        return closing(self.open())

    @property
    def workspace(self) -> Workspace:
        """The workspace of this run."""
        if self._workspace is None:
            self._workspace = self.open()
        return self._workspace

    def evaluator(self, model: str, segment: str = DEFAULT_SEGMENT) -> Evaluator:
        """Return the steps of evaluating ``model``; one object a run, which reads inputs once."""
        key = (model, segment)
        if key not in self._evaluators:
            self._evaluators[key] = Evaluator(self.workspace, model, segment)
        return self._evaluators[key]


def segment_of(context: dg.AssetExecutionContext) -> str:
    """Return the segment that a run is about: its tag says so, for all of its assets at once."""
    return context.run.tags.get(SEGMENT_TAG, DEFAULT_SEGMENT)
