"""What comes next for a version in Staging: who is asked, or what is awaited and from where."""

from __future__ import annotations

from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, ReviewRequested, Stage
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.review_requests import Kept
from promotion_assets.pipeline.shadowing import shadow_due
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.review.case import Case
from promotion_assets.review.requests import closed_because
from promotion_assets.review.rules import counting


def review_outlook(
    workspace: Workspace, model: str, version: str, kept: Kept, segment: str = DEFAULT_SEGMENT
) -> str:
    """Say what comes next, in a sentence, after a round of housekeeping.

    Args:
        kept: what that round did and saw.
    """
    if kept.problems:
        return "; ".join(kept.problems)
    where = "" if segment == DEFAULT_SEGMENT else f" in segment {segment!r}"
    named = f"version {version}{where}"
    for event in kept.said:
        if isinstance(event, ReviewRequested) and (event.version, event.segment) == (
            version,
            segment,
        ):
            return f"the review of {named} is requested of {_names(event)}"
    state = workspace.ledger.state(model)
    stage = state.stage(version, segment)
    if stage is not Stage.STAGING:
        return f"{named} is in stage {stage}, and only Staging is reviewed"
    policy = workspace.policy_of(model)
    case = kept.cases.get((segment, version))
    shadow = state.shadows.get((segment, version))
    if case is not None and case.problems:
        if shadow is None and policy.shadow.waive is None and len(case.problems) == 1:
            return f"{named} awaits its shadow report: {_awaited(state, case, policy.shadow)}"
        problems = "; ".join(case.problems)
        return f"{named} is not reviewed: {problems}; see `promotion explain {model} {version}`"
    now = workspace.clock()
    closed = None if case is None else closed_because(case, now)
    request = state.requests.get((segment, version))
    if closed is not None or request is None:
        return f"{named} has no open review: {closed or 'none was requested'}"
    given = 0 if case is None else len(counting(case, now))
    needed = policy.review.needed(policy.risk_class)
    return (
        f"{named} waits for its reviewers: {_names(request)} were asked, "
        f"{given} of {needed} approvals are given"
    )


def _names(request: ReviewRequested) -> str:
    return ", ".join(request.assigned) or "nobody: no listed reviewer may review it"


def _awaited(state: ModelState, case: Case, policy: ShadowPolicy) -> str:
    champion = state.champions.get(case.segment)
    if champion is None:
        return (
            f"segment {case.segment!r} has no champion whose requests it could be shown; take in "
            f"what serves today with `promotion adopt {case.model} VERSION --reason …`, or say in "
            "the policy why there is no shadow (`shadow.waive`)"
        )
    due = shadow_due(state, case.segment)
    newer = (
        f"version {due.version}, which is newer, gets the copies now; "
        if due is not None and due.version != case.version
        else ""
    )
    hours = policy.minimum_time.total_seconds() / 3600
    return (
        f"answers beside champion {champion} over at least {hours:g} hours and in "
        f"{policy.minimum_pairs:,} pairs; {newer}a report is made every "
        f"{_hours(policy.report_hours)} from copies of {policy.share / 100:g} % of the requests, "
        "and when one passes, reviewers are asked without further ado; see "
        f"`promotion shadow status {case.model}`"
    )


def _hours(number: float) -> str:
    return "hour" if number == 1 else f"{number:g} hours"
