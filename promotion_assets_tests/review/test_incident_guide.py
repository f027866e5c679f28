"""The auditor's guide is followed on a ledger in which a version went live and came back."""

from __future__ import annotations

import os
from pathlib import Path

from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.promotion import complete_rollout
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import promote
from promotion_assets_tests.guides.runner import REPOSITORY, follow, guide_environment
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, World


def went_live_and_came_back(world: World) -> None:
    """Approved by two on the 2nd, champion from the 3rd, back on the 5th of March."""
    for reviewer in ("ana", "bo"):
        world.approve(reviewer)
    evaluator = Evaluator(world.workspace, MODEL)
    promote(evaluator, CHALLENGER, Stage.PRODUCTION, actor="release", reason="two have approved")
    ledger, registry = world.workspace.ledger, world.workspace.registry
    world.clock.advance(days=1)
    complete_rollout(ledger, registry, MODEL, actor="release", reason="every step passed")
    world.clock.advance(days=2)
    rollback(ledger, registry, MODEL, actor="on-call", reason="a customer complains")
    world.workspace.checkpointer.publish()


def test_auditors_guide_finds_its_answers(world: World, tmp_path: Path) -> None:
    """From the day of a complaint to version, reasons, voters, groups, and a bundle."""
    went_live_and_came_back(world)
    environ = guide_environment(os.environ) | {"PROMOTION_REVIEWER_TOKEN": ""}
    ran = follow(REPOSITORY / "docs" / "incident.md", world.root, environ)
    assert len(ran) == 9
    assert (world.root / "credit-risk-2.zip").is_file()
