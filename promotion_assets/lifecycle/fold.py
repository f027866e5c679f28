"""From events to state: the one place where a stage comes from.

The fold accepts only histories that the stage machine allows. A ledger refuses to append what
would not fold, and verification refolds what is stored, so an impossible history cannot be
written by a defective caller nor pass unseen when it was written past the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from promotion_assets.lifecycle.champion_events import ChampionFailed
from promotion_assets.lifecycle.draft import Draft, impossible
from promotion_assets.lifecycle.drill_events import DrillEvent, is_journal
from promotion_assets.lifecycle.events import (
    Adopted,
    AnyEvent,
    DeploymentConfirmed,
    DigestLatched,
    EvaluationFinished,
    IntentAbandoned,
    IntentFinished,
    IntentRecorded,
    LatchCleared,
    RegistryRestored,
    RegistryTampered,
    ReviewDecided,
    ReviewReminded,
    ReviewRequested,
    RolledBack,
    RolloutCompleted,
    RolloutStepped,
    ShadowReported,
    Stage,
    StageChanged,
    TrafficPlanned,
    VersionCopied,
)
from promotion_assets.lifecycle.stages import ALLOWED, ModelState, version_key
from promotion_assets.lifecycle.traffic import fitting_plan
from promotion_assets.serving.plan import SegmentPlan


def fold(model: str, events: Iterable[AnyEvent], start: ModelState | None = None) -> ModelState:
    """Return the state after ``events``, all of them of ``model`` and in order.

    Args:
        start: the state that the first event follows; the empty state where not given.

    Raises:
        IntegrityError: if an event cannot follow the ones before it.
    """
    state = start or ModelState(model)
    draft = Draft.of(state)
    for event in events:
        if event.model != model:
            raise impossible(model, f"an event of {event.model!r} is among its events")
        if isinstance(event, DrillEvent) is not is_journal(model):
            raise impossible(
                model,
                f"{event.kind} of version {getattr(event, 'version', '')!r}: drills are recorded "
                "in their journal, and nothing else is",
            )
        draft.sequence += 1
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(draft, event)
    return draft.done()


def check_whole(state: ModelState) -> None:
    """Check what must hold between changes: each version in Production has a role, roles differ.

    Raises:
        IntegrityError: naming the segment where it does not hold.
    """
    for segment in state.stages:
        live = set(state.in_stage(Stage.PRODUCTION, segment))
        champion, rolling = state.champions.get(segment), state.rolling.get(segment)
        roles = {version for version in (champion, rolling) if version is not None}
        if live != roles or (rolling is not None and (champion is None or champion == rolling)):
            raise impossible(
                state.model,
                f"segment {segment!r} would have versions {sorted(live, key=version_key)} in "
                f"Production with champion {champion} and rollout {rolling}",
            )
    if state.traffic is not None and fitting_plan(state) != state.traffic:
        raise impossible(
            state.model,
            f"generation {state.traffic.generation} of its traffic plan does not fit its stages",
        )


def _evaluated(draft: Draft, event: EvaluationFinished) -> None:
    judged = draft.own("decisions")
    before: EvaluationFinished | None = judged.get(event.version)
    if before is not None and before.tags != event.tags:
        past = draft.own("past_tags")
        past[event.version] = (*past.get(event.version, ()), before.tags)
    short = event.model_copy(update={"decision": {}})
    judged[event.version] = short
    draft.own("for_segment")[(event.segment, event.version)] = short


def _intended(draft: Draft, event: IntentRecorded) -> None:
    open_intent = draft.intent()
    if open_intent is not None:
        raise impossible(
            event.model, f"intent {event.intent_id} opens while {open_intent.intent_id} is open"
        )
    draft.changed["intent"] = event


def _intent_closed(draft: Draft, event: IntentFinished | IntentAbandoned) -> None:
    open_intent = draft.intent()
    if open_intent is None or open_intent.intent_id != event.intent_id:
        raise impossible(event.model, f"intent {event.intent_id} closes and was not open")
    draft.changed["intent"] = None


def _stage_changed(draft: Draft, event: StageChanged) -> None:
    held = draft.stage(event.version, event.segment)
    step = (event.promoted_from, event.promoted_to)
    what = (
        f"version {event.version} goes from {step[0]} to {step[1]} ({event.cause}) "
        f"in segment {event.segment!r}"
    )
    if held is not event.promoted_from:
        raise impossible(event.model, f"{what} and was in {held}")
    if event.cause not in ALLOWED.get(step, frozenset()):
        raise impossible(event.model, f"{what}, which no rule allows")
    lacking = _lacking(draft, event) if event.cause == "promotion" else None
    if lacking is not None:
        raise impossible(event.model, f"{what} without {lacking}")
    if step == (Stage.ARCHIVED, Stage.PRODUCTION) and event.version not in draft.look("lines").get(
        event.segment, ()
    ):
        raise impossible(event.model, f"{what} and has never been its champion")
    _move(draft, event)


def _lacking(draft: Draft, event: StageChanged) -> str | None:
    """Name what no promotion is without, whatever the policy says; ``None`` if it is all there."""
    place = (event.segment, event.version)
    decision = draft.look("for_segment").get(place)
    if decision is None or decision.verdict != "approved":
        return "an approved decision"
    if not event.model_digest or decision.model_digest != event.model_digest:
        return "a decision on this artifact"
    if event.promoted_to is not Stage.PRODUCTION:
        return None
    shadow = draft.look("shadows").get(place)
    if not event.shadow_waiver and (shadow is None or not shadow.passed):
        return "a shadow report that passed, or the reason why it is waived"
    approved = (r for r in draft.look("reviews").get(place, ()) if r.verdict == "approved")
    if not any(r.evidence.get("model") == event.model_digest for r in approved):
        return "an approval on this artifact"
    return None


def _move(draft: Draft, event: StageChanged) -> None:
    segment, version = event.segment, event.version
    if event.promoted_to is Stage.PRODUCTION:
        draft.own("rolled_back").pop(segment, None)
        if segment not in draft.champions:
            draft.take_role(segment, version)
        elif event.cause == "rollback" or segment in draft.rolling:
            raise impossible(
                event.model,
                f"version {version} enters Production of segment {segment!r} beside champion "
                f"{draft.champions[segment]} and rollout {draft.rolling.get(segment)}",
            )
        else:
            draft.rolling[segment] = version
    if event.promoted_from is Stage.PRODUCTION:
        if draft.rolling.get(segment) == version:
            del draft.rolling[segment]
        elif draft.champions.get(segment) == version:
            del draft.champions[segment]
    draft.stages.setdefault(segment, {})[version] = event.promoted_to
    if event.promoted_to is Stage.STAGING:
        draft.own("asked_by")[(segment, version)] = event.actor
    if event.model_digest:
        draft.own("digests")[version] = event.model_digest


def _adopted(draft: Draft, event: Adopted) -> None:
    lines: Mapping[str, tuple[str, ...]] = draft.look("lines")
    if lines.get(event.segment):
        raise impossible(
            event.model,
            f"version {event.version} is adopted in segment {event.segment!r}, "
            f"which already had champion {lines[event.segment][-1]}",
        )
    if draft.stage(event.version, event.segment) is not Stage.NONE:
        raise impossible(event.model, f"version {event.version} is adopted and had a stage")
    draft.stages.setdefault(event.segment, {})[event.version] = Stage.PRODUCTION
    draft.own("digests")[event.version] = event.model_digest
    draft.take_role(event.segment, event.version)


def _rollout_completed(draft: Draft, event: RolloutCompleted) -> None:
    if draft.rolling.get(event.segment) != event.version:
        raise impossible(event.model, f"the rollout of version {event.version} ends unbegun")
    del draft.rolling[event.segment]
    draft.take_role(event.segment, event.version)


def _planned(draft: Draft, event: TrafficPlanned) -> None:
    old = draft.look_one("traffic")
    expected = 1 if old is None else old.generation + 1
    if event.plan.generation != expected or event.plan.model != event.model:
        raise impossible(
            event.model,
            f"generation {event.plan.generation} of the traffic plan of {event.plan.model!r} "
            f"follows where {expected} is due",
        )
    for segment in event.plan.segments:
        _check_latches(draft, event.model, segment)
        _check_shadow(draft, event.model, segment)
    draft.changed["traffic"] = event.plan


def _check_latches(draft: Draft, model: str, segment: SegmentPlan) -> None:
    """What was rejected in one segment may be another's champion, and gets nothing new."""
    loaded = [segment.shadow, segment.previous]
    if segment.share:
        loaded.append(segment.candidate)
    for arm in loaded:
        if arm is not None and arm.digest in draft.look("latches"):
            raise impossible(
                model,
                f"version {arm.version} is planned for {segment.name!r} and is latched",
            )


def _check_shadow(draft: Draft, model: str, segment: SegmentPlan) -> None:
    """The other arms are held against the stages by :func:`check_whole`."""
    arm = segment.shadow
    if arm is None:
        return
    held = draft.stage(arm.version, segment.name)
    if held is not Stage.STAGING or draft.look("digests").get(arm.version) != arm.digest:
        raise impossible(
            model, f"version {arm.version} is planned as shadow of {segment.name!r}: it is {held}"
        )


def _rollout_stepped(draft: Draft, event: RolloutStepped) -> None:
    steps = draft.own("rollout_steps")
    before = steps.get(event.segment, ())
    if (before and before[-1].version != event.version) or event.action == "start":
        before = ()
    steps[event.segment] = (*before, event)


def _rolled_back(draft: Draft, event: RolledBack) -> None:
    if draft.champions.get(event.segment) != event.to_version:
        raise impossible(
            event.model, f"segment {event.segment!r} is rolled back to {event.to_version} in name"
        )
    draft.own("rolled_back")[event.segment] = event


def _latched(draft: Draft, event: DigestLatched) -> None:
    draft.own("latches")[event.digest] = event


def _cleared(draft: Draft, event: LatchCleared) -> None:
    if draft.own("latches").pop(event.digest, None) is None:
        raise impossible(event.model, f"a latch on {event.digest} is cleared that is not there")


def _shadowed(draft: Draft, event: ShadowReported) -> None:
    draft.own("shadows")[(event.segment, event.version)] = event.model_copy(update={"report": {}})


def _reviewed(draft: Draft, event: ReviewDecided) -> None:
    reviews = draft.own("reviews")
    place = (event.segment, event.version)
    reviews[place] = (*reviews.get(place, ()), event)


def _review_requested(draft: Draft, event: ReviewRequested) -> None:
    draft.own("requests")[(event.segment, event.version)] = event
    assigned: tuple[str, ...] = draft.changed.get("assignments", draft.state.assignments)
    draft.changed["assignments"] = (*assigned, *event.assigned)
    draft.changed["requested"] = draft.changed.get("requested", draft.state.requested) + 1


def _review_reminded(draft: Draft, event: ReviewReminded) -> None:
    reminders = draft.own("reminders")
    reminders[event.request_id] = (*reminders.get(event.request_id, ()), event.what)


def _tampered(draft: Draft, event: RegistryTampered) -> None:
    draft.changed["deviations"] = event.deviations


def _restored(draft: Draft, event: RegistryRestored) -> None:
    draft.changed["deviations"] = ()


def _copied(draft: Draft, event: VersionCopied) -> None:
    decision: EvaluationFinished | None = draft.look("decisions").get(event.version)
    if (
        decision is None
        or decision.verdict != "approved"
        or decision.model_digest != event.model_digest
    ):
        raise impossible(
            event.model,
            f"version {event.version} is copied without an approved decision on its artifact",
        )
    copies = draft.own("copies")
    copies[event.version] = (*copies.get(event.version, ()), event)


def _confirmed(draft: Draft, event: DeploymentConfirmed) -> None:
    reports = draft.own("deployments")
    place = (event.segment, event.version)
    reports[place] = (*reports.get(place, ()), event)


def _champion_failed(draft: Draft, event: ChampionFailed) -> None:
    if draft.champions.get(event.segment) != event.version:
        raise impossible(
            event.model, f"version {event.version} fails as the champion, which it is not"
        )
    draft.own("champion_failures")[(event.segment, event.version)] = event


_HANDLERS: Mapping[type[AnyEvent], Callable[[Draft, Any], None]] = {
    EvaluationFinished: _evaluated,
    IntentRecorded: _intended,
    IntentFinished: _intent_closed,
    IntentAbandoned: _intent_closed,
    StageChanged: _stage_changed,
    Adopted: _adopted,
    RolloutCompleted: _rollout_completed,
    TrafficPlanned: _planned,
    RolloutStepped: _rollout_stepped,
    RolledBack: _rolled_back,
    DigestLatched: _latched,
    LatchCleared: _cleared,
    ShadowReported: _shadowed,
    ReviewRequested: _review_requested,
    ReviewReminded: _review_reminded,
    ReviewDecided: _reviewed,
    RegistryTampered: _tampered,
    RegistryRestored: _restored,
    VersionCopied: _copied,
    DeploymentConfirmed: _confirmed,
    ChampionFailed: _champion_failed,
}
