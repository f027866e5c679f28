"""A rollout in the ledger: where it stands, and how its next step is recorded.

A step and the traffic plan that follows from it are one transaction, appended only if nothing
else has happened to the model since it was decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from promotion_assets.errors import TransitionRefused
from promotion_assets.lifecycle.events import AnyEvent, RolloutStepped, TrafficPlanned
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic_events import StepAction
from promotion_assets.rollout.decide import RolloutPlan
from promotion_assets.serving.plan import SegmentPlan

_ENTERING = {"start", "advance", "bake", "skip"}


def steps_of(state: ModelState, segment: str) -> tuple[RolloutStepped, ...]:
    """Return what was recorded of the version that is rolling out, in order."""
    rolling = state.rolling.get(segment)
    recorded = state.rollout_steps.get(segment, ())
    steps = tuple(step for step in recorded if step.version == rolling)
    ended = [number for number, step in enumerate(steps) if step.action in ("roll_back", "abort")]
    return steps[ended[-1] + 1 :] if ended else steps


def standing(state: ModelState, segment: str) -> RolloutPlan | None:
    """Return where the segment's rollout stands by the ledger; ``None`` where there is none."""
    version = state.rolling.get(segment)
    if version is None:
        return None
    step: int | None = None
    since: datetime | None = None
    paused: str | None = None
    held: str | None = None
    for recorded in steps_of(state, segment):
        if recorded.action in _ENTERING:
            step, since = recorded.step, recorded.at
        if recorded.action in _ENTERING or recorded.action == "resume":
            paused = held = None
            since = recorded.at if step is not None else None
        if recorded.action == "pause":
            paused = recorded.reason
        if recorded.action == "hold":
            held = recorded.reason
    latch = state.latches.get(state.digests[version])
    report = state.deployment(version, segment)
    return RolloutPlan(
        version=version,
        step=step,
        since=since,
        paused=paused,
        held=held,
        latched=latch.reason if latch else None,
        deployment="none" if report is None else "good" if report.good else "bad",
    )


def segment_plan(state: ModelState, segment: str) -> SegmentPlan:
    """Return the segment's part of the traffic plan.

    Raises:
        TransitionRefused: there is none.
    """
    found = state.traffic.segment(segment) if state.traffic else None
    if found is None:
        raise TransitionRefused(
            f"look at the traffic of {state.model} in segment {segment!r}",
            "it has no champion, so nothing is planned",
            "adopt or promote a version first",
        )
    return found


def step_events(
    state: ModelState,
    segment: str,
    action: StepAction,
    *,
    step: int,
    share: int,
    actor: str,
    reason: str,
    at: datetime,
    statistics: Mapping[str, JsonValue],
) -> list[AnyEvent]:
    """Return the entries of one step: the plan, where the share changes, and the step itself."""
    planned = segment_plan(state, segment)
    assert state.traffic is not None
    assert planned.candidate is not None
    traffic = state.traffic
    events: list[AnyEvent] = []
    if share != planned.share:
        traffic = traffic.with_segment(
            SegmentPlan.model_validate({**planned.model_dump(), "share": share})
        )
        said = f"{action}: version {planned.candidate.version} answers {share / 100:g} %"
        events.append(
            TrafficPlanned(
                model=state.model, actor=actor, plan=traffic, cause="rollout", reason=said
            )
        )
    events.append(
        RolloutStepped(
            model=state.model,
            actor=actor,
            version=planned.candidate.version,
            segment=segment,
            action=action,
            step=step,
            share_from=planned.share,
            share_to=share,
            generation=traffic.generation,
            at=at,
            reason=reason,
            statistics=statistics,
        )
    )
    return events


def ending(
    before: ModelState,
    after: ModelState,
    segment: str,
    action: Literal["roll_back", "abort"],
    *,
    actor: str,
    reason: str,
    at: datetime,
    statistics: Mapping[str, JsonValue],
) -> list[AnyEvent]:
    """Return the entry that tells why a rollout went back; ``after`` has its new plan."""
    stood = standing(before, segment)
    assert stood is not None
    assert after.traffic is not None
    return [
        RolloutStepped(
            model=before.model,
            actor=actor,
            version=stood.version,
            segment=segment,
            action=action,
            step=stood.step or 0,
            share_from=segment_plan(before, segment).share,
            share_to=0,
            generation=after.traffic.generation,
            at=at,
            reason=reason,
            statistics=statistics,
        )
    ]
