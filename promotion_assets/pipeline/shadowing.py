"""Which version is a segment's shadow: the newest in Staging, unless the policy waives it."""

from __future__ import annotations

from promotion_assets.errors import Conflict
from promotion_assets.lifecycle.events import Stage, TrafficPlanned
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic import arm_of, fitting_plan, new_salt
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan


def keep_shadows(workspace: Workspace, model: str, *, actor: str = "promotion") -> tuple[str, ...]:
    """Begin and end a model's shadows as stages and policy want it; repeating changes nothing.

    A version that was archived or went to Production is no shadow any more without this: the
    plan that follows from its stage has none.

    Returns:
        What was changed, a sentence a segment. Where another change was first nothing is, and
        the next round sees what is left.
    """
    policy = workspace.policy_of(model).shadow
    state = workspace.ledger.state(model)
    if state.intent is not None:
        return ()
    planned, said = plan_with_shadows(state, policy)
    if planned is None:
        return ()
    event = TrafficPlanned(
        model=model, actor=actor, plan=planned, cause="shadow", reason="; ".join(said)
    )
    try:
        workspace.ledger.append([event], expect_sequence=state.sequence)
    except Conflict:
        return ()
    return said


def plan_with_shadows(
    state: ModelState, policy: ShadowPolicy
) -> tuple[TrafficPlan | None, tuple[str, ...]]:
    """Return the next traffic plan with every segment's shadow, and what is new in it.

    Returns:
        ``None`` where the plan is as it should be, or no champion answers yet.
    """
    fitting = fitting_plan(state)
    if fitting is None:
        return None, ()
    said: list[str] = []
    segments = tuple(_with_shadow(state, policy, segment, said) for segment in fitting.segments)
    if not said:
        return None, ()
    plan = TrafficPlan(
        model=state.model,
        generation=state.traffic.generation + 1 if state.traffic else 1,
        segments=segments,
        default=fitting.default,
    )
    return plan, tuple(said)


def shadow_due(state: ModelState, segment: str) -> Arm | None:
    """Return the version that is to be the segment's shadow: the newest in Staging.

    One whose artifact is latched is none: it was rejected in production under another number.
    """
    for version in reversed(state.in_stage(Stage.STAGING, segment)):
        if version in state.digests and state.digests[version] not in state.latches:
            return arm_of(state, version)
    return None


def _with_shadow(
    state: ModelState, policy: ShadowPolicy, segment: SegmentPlan, said: list[str]
) -> SegmentPlan:
    due = None if policy.waive is not None else shadow_due(state, segment.name)
    share = policy.share if due is not None else 0
    if (segment.shadow, segment.shadow_share) == (due, share):
        return segment
    said.append(_sentence(segment, due, share, policy))
    kept = due == segment.shadow
    return SegmentPlan.model_validate(
        {
            **dict(segment),
            "shadow": due,
            "shadow_share": share,
            "shadow_salt": ""
            if due is None
            else segment.shadow_salt
            if kept
            else new_salt(state, segment.name, due.version, "shadow"),
        }
    )


def _sentence(segment: SegmentPlan, due: Arm | None, share: int, policy: ShadowPolicy) -> str:
    copied = f"{share / 100:g} % of the requests of segment {segment.name!r}"
    old = segment.shadow
    if due is None:
        assert old is not None
        why = f", the policy waives it: {policy.waive}" if policy.waive else ""
        return f"version {old.version} is no shadow of segment {segment.name!r} any more{why}"
    if old is None:
        return f"version {due.version} is the shadow of {copied}"
    if old == due:
        return f"version {due.version} gets copies of {copied} from now on"
    return (
        f"version {due.version} is the shadow of {copied}, in the place of version {old.version}, "
        "which is older and goes on with the pairs that it has"
    )
