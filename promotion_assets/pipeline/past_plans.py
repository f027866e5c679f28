"""The traffic plans that a model had, as people and programs are shown them."""

from __future__ import annotations

from typing import Any

from promotion_assets.audit.traffic_words import plan_in_words
from promotion_assets.lifecycle.events import TrafficPlanned
from promotion_assets.pipeline.workspace import Workspace


def plans(workspace: Workspace, model: str) -> list[dict[str, Any]]:
    """Return every traffic plan of the model, in order."""
    return [
        {
            "generation": recorded.event.plan.generation,
            "at": recorded.recorded_at.isoformat(),
            "actor": recorded.event.actor,
            "cause": recorded.event.cause,
            "reason": recorded.event.reason,
            "traffic": plan_in_words(recorded.event.plan),
            "plan": recorded.event.plan.model_dump(mode="json"),
        }
        for recorded in workspace.ledger.events(model)
        if isinstance(recorded.event, TrafficPlanned)
    ]
