"""Intents: what a change announces, what it records at its end, and how it gets there.

The intent says on which side of the change the registry can stand, so that whoever finds it open
knows what is left to do; what is recorded at the end is computed from state and intent alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from promotion_assets.errors import Conflict
from promotion_assets.lifecycle.events import (
    Action,
    Adopted,
    AnyEvent,
    IntentFinished,
    IntentRecorded,
    PlannedChange,
    Reviewer,
    RolloutCompleted,
    StageChanged,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.mirror import difference, write_mirror
from promotion_assets.lifecycle.ports import Ledger, Registry
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic import plan_event

# Others may append evaluations while a change is under way; that many are waited out.
_ATTEMPTS = 50


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
    after = fold(state.model, events, state)
    events += plan_event(after, actor=intent.actor, reason=intent.reason)
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


def _closed_by_another(state: ModelState, intent: IntentRecorded, doing: str) -> ModelState:
    if all(state.stage(c.version, c.segment) is c.promoted_to for c in intent.changes):
        return state
    raise Conflict(
        doing,
        "somebody else has closed it in the meantime and the stages are not those it announced",
        "look at `promotion explain` and run `promotion reconcile`",
    )
