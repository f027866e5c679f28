"""Before a candidate gets a share: is it the right one, does it answer, is there a way back."""

from __future__ import annotations

import time
from collections.abc import Iterator

from promotion_assets.errors import PromotionError, Unreachable
from promotion_assets.evaluation.artifact import verify
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.intake import take_candidate
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.production_facts import PROOF_ROWS, readiness
from promotion_assets.pipeline.scoring_step import open_session


def preflight(evaluator: Evaluator, state: ModelState) -> Iterator[str]:
    """Say everything about candidate and predecessor that forbids to begin.

    Raises:
        Unreachable: the registry or a disk does not answer.
    """
    version = state.rolling[evaluator.segment]
    workspace = evaluator.workspace
    taken = take_candidate(
        workspace.registry, evaluator.model, version, workspace.store / "artifacts"
    )
    if taken.digest != state.digests[version]:
        yield (
            f"its artifact is {taken.digest[:12] or 'unreadable'} in the registry and not "
            f"{state.digests[version][:12]}, which was approved"
        )
        return
    problem = smoke_test(evaluator, taken)
    if problem is not None:
        yield f"it did not pass the smoke test: {problem}"
    if readiness(evaluator) != "ready":
        champion = state.champions[evaluator.segment]
        yield f"champion {champion} is not proven to load and answer, so there is no way back"


def smoke_test(evaluator: Evaluator, version: Candidate) -> str | None:
    """Load a version in its sandbox and have it answer a few rows; say what went wrong."""
    if version.artifact_dir is None or version.problems:
        return "; ".join(version.problems) or "its artifact could not be taken in"
    try:
        verify(version.artifact_dir, version.digest)
        dataset = evaluator.inputs.dataset()
    except Unreachable:
        raise
    except PromotionError as error:
        return error.problem
    rows = dataset.frame[list(dataset.features)].head(PROOF_ROWS)
    with open_session(version, evaluator.policy, evaluator.scoring_plan(), dataset) as session:
        deadline = time.monotonic() + evaluator.policy.sandbox.wall_seconds
        answered = session.answer(rows, deadline)
    return answered.reason if isinstance(answered, ScoringFailure) else None
