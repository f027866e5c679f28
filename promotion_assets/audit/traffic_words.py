"""Traffic plans and rollout steps in words, as timelines tell them."""

from __future__ import annotations

from collections.abc import Iterator

from promotion_assets.lifecycle.events import RolloutStepped, TrafficPlanned
from promotion_assets.serving.plan import WHOLE, SegmentPlan, TrafficPlan

_PERSONS = {"pause": "paused", "resume": "resumed", "skip": "skipped", "abort": "aborted"}


def percent(share: int) -> str:
    """Return basis points as percent."""
    return f"{share / 100:g} %"


def plan_sentence(event: TrafficPlanned) -> str:
    """Say who answers from this generation on."""
    return f"traffic plan, generation {event.plan.generation}: {plan_in_words(event.plan)}"


def plan_in_words(plan: TrafficPlan) -> str:
    """Say who answers which part of which segment."""
    single = len(plan.segments) == 1
    return "; ".join(
        ", ".join(_arms(segment)) if single else f"{segment.name}: {', '.join(_arms(segment))}"
        for segment in plan.segments
    )


def step_sentence(event: RolloutStepped) -> str:
    """Say what became of a rollout, and why."""
    before, after = percent(event.share_from), percent(event.share_to)
    who = f"rollout of version {event.version}"
    if event.segment != "default":
        who += f" in segment {event.segment!r}"
    said = {
        "start": f"{who} begins at {after}",
        "advance": f"{who} goes from {before} to {after}",
        "bake": f"{who} goes from {before} to {after} and bakes there, the rest held back",
        "hold": f"{who} holds at {before}",
        "complete": f"{who} is complete",
        "roll_back": f"{who} is taken back from {before}",
    }.get(event.action)
    if said is None:
        moved = f" at {before}" if event.share_from == event.share_to else f", {before} to {after}"
        said = f"{event.actor} {_PERSONS[event.action]} the {who}{moved}"
    return f"{said}: {event.reason}"


def is_planned(plan: TrafficPlan, version: str) -> bool:
    """Whether a version has any part in answering, or watches; being kept warm is none."""
    return any(
        arm is not None and arm.version == version
        for segment in plan.segments
        for arm in (segment.stable, segment.candidate, segment.shadow)
    )


def _arms(segment: SegmentPlan) -> Iterator[str]:
    yield f"version {segment.stable.version} {percent(WHOLE - segment.share)}"
    if segment.candidate is not None:
        yield f"version {segment.candidate.version} {percent(segment.share)}"
    if segment.shadow is not None:
        yield f"shadow {segment.shadow.version} sees {percent(segment.shadow_share)}"
