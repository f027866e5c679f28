"""Go back to the version that served before: recorded first, mirrored after, in seconds.

A rollback has no gates and waits for nobody. Unlike a promotion it changes the stage before the
registry, because serving follows the ledger and MLflow may be what is down; what the registry
still has to show is left as an open intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from promotion_assets.errors import Conflict, RegistryUnreachable, TransitionRefused, UsageError
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    AnyEvent,
    DigestLatched,
    IntentAbandoned,
    IntentRecorded,
    LatchCleared,
    PlannedChange,
    RolledBack,
    Stage,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.intents import finish, stage_changed
from promotion_assets.lifecycle.mirror import difference
from promotion_assets.lifecycle.ports import Ledger, Registry
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.traffic import plan_event

_ATTEMPTS = 50
Story = Callable[[ModelState, ModelState], list[AnyEvent]]


def rollback(
    ledger: Ledger,
    registry: Registry,
    model: str,
    *,
    actor: str,
    reason: str,
    segment: str = DEFAULT_SEGMENT,
    to: str | None = None,
    rolling: str | None = None,
    story: Story | None = None,
) -> ModelState:
    """Take a segment back to its previous champion, or to ``to``; return the state after it.

    While a version is rolling out, that one goes and the champion stays. The artifact that is
    rolled back from is latched. A change of the model that is under way is abandoned. Repeating
    a rollback changes nothing, until a version is promoted again. Where the registry does not
    answer, the returned state still has an open intent, and the rollback holds all the same.

    Args:
        rolling: go back only while this version is rolling out; otherwise nothing is changed.
        story: gives what else is recorded with it, from the states before and after.

    Raises:
        TransitionRefused: if there is no version to go back to, or no reason is given.
        LedgerUnreachable: nothing was changed.
    """
    doing = f"roll back {model} in segment {segment!r}"
    if not reason.strip():
        raise TransitionRefused(doing, "no reason is given", "say why with --reason")
    for _ in range(_ATTEMPTS):
        state = ledger.state(model)
        if rolling is not None and state.rolling.get(segment) != rolling:
            return _mirror_later(ledger, registry, state)
        target = _target(state, segment, to, doing)
        leaving = _leaving(state, segment, target)
        if not leaving:
            return _mirror_later(ledger, registry, state)
        events = _events(state, segment, target, leaving, actor, reason, story)
        try:
            ledger.append(events, expect_sequence=state.sequence)
        except Conflict:
            continue
        return _mirror_later(ledger, registry, ledger.state(model))
    raise Conflict(
        doing,
        "others kept appending to the ledger, and nothing was changed",
        "run the same `promotion rollback` again at once",
    )


def clear_latch(ledger: Ledger, model: str, digest: str, *, actor: str, reason: str) -> ModelState:
    """Let an artifact that was rejected in production be promoted again.

    Raises:
        TransitionRefused: if it is not latched, or no reason is given.
        Conflict: if another writer was first.
    """
    doing = f"clear the latch on artifact {digest[:12]} of {model}"
    state = ledger.state(model)
    if digest not in state.latches:
        known = ", ".join(d[:12] for d in state.latches) or "none"
        raise TransitionRefused(
            doing,
            f"it is not latched (latched: {known})",
            "there is nothing to clear; `promotion explain` shows what was taken back",
        )
    if not reason.strip():
        raise TransitionRefused(doing, "no reason is given", "say why with --reason")
    events: list[AnyEvent] = [LatchCleared(model=model, actor=actor, digest=digest, reason=reason)]
    # It may be the version to go back to again, which servers are to keep loaded.
    events += plan_event(fold(model, events, state), actor=actor, reason=reason)
    ledger.append(events, expect_sequence=state.sequence)
    return ledger.state(model)


def _target(state: ModelState, segment: str, to: str | None, doing: str) -> str:
    champion = state.champions.get(segment)
    if champion is None:
        raise TransitionRefused(doing, "it has no champion", "adopt or promote a version first")
    if to is None:
        if segment in state.rolling or segment in state.rolled_back:
            return champion
        return _previous(state, segment, champion, doing)
    if to != champion:
        _check_return(state, segment, to, doing)
    return to


def _previous(state: ModelState, segment: str, champion: str, doing: str) -> str:
    for version in reversed(state.lines[segment]):
        if (
            version != champion
            and state.stage(version, segment) is Stage.ARCHIVED
            and state.digests.get(version) not in state.latches
        ):
            return version
    raise TransitionRefused(
        doing,
        f"no version was champion before {champion} that is not latched itself",
        f"clear a latch with `promotion rollout clear-latch {state.model} VERSION --reason …`, or "
        "promote a mended version",
    )


def _check_return(state: ModelState, segment: str, to: str, doing: str) -> None:
    held = state.stage(to, segment)
    if held is not Stage.ARCHIVED or to not in state.lines.get(segment, ()):
        raise TransitionRefused(
            doing,
            f"version {to} is in stage {held} and "
            + ("was" if to in state.lines.get(segment, ()) else "never was")
            + " champion of this segment",
            f"name one of {', '.join(dict.fromkeys(state.lines.get(segment, ())))}",
        )
    latch = state.latches.get(state.digests.get(to, ""))
    if latch is not None:
        raise TransitionRefused(
            doing,
            f"version {to} was rejected in production: {latch.reason}",
            f"clear it with `promotion rollout clear-latch {state.model} {to} --reason …`, or name "
            "another version",
        )


def _leaving(state: ModelState, segment: str, target: str) -> tuple[str, ...]:
    """Return the versions that leave Production, the rolling one first."""
    live = (state.rolling.get(segment), state.champions.get(segment))
    return tuple(version for version in live if version is not None and version != target)


def _events(
    state: ModelState,
    segment: str,
    target: str,
    leaving: Iterable[str],
    actor: str,
    reason: str,
    story: Story | None,
) -> list[AnyEvent]:
    changes = [_change(state, v, segment, Stage.PRODUCTION, Stage.ARCHIVED) for v in leaving]
    latched = [change.version for change in changes]
    if state.stage(target, segment) is Stage.ARCHIVED:
        changes.append(_change(state, target, segment, Stage.ARCHIVED, Stage.PRODUCTION))
    events: list[AnyEvent] = []
    if state.intent is not None:
        events.append(
            IntentAbandoned(
                model=state.model,
                actor=actor,
                intent_id=state.intent.intent_id,
                reason=f"a rollback came first: {reason}",
            )
        )
    intent = IntentRecorded(
        model=state.model, actor=actor, intent_id="", action="mirror", reason=reason
    )
    events += [stage_changed(state, change, intent) for change in changes]
    events.append(
        RolledBack(
            model=state.model,
            actor=actor,
            segment=segment,
            from_version=latched[0],
            to_version=target,
            reason=reason,
        )
    )
    events += [
        DigestLatched(
            model=state.model,
            actor=actor,
            version=version,
            digest=state.digests[version],
            reason=reason,
        )
        for version in latched
    ]
    after = fold(state.model, events, state)
    events += plan_event(after, actor=actor, reason=reason)
    if story is not None:
        events += story(state, fold(state.model, events, state))
    after = fold(state.model, events, state)
    touched = {change.version for change in changes}
    if state.intent is not None:
        # What was abandoned may have been mirrored in part: it is put right as well.
        touched |= set(state.intent.after.stages)
    moved = difference(state, after, touched)
    events.append(
        intent.model_copy(
            update={
                "intent_id": f"{state.model}:{state.sequence + len(events) + 1}",
                "before": moved.before,
                "after": moved.after,
            }
        )
    )
    return events


def _change(
    state: ModelState, version: str, segment: str, source: Stage, to: Stage
) -> PlannedChange:
    return PlannedChange(
        version=version,
        segment=segment,
        promoted_from=source,
        promoted_to=to,
        cause="rollback",
        model_digest=state.digests.get(version, ""),
    )


def _mirror_later(ledger: Ledger, registry: Registry, state: ModelState) -> ModelState:
    if state.intent is None or state.intent.action != "mirror":
        return state
    try:
        return finish(ledger, registry, state.intent)
    except (RegistryUnreachable, UsageError, Conflict):
        # Live traffic follows the ledger, which is right; the reconciler does the rest, also
        # where a version was deleted from the registry.
        return ledger.state(state.model)
