"""Change a stage: announce it, change the registry, record it as done.

The intent is in the ledger before the registry is touched, and the stage changes only with the
entry that says so; killed anywhere between, :mod:`promotion_assets.lifecycle.reconcile` finds
the open intent and brings it to its end. Every function here may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from promotion_assets.errors import Conflict, TransitionRefused
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    Action,
    Adopted,
    AnyEvent,
    IntentFinished,
    IntentRecorded,
    PlannedChange,
    Reviewer,
    RolloutCompleted,
    Stage,
    StageChanged,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.mirror import difference, write_mirror
from promotion_assets.lifecycle.ports import Ledger, Registry
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import (
    Facts,
    Request,
    check_transition,
)

ADOPTION_REASON_LENGTH = 10
# Others may append evaluations while a change is under way; that many are waited out.
_ATTEMPTS = 50


def promote(
    ledger: Ledger,
    registry: Registry,
    request: Request,
    facts: Facts,
    now: datetime,
    *,
    expect_sequence: int | None = None,
) -> ModelState:
    """Carry out a stage change other than adoption and rollback; return the state after it.

    A version that is already in the stage asked for changes nothing.

    Args:
        expect_sequence: the model's sequence on which the caller decided; another one refuses.

    Raises:
        TransitionRefused: naming everything that is missing.
        Conflict: if another change of this model is under way or was first.
        RegistryUnreachable: if the registry failed; the intent stays open for the reconciler.
        LedgerUnreachable: if the ledger failed; before the intent nothing was changed.
    """
    state = ledger.state(request.model)
    while True:
        _expect(state, request.doing(), expect_sequence)
        if state.stage(request.version, request.segment) is request.to:
            return state
        refuse_if_under_way(state, request.doing())
        check_transition(state, request, facts, now)
        change = PlannedChange(
            version=request.version,
            segment=request.segment,
            promoted_from=state.stage(request.version, request.segment),
            promoted_to=request.to,
            cause=request.cause,
            model_digest=facts.model_digest,
            shadow_waiver=facts.shadow_waiver if request.to is Stage.PRODUCTION else None,
        )
        action: Action = "archive" if request.to is Stage.ARCHIVED else "promote"
        intent = plan(state, action, (change,), request.actor, request.reason)
        try:
            ledger.append([intent], expect_sequence=state.sequence)
        except Conflict:
            state = _unless_moved(ledger, state, request.doing())
            continue
        return finish(ledger, registry, intent)


def adopt(
    ledger: Ledger,
    registry: Registry,
    model: str,
    version: str,
    *,
    model_digest: str,
    actor: str,
    reason: str,
    segment: str = DEFAULT_SEGMENT,
) -> ModelState:
    """Take in a version that already served before the ledger began, as the champion.

    Once per model and segment, only while the ledger knows no Production for it. Repeating the
    very same adoption changes nothing.

    Raises:
        TransitionRefused: if the segment has or had a champion, or the reason is too short.
        Conflict, RegistryUnreachable, LedgerUnreachable: as :func:`promote`.
    """
    doing = f"adopt {model} version {version} in segment {segment!r}"
    if len(reason.strip()) < ADOPTION_REASON_LENGTH:
        raise TransitionRefused(
            doing,
            f"the reason {reason!r} is shorter than {ADOPTION_REASON_LENGTH} characters",
            "say since when it has been serving, and who decided so",
        )
    if not model_digest:
        raise TransitionRefused(
            doing, "its artifact has no digest", "make the artifact readable in the registry"
        )
    state = ledger.state(model)
    while True:
        if state.lines.get(segment) == (version,) and state.champions.get(segment) == version:
            return state
        _refuse_second_adoption(state, version, segment, doing)
        refuse_if_under_way(state, doing)
        change = PlannedChange(
            version=version,
            segment=segment,
            promoted_from=Stage.NONE,
            promoted_to=Stage.PRODUCTION,
            cause="adoption",
            model_digest=model_digest,
        )
        intent = plan(state, "adopt", (change,), actor, reason)
        try:
            ledger.append([intent], expect_sequence=state.sequence)
        except Conflict:
            state = _unless_moved(ledger, state, doing)
            continue
        return finish(ledger, registry, intent)


def complete_rollout(
    ledger: Ledger,
    registry: Registry,
    model: str,
    *,
    actor: str,
    reason: str,
    segment: str = DEFAULT_SEGMENT,
) -> ModelState:
    """Give the champion's role to the version that is rolling out; archive the old champion.

    Raises:
        TransitionRefused: if nothing is rolling out.
        Conflict, RegistryUnreachable, LedgerUnreachable: as :func:`promote`.
    """
    doing = f"complete the rollout of {model} in segment {segment!r}"
    state = ledger.state(model)
    refuse_if_under_way(state, doing)
    rolling, champion = state.rolling.get(segment), state.champions.get(segment)
    if rolling is None or champion is None:
        raise TransitionRefused(doing, "nothing is rolling out", "promote a version first")
    change = PlannedChange(
        version=champion,
        segment=segment,
        promoted_from=Stage.PRODUCTION,
        promoted_to=Stage.ARCHIVED,
        cause="superseded",
        model_digest=state.digests.get(champion, ""),
    )
    intent = plan(state, "complete_rollout", (change,), actor, reason)
    ledger.append([intent], expect_sequence=state.sequence)
    return finish(ledger, registry, intent)


def plan(
    state: ModelState,
    action: Action,
    changes: Sequence[PlannedChange],
    actor: str,
    reason: str,
) -> IntentRecorded:
    """Return the intent of a change: what will move, and both sides of it in the mirror."""
    intent = IntentRecorded(
        model=state.model,
        actor=actor,
        intent_id=f"{state.model}:{state.sequence + 1}",
        action=action,
        reason=reason,
        changes=tuple(changes),
    )
    opened = fold(state.model, [intent], state)
    after = fold(state.model, closing_events(opened, intent), opened)
    moved = difference(state, after, (change.version for change in changes))
    return intent.model_copy(update={"before": moved.before, "after": moved.after})


def finish(
    ledger: Ledger,
    registry: Registry,
    intent: IntentRecorded,
    *,
    finished_by: str = "writer",
    only: Sequence[str] | None = None,
) -> ModelState:
    """Mirror an open intent and record it as done; return the state after it.

    Args:
        only: the versions to mirror, where some of the touched ones are not in the registry.

    Raises:
        Conflict: if somebody else has closed the intent otherwise.
        RegistryUnreachable, LedgerUnreachable: the intent stays open.
    """
    doing = f"finish the change {intent.intent_id} of {intent.model}"
    mirrored = False
    for _ in range(_ATTEMPTS):
        state = ledger.state(intent.model)
        if state.intent is None or state.intent.intent_id != intent.intent_id:
            return _closed_by_another(state, intent, doing)
        closing = closing_events(state, intent, finished_by)
        after = fold(intent.model, closing, state)
        if not mirrored:
            write_mirror(registry, after, touched_by(intent) if only is None else only)
            mirrored = True
        try:
            ledger.append(closing, expect_sequence=state.sequence)
        except Conflict:
            continue
        return ledger.state(intent.model)
    raise Conflict(
        doing,
        f"others appended to the ledger each time, {_ATTEMPTS} times",
        "run `promotion reconcile`",
    )


def touched_by(intent: IntentRecorded) -> tuple[str, ...]:
    """Return the versions that an intent writes, gaining ones first."""
    return tuple(intent.after.stages)


def closing_events(
    state: ModelState, intent: IntentRecorded, finished_by: str = "writer"
) -> list[AnyEvent]:
    """Return what is recorded, in one transaction, when the intent is done."""
    events: list[AnyEvent] = []
    for change in intent.changes:
        if intent.action == "adopt":
            events.append(
                Adopted(
                    model=intent.model,
                    actor=intent.actor,
                    version=change.version,
                    segment=change.segment,
                    reason=intent.reason,
                    model_digest=change.model_digest,
                    intent_id=intent.intent_id,
                )
            )
            continue
        if intent.action == "complete_rollout":
            events.append(
                RolloutCompleted(
                    model=intent.model,
                    actor=intent.actor,
                    version=state.rolling[change.segment],
                    segment=change.segment,
                    reason=intent.reason,
                    intent_id=intent.intent_id,
                )
            )
        if intent.action != "mirror":
            events.append(stage_changed(state, change, intent))
    events.append(
        IntentFinished.model_validate(
            {
                "model": intent.model,
                "actor": intent.actor,
                "intent_id": intent.intent_id,
                "finished_by": finished_by,
            }
        )
    )
    return events


def stage_changed(state: ModelState, change: PlannedChange, intent: IntentRecorded) -> StageChanged:
    """Return the entry of one stage change, with the evidence that stood behind it."""
    decision = state.decision(change.version, change.segment)
    shadow = state.shadows.get((change.segment, change.version))
    reviews = state.reviews.get((change.segment, change.version), ())
    return StageChanged(
        model_name=intent.model,
        actor=intent.actor,
        model_version=change.version,
        segment=change.segment,
        promoted_from=change.promoted_from,
        promoted_to=change.promoted_to,
        cause=change.cause,
        reason=intent.reason or (decision.reason if decision else change.cause),
        approved=change.cause == "promotion",
        intent_id=intent.intent_id,
        model_digest=change.model_digest,
        decision_digest=decision.decision_digest if decision else None,
        automated_gates=decision.gates if decision else (),
        human_reviewers=tuple(
            Reviewer(reviewer=r.actor, approved_at=r.reviewed_at, answers=r.answers)
            for r in reviews
            if r.verdict == "approved"
        ),
        eval_dataset_version=decision.dataset_digest if decision else None,
        shadow_results=shadow.to_json() if shadow else None,
        shadow_waiver=change.shadow_waiver,
        champion_version=state.champions.get(change.segment),
        champion_metrics=dict(decision.champion_metrics) if decision else None,
        pipeline_result_timestamp=decision.decided_at if decision else None,
    )


def refuse_if_under_way(state: ModelState, doing: str) -> None:
    """Refuse a change while another one of this model is open."""
    if state.intent is not None:
        raise Conflict(
            doing,
            f"the change {state.intent.intent_id} ({state.intent.action}) of this model is "
            "announced and not finished",
            "try again in a moment; if it stays so, run `promotion reconcile`",
        )


def _expect(state: ModelState, doing: str, expect_sequence: int | None) -> None:
    if expect_sequence is not None and state.sequence != expect_sequence:
        raise Conflict(
            doing,
            f"the ledger is at event {state.sequence} of this model and the request was made "
            f"at {expect_sequence}",
            "look at `promotion status` and ask again",
        )


def _unless_moved(ledger: Ledger, old: ModelState, doing: str) -> ModelState:
    """Return the new state if nothing but records were added; else the other writer has won."""
    new = ledger.state(old.model)
    if new.intent is not None or (new.stages, new.champions) != (old.stages, old.champions):
        raise Conflict(
            doing,
            "another change of this model was first",
            "look at `promotion status` and ask again if it still makes sense",
        )
    return new


def _closed_by_another(state: ModelState, intent: IntentRecorded, doing: str) -> ModelState:
    if all(state.stage(c.version, c.segment) is c.promoted_to for c in intent.changes):
        return state
    raise Conflict(
        doing,
        "somebody else has closed it in the meantime and the stages are not those it announced",
        "look at `promotion explain` and run `promotion reconcile`",
    )


def _refuse_second_adoption(state: ModelState, version: str, segment: str, doing: str) -> None:
    if state.had_production(segment):
        champion = state.champions.get(segment) or state.lines[segment][-1]
        raise TransitionRefused(
            doing,
            f"the ledger already knows version {champion} as champion of this segment, and "
            "adoption is only for what served before the ledger began",
            f"evaluate it and promote it: `promotion evaluate {state.model} {version}`",
        )
    held = state.stage(version, segment)
    if held is not Stage.NONE:
        raise TransitionRefused(
            doing,
            f"it is in stage {held}, so the platform has already taken it in",
            "promote it the full way",
        )
