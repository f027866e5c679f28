"""The platform as the demo drives it: by the functions behind the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promotion_assets.audit.status import status
from promotion_assets.defs.instance import evaluate_version, open_instance
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.shadowing import shadow_story
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt
from promotion_assets.pipeline.workspace import Workspace

ACTOR = "demo"


class LocalPlatform:
    """The platform in the demo's folder, in this process."""

    def __init__(self, home: DemoHome, environ: Mapping[str, str]) -> None:
        self._environ = home.environment(environ)
        self._home = home

    def adopt(self, model: str, version: str, reason: str) -> None:
        """Take in the version that serves already."""
        adopt(Evaluator(self._open(), model), version, actor=ACTOR, reason=reason)

    def evaluate(self, model: str, version: str) -> None:
        """Judge a version by a run of the evaluation job, unless it was judged on all of this."""
        workspace = self._open()
        if not self._is_judged(workspace, model, version):
            with open_instance(workspace) as instance:
                evaluate_version(workspace, model, version, instance, lambda _: None)

    def status(self, model: str) -> Mapping[str, Any]:
        """Return one model's part of ``promotion status --json``."""
        found: Mapping[str, Any] = status(self._open().ledger, [model])["models"][0]
        return found

    def shadow(self, report: Callable[[str], None]) -> tuple[str, ...]:
        """Play traffic to the version in Staging as a shadow; return a short account."""
        return shadow_story(self._open(), report)

    def _open(self) -> Workspace:
        # Afresh each time, as every command does: nothing of an earlier step is believed.
        return Workspace.open(
            home=self._home.state, config=self._home.config, environ=self._environ
        )

    @staticmethod
    def _is_judged(workspace: Workspace, model: str, version: str) -> bool:
        evaluator = Evaluator(workspace, model)
        judged = workspace.ledger.state(model).decisions.get(version)
        return judged is not None and (judged.dataset_digest, judged.policy_digest) == (
            evaluator.inputs.dataset_digest(),
            evaluator.policy.digest,
        )
