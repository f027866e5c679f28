"""Housekeeping of reviews: requests open by themselves, wait, expire; rejections take effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promotion_assets.errors import Conflict, PromotionError
from promotion_assets.lifecycle.events import (
    AnyEvent,
    ReviewReminded,
    ReviewRequested,
    Stage,
)
from promotion_assets.lifecycle.promotion import promote as change_stage
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Request
from promotion_assets.pipeline.past_drills import none_to_keep
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.case import Case
from promotion_assets.review.requests import closed_because, reminder_for, request_for

if TYPE_CHECKING:
    # What judges takes seconds to import, and a round in which nothing is due needs none of it.
    from promotion_assets.pipeline.evaluator import Evaluator


@dataclass
class Kept:
    """What a round of housekeeping did.

    Attributes:
        said: what was recorded.
        approved: versions whose quorum is reached and which nothing else holds back, by segment.
        problems: what could not be looked at, and why.
        cases: what was looked at anew and not rejected, by segment and version; what waits for
            nothing but reviewers is not.
    """

    said: list[ReviewRequested | ReviewReminded] = field(default_factory=list)
    approved: list[tuple[str, str]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cases: dict[tuple[str, str], Case] = field(default_factory=dict)


def keep_requests(workspace: Workspace, model: str) -> Kept:
    """Open, remind, expire and conclude the reviews of a model; repeating changes nothing.

    Reviewers are told of what was recorded through the outbox, as of everything else.
    """
    kept = Kept()
    for segment in workspace.policy_of(model).segments:
        for version in workspace.ledger.state(model).in_stage(Stage.STAGING, segment):
            try:
                _keep_version(workspace, model, segment, version, kept)
            except PromotionError as error:
                kept.problems.append(f"version {version}: {error}")
    try:
        drilled = _keep_drills(workspace, model)
    except PromotionError as error:
        kept.problems.append(f"drills: {error}")
        drilled = False
    if kept.said or drilled:
        workspace.checkpointer.publish()
    return kept


def _keep_version(workspace: Workspace, model: str, segment: str, version: str, kept: Kept) -> None:
    state = workspace.ledger.state(model)
    if _nothing_due(workspace, state, segment, version):
        return
    from promotion_assets.pipeline.evaluator import Evaluator

    keep_request(Evaluator(workspace, model, segment), version, kept)


def _keep_drills(workspace: Workspace, model: str) -> bool:
    if none_to_keep(workspace, model):
        return False
    from promotion_assets.pipeline.drilling import keep_drills

    return keep_drills(workspace, model)


def keep_request(evaluator: Evaluator, version: str, kept: Kept) -> None:
    """Do what is due for one version.

    Raises:
        PromotionError: it cannot be looked at; nothing was recorded.
    """
    workspace, model = evaluator.workspace, evaluator.model
    state = workspace.ledger.state(model)
    if _nothing_due(workspace, state, evaluator.segment, version):
        return
    from promotion_assets.pipeline.review_case import gather

    found = gather(evaluator, version)
    case, now = found.case, workspace.clock()
    if any(vote.verdict == "rejected" for vote in case.standing()):
        carry_out_rejection(evaluator, version)
        kept.rejected.append(version)
        return
    kept.cases[evaluator.segment, version] = case
    due: list[AnyEvent] = []
    reminder = reminder_for(case, found.state.reminders, now)
    opened = request_for(case, found.state.assignments, now)
    due += [event for event in (reminder, opened) if event is not None]
    if due:
        try:
            workspace.ledger.append(due, expect_sequence=found.sequence)
        except Conflict:
            # Somebody else does the same or has just voted; the next round sees what is left.
            return
        kept.said += [event for event in (reminder, opened) if event is not None]
    elif closed_because(case, now) == "it is approved" and not case.problems:
        kept.approved += [] if case.frozen_by else [(version, case.segment)]


def carry_out_rejection(evaluator: Evaluator, version: str) -> None:
    """Archive a version that a reviewer rejected.

    Raises:
        PromotionError: it could not be done now; the next round of housekeeping tries again.
    """
    from promotion_assets.pipeline.promoting import facts_now

    workspace = evaluator.workspace
    reviews = workspace.ledger.state(evaluator.model).reviews[(evaluator.segment, version)]
    vote = next(v for v in reversed(reviews) if v.verdict == "rejected")
    request = Request(
        model=evaluator.model,
        version=version,
        to=Stage.ARCHIVED,
        segment=evaluator.segment,
        actor=vote.actor,
        reason=f"rejected by {vote.actor}: {vote.comment}",
        cause="rejected",
    )
    facts = facts_now(evaluator, version)
    change_stage(workspace.ledger, workspace.registry, request, facts, workspace.clock())


def _nothing_due(workspace: Workspace, state: ModelState, segment: str, version: str) -> bool:
    """Whether the ledger alone shows an open request that waits for nothing but reviewers.

    A tick costs what is new: artifact and dataset are read again when somebody opens the request.
    """
    place = (segment, version)
    request, decision = state.requests.get(place), state.decision(version, segment)
    if request is None or decision is None or request.requested_at is None:
        return False
    policy = workspace.policy_of(state.model)
    now, review = workspace.clock(), policy.review
    pinned = {
        "decision": decision.decision_digest,
        "policy": policy.digest,
        "review": policy.review_digest,
    }
    shadow = state.shadows.get(place)
    if shadow is not None and shadow.report_digest:
        pinned["shadow"] = shadow.report_digest
    reminded = request.request_id in state.reminders
    waited = (now - request.requested_at).days >= review.remind_days
    return (
        all(request.evidence.get(name) == digest for name, digest in pinned.items())
        and not (request.expires_at is not None and now > request.expires_at)
        and (reminded or not waited)
        and not state.reviews.get(place)
    )
