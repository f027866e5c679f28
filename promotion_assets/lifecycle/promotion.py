"""Change a stage: announce it, change the registry, record it as done.

The intent is in the ledger before the registry is touched, and the stage changes only with the
entry that says so; killed anywhere between, :mod:`promotion_assets.lifecycle.reconcile` finds
the open intent and brings it to its end. Every function here may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from promotion_assets.errors import Conflict, TransitionRefused
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    Action,
    AnyEvent,
    PlannedChange,
    Stage,
)
from promotion_assets.lifecycle.intents import finish, plan
from promotion_assets.lifecycle.ports import Ledger, Registry
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import (
    Facts,
    Request,
    check_transition,
)

ADOPTION_REASON_LENGTH = 10


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
    expect_sequence: int | None = None,
    story: Callable[[ModelState], list[AnyEvent]] = lambda _: [],
) -> ModelState:
    """Give the champion's role to the version that is rolling out; archive the old champion.

    Args:
        expect_sequence: the model's sequence on which the caller decided; another one refuses.
        story: gives what else is recorded when it is announced, from the state before.

    Raises:
        TransitionRefused: if nothing is rolling out.
        Conflict, RegistryUnreachable, LedgerUnreachable: as :func:`promote`.
    """
    doing = f"complete the rollout of {model} in segment {segment!r}"
    state = ledger.state(model)
    _expect(state, doing, expect_sequence)
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
    ledger.append([intent, *story(state)], expect_sequence=state.sequence)
    return finish(ledger, registry, intent)


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
