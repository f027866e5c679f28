"""Rollouts as people and programs are shown them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.lifecycle.rollouts import segment_plan, steps_of
from promotion_assets.pipeline.rollout_look import Look, look_at
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.serving.events import EventReader


def rollouts(
    workspace: Workspace, events: EventReader, models: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Yield what is rolling out now, with what the next tick would do; nothing is recorded."""
    for model in models:
        for segment in workspace.ledger.state(model).rolling:
            look = look_at(workspace, events, model, segment, prove=lambda *_: ())
            yield shown(look)


def shown(look: Look) -> dict[str, Any]:
    """Return one look as JSON types."""
    plan, action = look.plan, look.action
    assert plan is not None
    assert action is not None
    return {
        "model": look.model,
        "segment": look.segment,
        "version": plan.version,
        "champion": look.state.champions[look.segment],
        "share": segment_plan(look.state, look.segment).share,
        "step": plan.step,
        "steps": [look.policy.share_at(n) for n in range(len(look.policy.way))],
        "since": plan.since.isoformat() if plan.since else None,
        "paused": plan.paused,
        "held": plan.held,
        "next": action.kind,
        "reason": action.reason,
        "not_before": action.not_before.isoformat() if action.not_before else None,
        "note": look.note,
        "family_rate": look.policy.family_rate,
        "units": look.statistics.step(plan.step or 0).candidate.units,
        "guardrails": [finding.to_json() for finding in action.findings],
        "history": [_step(step) for step in steps_of(look.state, look.segment)],
    }


def _step(step: RolloutStepped) -> dict[str, Any]:
    return {
        "action": step.action,
        "at": step.at.isoformat(),
        "actor": step.actor,
        "share_from": step.share_from,
        "share_to": step.share_to,
        "generation": step.generation,
        "reason": step.reason,
    }
