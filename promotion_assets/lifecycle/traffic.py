"""The traffic plan that fits a model's stages: written with every change of them.

A change of Production and the plan that follows from it are one transaction of the ledger, so
that there is no moment in which a server could answer with a version that was rolled back.
"""

from __future__ import annotations

from pydantic import ValidationError

from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT, AnyEvent, Stage, TrafficPlanned
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan


def plan_event(state: ModelState, *, actor: str, reason: str) -> tuple[AnyEvent] | tuple[()]:
    """Return the entry that makes the plan fit ``state``; nothing where it fits."""
    plan = fitting_plan(state)
    if plan is None or plan == state.traffic:
        return ()
    return (
        TrafficPlanned(model=state.model, actor=actor, plan=plan, cause="stages", reason=reason),
    )


def fitting_plan(state: ModelState) -> TrafficPlan | None:
    """Return the plan for ``state``, as near as possible to the one there is.

    Who is rolling out stays at its share; one who has just begun, or whose artifact was latched
    in another segment, is loaded and answers nothing. Whoever left Production or Staging is gone
    from it. ``None`` where there is no champion.
    """
    old = state.traffic
    kept = [s.name for s in old.segments if s.name in state.champions] if old else []
    names = [*kept, *sorted(set(state.champions) - set(kept))]
    if not names:
        return None
    segments = tuple(_segment(state, name) for name in names)
    default = old.default if old and old.default in names else _default(names)
    if old is not None and (old.segments, old.default) == (segments, default):
        return old
    return TrafficPlan(
        model=state.model,
        generation=1 if old is None else old.generation + 1,
        segments=segments,
        default=default,
    )


def arm_of(state: ModelState, version: str) -> Arm:
    """Return a version that has a stage, with the digest that it had when it got there."""
    try:
        return Arm(version=version, digest=state.digests[version])
    except ValidationError:
        raise IntegrityError(
            f"plan the traffic of {state.model}",
            f"the ledger has {state.digests[version][:80]!r} for the digest of version {version}",
            "run `promotion audit verify`, and evaluate the version again",
        ) from None


def new_salt(state: ModelState, segment: str, version: str, role: str) -> str:
    """Return the salt of a rollout or of a shadow's sampling; no two have the same."""
    return f"{role}:{state.model}:{segment}:{version}@{state.sequence}"


def _segment(state: ModelState, name: str) -> SegmentPlan:
    old = state.traffic.segment(name) if state.traffic else None
    rolling = state.rolling.get(name)
    values: dict[str, object] = {
        "name": name,
        "match": old.match if old else {},
        "stable": arm_of(state, state.champions[name]),
        "previous": _previous(state, name),
    }
    if rolling is not None:
        candidate = arm_of(state, rolling)
        same = old is not None and old.candidate == candidate
        values["candidate"] = candidate
        latched = candidate.digest in state.latches
        values["share"] = old.share if old and same and not latched else 0
        values["salt"] = old.salt if old and same else new_salt(state, name, rolling, "rollout")
    if old is not None and old.shadow is not None and _still_staged(state, name, old.shadow):
        values["shadow"] = old.shadow
        values["shadow_share"] = old.shadow_share
        values["shadow_salt"] = old.shadow_salt
    return SegmentPlan.model_validate(values)


def _previous(state: ModelState, segment: str) -> Arm | None:
    champion = state.champions[segment]
    for version in reversed(state.lines.get(segment, ())):
        if (
            version != champion
            and state.stage(version, segment) is Stage.ARCHIVED
            and state.digests[version] not in state.latches
        ):
            return arm_of(state, version)
    return None


def _still_staged(state: ModelState, segment: str, shadow: Arm) -> bool:
    return (
        state.stage(shadow.version, segment) is Stage.STAGING
        and state.digests.get(shadow.version) == shadow.digest
        and shadow.digest not in state.latches
    )


def _default(names: list[str]) -> str:
    return DEFAULT_SEGMENT if DEFAULT_SEGMENT in names else names[0]
