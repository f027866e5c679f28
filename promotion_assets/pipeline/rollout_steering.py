"""A person steps in: pause, resume, skip, abort; each with an actor and a reason in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import JsonValue

from promotion_assets.errors import TransitionRefused, UsageError
from promotion_assets.lifecycle.events import Adopted, RolloutCompleted, Stage, StageChanged
from promotion_assets.lifecycle.rollouts import segment_plan, standing, step_events
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic_events import StepAction
from promotion_assets.pipeline.rollout_look import policy_of, policy_of_today
from promotion_assets.pipeline.rollouts import take_back
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.rollout import RolloutPolicy
from promotion_assets.rollout.decide import RolloutPlan


def pause(workspace: Workspace, model: str, segment: str, *, actor: str, reason: str) -> ModelState:
    """Keep the share as it is until somebody resumes it; guardrails still take it back.

    Raises:
        TransitionRefused: nothing is rolling out, it is paused already, or no reason is given.
        Conflict: something else happened to the model first.
    """
    state, plan = _rolling(workspace, model, segment, "pause", reason)
    if plan.paused is not None:
        raise TransitionRefused(
            _doing("pause", model, segment),
            f"version {plan.version} is paused already: {plan.paused}",
            f"`promotion rollout resume {model} --reason …` lets it go on",
        )
    return _person(workspace, state, segment, plan, "pause", actor, reason)


def resume(
    workspace: Workspace, model: str, segment: str, *, actor: str, reason: str
) -> ModelState:
    """Go on after a pause or a hold: its step's time begins anew, by the policy of today.

    Raises:
        TransitionRefused: it neither is paused nor holds, or no reason is given.
        Conflict: something else happened to the model first.
    """
    state, plan = _rolling(workspace, model, segment, "resume", reason)
    if plan.paused is None and plan.held is None:
        raise TransitionRefused(
            _doing("resume", model, segment),
            f"version {plan.version} is neither paused nor held",
            f"nothing is to be resumed; `promotion rollout status {model}` says what it waits for",
        )
    policy = policy_of_today(workspace, model)
    if plan.step is not None:
        _check_same_way(policy_of(workspace, state, segment), policy, plan.step, model, segment)
    pinned = {"policy": policy.model_dump(mode="json")}
    return _person(workspace, state, segment, plan, "resume", actor, reason, pinned)


def skip(workspace: Workspace, model: str, segment: str, *, actor: str, reason: str) -> ModelState:
    """Go to the last step at once, where the artifact was champion a short time ago.

    Raises:
        TransitionRefused: it was not, or the rollout has not begun, or is at its last step.
        Conflict: something else happened to the model first.
    """
    state, plan = _rolling(workspace, model, segment, "skip", reason)
    policy = policy_of(workspace, state, segment)
    doing = _doing("skip steps", model, segment)
    last = len(policy.way) - 1
    if plan.step is None or plan.step == last:
        where = "has not begun" if plan.step is None else "is at its last step"
        raise TransitionRefused(
            doing,
            f"the rollout of version {plan.version} {where}, so there is no step to skip",
            f"see `promotion rollout status {model}` for what it waits for",
        )
    if plan.latched is not None:
        raise TransitionRefused(
            doing,
            f"the artifact of version {plan.version} is latched: {plan.latched}",
            "nothing is to be done: the next tick takes it back",
        )
    days = policy.rollback_window_days
    served = last_served(workspace, state, segment, state.digests[plan.version])
    if served is None or workspace.clock() - served > timedelta(days=days):
        when = "never" if served is None else f"last on {served:%Y-%m-%d}"
        raise TransitionRefused(
            doing,
            f"the artifact of version {plan.version} was {when} champion of this segment, and only "
            f"one that was within {days} days may skip what watches it",
            "let the rollout go its way, or abort it",
        )
    return _person(
        workspace,
        state,
        segment,
        plan,
        "skip",
        actor,
        reason,
        step=last,
        share=policy.share_at(last),
    )


def digest_of(state: ModelState, model: str, version: str) -> str:
    """Return the digest of a version's artifact.

    Raises:
        UsageError: the ledger knows no artifact of such a version.
    """
    digest = state.digests.get(version)
    if digest is None:
        known = ", ".join(sorted(state.digests, key=int)) or "none"
        raise UsageError(
            f"looking for the artifact of {model} version {version}",
            f"the ledger knows no such version (it knows {known})",
            f"see `promotion status {model}`",
        )
    return digest


def abort(workspace: Workspace, model: str, segment: str, *, actor: str, reason: str) -> ModelState:
    """Take all traffic back to the champion; the candidate's artifact is latched.

    Raises:
        TransitionRefused: nothing is rolling out, or no reason is given.
    """
    state, plan = _rolling(workspace, model, segment, "abort", reason)
    return take_back(workspace, state, segment, plan, "abort", actor, reason, {})


def last_served(
    workspace: Workspace, state: ModelState, segment: str, digest: str
) -> datetime | None:
    """Return when an artifact was last champion of the segment, by the ledger's clock."""
    champion: str | None = None
    ended: datetime | None = None
    digests = state.digests
    for recorded in workspace.ledger.events(state.model):
        event = recorded.event
        match event:
            case Adopted() | RolloutCompleted() if event.segment == segment:
                taking = event.version
            case StageChanged() if (
                event.segment == segment and event.promoted_to is Stage.PRODUCTION
            ):
                taking = event.version if champion is None else champion
            case StageChanged() if event.segment == segment and event.version == champion:
                taking = ""
            case _:
                continue
        if champion and digests.get(champion) == digest and taking != champion:
            ended = recorded.recorded_at
        champion = taking or None
    if champion and digests.get(champion) == digest:
        return workspace.clock()
    return ended


def _rolling(
    workspace: Workspace, model: str, segment: str, what: str, reason: str
) -> tuple[ModelState, RolloutPlan]:
    doing = _doing(what, model, segment)
    if not reason.strip():
        raise TransitionRefused(doing, "no reason is given", "say why with --reason")
    state = workspace.ledger.state(model)
    plan = standing(state, segment)
    if plan is None:
        raise TransitionRefused(
            doing,
            "nothing is rolling out there",
            f"see `promotion rollout status {model}`; a rollout begins when a version is approved "
            "for Production",
        )
    return state, plan


def _person(
    workspace: Workspace,
    state: ModelState,
    segment: str,
    plan: RolloutPlan,
    action: StepAction,
    actor: str,
    reason: str,
    told: Mapping[str, JsonValue] | None = None,
    *,
    step: int | None = None,
    share: int | None = None,
) -> ModelState:
    events = step_events(
        state,
        segment,
        action,
        step=(plan.step or 0) if step is None else step,
        share=segment_plan(state, segment).share if share is None else share,
        actor=actor,
        reason=reason,
        at=workspace.clock(),
        statistics=told or {},
    )
    workspace.ledger.append(events, expect_sequence=state.sequence)
    workspace.checkpointer.publish()
    return workspace.ledger.state(state.model)


def _check_same_way(
    old: RolloutPolicy, new: RolloutPolicy, step: int, model: str, segment: str
) -> None:
    """What was counted is named by its share: the way until here must be the same."""
    until = range(step + 1)
    if len(new.way) <= step or any(old.share_at(n) != new.share_at(n) for n in until):
        raise TransitionRefused(
            _doing("resume", model, segment),
            "the policy of today has other steps before the one that it is at",
            "keep those steps in the policy, or abort the rollout",
        )


def _doing(what: str, model: str, segment: str) -> str:
    return f"{what} the rollout of {model} in segment {segment!r}"
