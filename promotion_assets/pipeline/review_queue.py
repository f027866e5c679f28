"""The queue: what waits for reviewers, from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from promotion_assets.lifecycle.events import ReviewDecided, ReviewRequested, Stage
from promotion_assets.pipeline.past_drills import all_drills
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.ports import QueueItem


def queue(workspace: Workspace) -> tuple[QueueItem, ...]:
    """Return the open requests of all models, the oldest first."""
    found = [item for model in workspace.policy.models for item in waiting(workspace, model)]
    return tuple(sorted(found, key=lambda item: item.requested_at))


def waiting(workspace: Workspace, model: str) -> Iterator[QueueItem]:
    """Yield the open requests of a model; a drill is one like any other."""
    state, now = workspace.ledger.state(model), workspace.clock()
    opened: list[tuple[ReviewRequested, tuple[ReviewDecided, ...]]] = [
        (request, state.reviews.get(place, ()))
        for place, request in state.requests.items()
        if state.stage(place[1], place[0]) is Stage.STAGING
    ]
    known = set(state.versions())
    opened += [
        (drill.request, drill.votes)
        for drill in all_drills(workspace, model)
        if drill.ended is None and drill.opened.version not in known
    ]
    quorum = _quorum(workspace, model)
    for request, reviews in opened:
        if request.requested_at is None:
            continue
        if request.expires_at is not None and now > request.expires_at:
            continue
        approvals, rejected = _counted(reviews, request.evidence)
        if approvals < quorum and not rejected:
            yield QueueItem(
                model=model,
                version=request.version,
                segment=request.segment,
                request_id=request.request_id,
                assigned=request.assigned,
                requested_at=request.requested_at,
                expires_at=request.expires_at,
                approvals=approvals,
                quorum=quorum,
            )


def _counted(reviews: tuple[ReviewDecided, ...], evidence: Mapping[str, str]) -> tuple[int, bool]:
    last = {vote.actor: vote.verdict for vote in reviews if dict(vote.evidence) == dict(evidence)}
    return list(last.values()).count("approved"), "rejected" in last.values()


def _quorum(workspace: Workspace, model: str) -> int:
    policy = workspace.policy_of(model)
    return policy.review.needed(policy.risk_class)
