"""Rollouts: one tick looks, decides and records.

Everything that a tick knows it reads: ledger, event log, policy, clock. It may be killed at any
instruction and run twice at once; what it decides is appended only if nothing else has happened
to the model since it looked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from promotion_assets.adapters.tracing import span
from promotion_assets.errors import Conflict
from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.lifecycle.promotion import complete_rollout
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.rollouts import ending, step_events
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.rollout_look import Look, look_at
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.rollout.decide import Action, RolloutPlan
from promotion_assets.serving.events import EventReader
from promotion_assets.serving.plan import WHOLE

ROBOT = "promotion"


@dataclass(frozen=True)
class Ticked:
    """What one tick did.

    Attributes:
        done: whether anything was recorded.
        conflict: somebody else was first; the next tick sees what they did.
    """

    look: Look
    done: bool = False
    conflict: str | None = None

    def sentence(self) -> str:
        """Say it in one sentence."""
        look = self.look
        if look.plan is None or look.action is None:
            return f"nothing is rolling out in segment {look.segment!r}"
        who = f"version {look.plan.version}"
        if self.conflict:
            return f"{who}: {self.conflict}"
        note = f" ({look.note})" if look.note else ""
        return f"{who}: {look.action.kind.replace('_', ' ')}: {look.action.reason}{note}"


def tick(workspace: Workspace, events: EventReader, model: str, segment: str) -> Ticked:
    """Look at a rollout, decide, and record what was decided; waiting records nothing.

    Raises:
        LedgerUnreachable, RegistryUnreachable: nothing was changed; shares stay as they are.
    """
    with span("rollout tick", model=model, segment=segment) as traced:
        done = _ticked(workspace, events, model, segment)
        plan, action = done.look.plan, done.look.action
        traced.note(
            version=plan.version if plan else None,
            action=action.kind if action else None,
            share=action.share if action else None,
            recorded=done.done,
        )
    return done


def _ticked(workspace: Workspace, events: EventReader, model: str, segment: str) -> Ticked:
    look = look_at(workspace, events, model, segment)
    if look.plan is None or look.action is None or look.action.kind == "wait":
        return Ticked(look)
    try:
        _carry_out(workspace, look, look.plan, look.action)
    except Conflict as error:
        return Ticked(look, conflict=error.problem)
    workspace.checkpointer.publish()
    return Ticked(look, done=True)


def take_back(
    workspace: Workspace,
    state: ModelState,
    segment: str,
    plan: RolloutPlan,
    action: Literal["roll_back", "abort"],
    actor: str,
    reason: str,
    told: Mapping[str, JsonValue],
) -> ModelState:
    """Take a version that is rolling out back, latch it, and record why; nothing if it is gone.

    Raises:
        LedgerUnreachable: nothing was changed.
    """
    now = workspace.clock()
    after = rollback(
        workspace.ledger,
        workspace.registry,
        state.model,
        actor=actor,
        reason=reason,
        segment=segment,
        rolling=plan.version,
        story=lambda before, then: ending(
            before, then, segment, action, actor=actor, reason=reason, at=now, statistics=told
        ),
    )
    workspace.checkpointer.publish()
    return after


def _carry_out(workspace: Workspace, look: Look, plan: RolloutPlan, action: Action) -> None:
    state, segment, now = look.state, look.segment, workspace.clock()
    told = _told(look, action)
    if action.kind == "roll_back":
        take_back(workspace, state, segment, plan, "roll_back", ROBOT, action.reason, told)
        return
    assert action.kind != "wait"
    assert action.step is not None
    recorded = step_events(
        state,
        segment,
        action.kind,
        step=action.step,
        share=action.share,
        actor=ROBOT,
        reason=action.reason,
        at=now,
        statistics=told,
    )
    if action.kind == "complete":
        # The plan that gives it everything follows from the stages, with the change itself.
        recorded = [
            e.model_copy(update={"share_to": WHOLE}) if isinstance(e, RolloutStepped) else e
            for e in recorded
        ]
        complete_rollout(
            workspace.ledger,
            workspace.registry,
            state.model,
            actor=ROBOT,
            reason=action.reason,
            segment=segment,
            expect_sequence=state.sequence,
            story=lambda _: recorded,
        )
        return
    workspace.ledger.append(recorded, expect_sequence=state.sequence)


def _told(look: Look, action: Action) -> dict[str, JsonValue]:
    told: dict[str, Any] = {
        "findings": [finding.to_json() for finding in action.findings],
        "counts": look.statistics.to_json(),
    }
    if action.kind == "start":
        told["policy"] = look.policy.model_dump(mode="json")
    if look.note:
        told["note"] = look.note
    return told
