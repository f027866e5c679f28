"""What Production asks beyond Staging: reviews, calendars, the shadow, and a way back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from promotion_assets.errors import PromotionError
from promotion_assets.evaluation.artifact import verify
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.scoring_step import open_session
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.review.freeze import open_freeze

PROOF_ROWS = 5


def with_review(
    evaluator: Evaluator, candidate: Candidate, facts: Facts, *, actor: str = ""
) -> Facts:
    """Return ``facts`` with what the policy asks of reviews, and what is closed now.

    Args:
        actor: who asks for Production, where that is known.
    """
    policy = evaluator.policy
    state = evaluator.workspace.ledger.state(evaluator.model)
    asking = requesters_of(state, evaluator.segment, candidate.version, actor)
    return facts.model_copy(
        update={
            "quorum": policy.review.needed(policy.risk_class),
            "review_ttl": policy.review.approval_ttl,
            "may_not_review": may_not_review(policy, state, authors_of(candidate) | asking),
            "shadow_waiver": policy.shadow.waive,
            "shadow_rules": policy.shadow.rules_digest,
            "frozen_by": frozen_by(evaluator),
            "review_digest": policy.review_digest,
        }
    )


def with_predecessor(evaluator: Evaluator, facts: Facts) -> Facts:
    """Return ``facts`` with whether the champion can take the traffic back: it is tried."""
    return facts.model_copy(update={"predecessor": readiness(evaluator)})


def authors_of(candidate: Candidate) -> frozenset[str]:
    """Return every name, in lower case, that is known of who made or registered a version."""
    names = (candidate.author, candidate.tags.get("author"), *candidate.authors)
    return frozenset(name.strip().lower() for name in names if name and name.strip())


def requesters_of(state: ModelState, segment: str, version: str, actor: str = "") -> frozenset[str]:
    """Return, in lower case, who asks for a version's promotion: into Staging and out of it."""
    names = (state.asked_by.get((segment, version), ""), actor)
    return frozenset(name.strip().lower() for name in names if name.strip())


def may_not_review(
    policy: ModelPolicy, state: ModelState, barred: frozenset[str]
) -> tuple[str, ...]:
    """Return whose approval does not count.

    Those are the reviewers who are one of ``barred``, which has the names of authors and
    requesters in lower case, and whoever has voted and is no longer in the policy.
    """
    listed = {r.name: r for r in policy.review.reviewers}
    voted = {vote.actor for votes in state.reviews.values() for vote in votes}
    made = {name for name, entry in listed.items() if entry.is_one_of(barred)}
    return tuple(sorted(made | (voted - listed.keys())))


def frozen_by(evaluator: Evaluator) -> str | None:
    """Return the freeze window that is open now."""
    freeze = evaluator.policy.review.freeze
    calendar = None
    if freeze.on_call is not None:
        try:
            path = Path(evaluator.policy.base) / freeze.on_call
            calendar = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            calendar = None
    return open_freeze(freeze, calendar, evaluator.workspace.clock())


def readiness(evaluator: Evaluator) -> Literal["ready", "unproven"]:
    """Prove that the segment's champion loads and answers a few rows, in its sandbox."""
    champion = evaluator.champion
    if champion is None or champion.artifact_dir is None or champion.problems:
        return "unproven"
    try:
        verify(champion.artifact_dir, champion.digest)
        dataset = evaluator.inputs.dataset()
    except PromotionError:
        return "unproven"
    rows = dataset.frame[list(dataset.features)].head(PROOF_ROWS)
    with open_session(champion, evaluator.policy, evaluator.scoring_plan(), dataset) as session:
        deadline = time.monotonic() + evaluator.policy.sandbox.wall_seconds
        answered = session.answer(rows, deadline)
    return "unproven" if isinstance(answered, ScoringFailure) else "ready"
