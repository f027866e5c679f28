"""Bring ledger and registry together again after a crash, and report who else moved something.

An open intent is finished (the registry is already there), rolled forward (it is on one of both
sides, and what the change needs still holds), undone (it no longer does), or, where the registry
stands on neither side, reported and left alone. Without an open intent any difference was made
by somebody else: it is recorded, and by policy put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from promotion_assets.errors import Conflict, IntegrityError, Refusal, UsageError
from promotion_assets.lifecycle.deviations import (
    DigestOf,
    compare,
    intent_deviations,
    side_of,
    versions_of,
)
from promotion_assets.lifecycle.events import (
    Deviation,
    IntentAbandoned,
    IntentRecorded,
    RegistryRestored,
    RegistryTampered,
)
from promotion_assets.lifecycle.intents import finish, touched_by
from promotion_assets.lifecycle.mirror import write_mirror
from promotion_assets.lifecycle.ports import Ledger, Registry
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request, check_transition

FactsOf = Callable[[Request], Facts]
_ATTEMPTS = 20


@dataclass(frozen=True)
class Reconciliation:
    """What a reconciliation of one model found and did.

    Attributes:
        finished: the intent that was brought to its end, and from which side.
        abandoned: the intent that was given up, and why.
        tagged: versions whose tags were behind and were written.
        deviations: what somebody else has changed and is still so.
        restored: what was put back, by policy or by whoever changed it.
    """

    model: str
    finished: str | None = None
    abandoned: str | None = None
    tagged: tuple[str, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    restored: tuple[Deviation, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether registry and ledger say the same now."""
        return not self.deviations

    @property
    def did_something(self) -> bool:
        """Whether there was anything to do or to report."""
        return bool(
            self.finished or self.abandoned or self.tagged or self.deviations or self.restored
        )


def reconcile(
    ledger: Ledger,
    registry: Registry,
    model: str,
    facts_of: FactsOf,
    now: datetime,
    *,
    on_bypass: Literal["report", "revert"] = "report",
    digest_of: DigestOf | None = None,
) -> Reconciliation:
    """Reconcile one model; repeating it changes nothing more.

    Args:
        facts_of: what is true now of the version in a request, for verifying an open promotion
            again before it is rolled forward.
        digest_of: digests the artifact of live versions afresh; not compared where not given.

    Raises:
        RegistryUnreachable, LedgerUnreachable: try again later.
        Conflict: if others kept changing the model meanwhile.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _once(ledger, registry, model, facts_of, now, on_bypass, digest_of)
        except Conflict:
            # What was read has changed under way: what was found may be wrong, so look again.
            continue
    raise Conflict(
        f"reconcile {model}",
        "others kept changing it meanwhile",
        "run `promotion reconcile` again in a moment; `promotion status` shows who is at it",
    )


def _once(
    ledger: Ledger,
    registry: Registry,
    model: str,
    facts_of: FactsOf,
    now: datetime,
    on_bypass: Literal["report", "revert"],
    digest_of: DigestOf | None,
) -> Reconciliation:
    state = ledger.state(model)
    settled = Reconciliation(model)
    if state.intent is not None:
        settled = _settle(ledger, registry, state, state.intent, facts_of, now, on_bypass)
        if settled.deviations:
            return settled
    checked = _check(ledger, registry, model, on_bypass, digest_of)
    return replace(checked, finished=settled.finished, abandoned=settled.abandoned)


def _settle(
    ledger: Ledger,
    registry: Registry,
    state: ModelState,
    intent: IntentRecorded,
    facts_of: FactsOf,
    now: datetime,
    on_bypass: Literal["report", "revert"],
) -> Reconciliation:
    touched = touched_by(intent)
    view = registry.read_mirror(state.model, touched)
    present = [version for version in touched if version in view.versions]
    side = side_of(intent, view)
    refused = None if side == "after" else _no_longer(state, intent, present, facts_of, now)
    if refused is not None:
        write_mirror(registry, state, present)
        abandoned = IntentAbandoned(model=state.model, intent_id=intent.intent_id, reason=refused)
        ledger.append([abandoned], expect_sequence=state.sequence)
        return Reconciliation(state.model, abandoned=f"{intent.action}, {refused}")
    if side == "elsewhere" and len(present) == len(touched) and on_bypass == "report":
        deviations = intent_deviations(intent, view)
        _record(ledger, state, deviations, intent.intent_id)
        return Reconciliation(state.model, deviations=deviations)
    finish(ledger, registry, intent, finished_by="reconciler", only=present)
    return Reconciliation(state.model, finished=f"{intent.action}, found {side}")


def _no_longer(
    state: ModelState,
    intent: IntentRecorded,
    present: Sequence[str],
    facts_of: FactsOf,
    now: datetime,
) -> str | None:
    """Say why an announced change must not be rolled forward, or ``None`` where it may be."""
    if intent.action not in ("promote", "adopt"):
        return None
    change = intent.changes[0]
    if change.version not in present:
        return f"version {change.version} is no longer in the registry"
    if intent.action == "adopt":
        return None
    request = Request(
        model=state.model,
        version=change.version,
        to=change.promoted_to,
        segment=change.segment,
        actor=intent.actor,
        reason=intent.reason,
        cause=change.cause,
    )
    try:
        check_transition(state, request, facts_of(request), now)
    except (Refusal, UsageError, IntegrityError) as error:
        return error.problem
    return None


def _check(
    ledger: Ledger,
    registry: Registry,
    model: str,
    on_bypass: Literal["report", "revert"],
    digest_of: DigestOf | None,
) -> Reconciliation:
    state = ledger.state(model)
    if state.intent is not None:
        raise Conflict(
            f"reconcile {model}",
            f"another change has begun: {state.intent.reason}",
            "run `promotion reconcile` again when it is done",
        )
    found = compare(state, registry.read_mirror(model), digest_of)
    if not found.deviations:
        write_mirror(registry, state, found.behind)
        if state.deviations:
            restored = RegistryRestored(model=model, deviations=state.deviations)
            ledger.append([restored], expect_sequence=state.sequence)
        return Reconciliation(model, tagged=found.behind, restored=state.deviations)
    # The record comes first: it fails if the ledger moved while the registry was read, and then
    # the difference may be a change of our own.
    state = _record(ledger, state, found.deviations, None)
    write_mirror(registry, state, found.behind)
    if on_bypass == "report":
        return Reconciliation(model, tagged=found.behind, deviations=found.deviations)
    write_mirror(registry, state, _present(registry, model, versions_of(found.deviations)))
    left = compare(state, registry.read_mirror(model), digest_of).deviations
    put_back = tuple(d for d in found.deviations if d not in left)
    if not left:
        event = RegistryRestored(model=model, deviations=put_back)
        ledger.append([event], expect_sequence=state.sequence)
    return Reconciliation(model, tagged=found.behind, deviations=left, restored=put_back)


def _record(
    ledger: Ledger,
    state: ModelState,
    deviations: tuple[Deviation, ...],
    intent_id: str | None,
) -> ModelState:
    """Record what was found, once; return the state after it."""
    if state.deviations == deviations:
        return state
    event = RegistryTampered(model=state.model, deviations=deviations, open_intent=intent_id)
    ledger.append([event], expect_sequence=state.sequence)
    return ledger.state(state.model)


def _present(registry: Registry, model: str, versions: Sequence[str]) -> tuple[str, ...]:
    there = registry.read_mirror(model, versions).versions
    return tuple(version for version in versions if version in there)
