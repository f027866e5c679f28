"""Events of made-up histories, to be folded without a ledger."""

from __future__ import annotations

import re
from typing import Any

import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.events import (
    Adopted,
    AnyEvent,
    IntentRecorded,
    ReviewDecided,
    RolloutStepped,
    Stage,
    StageChanged,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.traffic import plan_event
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, digest, evaluated, shadow

WAY = {
    Stage.STAGING: Stage.NONE,
    Stage.PRODUCTION: Stage.STAGING,
    Stage.ARCHIVED: Stage.PRODUCTION,
}


def moved(version: str, to: Stage, **changes: Any) -> StageChanged:
    """A version's move to a stage from the one before it on the way."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "promoted_from": WAY[to],
        "promoted_to": to,
        "cause": "superseded" if to is Stage.ARCHIVED else "promotion",
        "reason": "",
        "approved": True,
        "actor": "ana",
        "model_digest": digest(version),
        **changes,
    }
    return StageChanged(**values)


def vote(version: str, clock: Clock, **changes: Any) -> ReviewDecided:
    """An approval on the version's artifact."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "actor": "bo",
        "verdict": "approved",
        "reviewed_at": clock(),
        "evidence": {"model": digest(version)},
        **changes,
    }
    return ReviewDecided(**values)


def adoption(version: str, **changes: Any) -> Adopted:
    """A version taken in as champion."""
    values = {"model": MODEL, "version": version, "reason": "it serves", **changes}
    return Adopted(**{"model_digest": digest(version), **values})


def intent(name: str) -> IntentRecorded:
    """An announced change of nothing."""
    return IntentRecorded(model=MODEL, intent_id=name, action="mirror", reason="")


def staged(version: str, clock: Clock) -> list[AnyEvent]:
    """Everything until a version is in Staging."""
    return [evaluated(version, clock), moved(version, Stage.STAGING)]


def live(version: str, clock: Clock) -> list[AnyEvent]:
    """Everything until a version is in Production."""
    return [
        *staged(version, clock),
        shadow(version),
        vote(version, clock),
        moved(version, Stage.PRODUCTION),
    ]


def planned(events: list[AnyEvent]) -> list[AnyEvent]:
    """The events, and the traffic plan that fits the stages after them."""
    return [*events, *plan_event(fold(MODEL, events), actor="ana", reason="")]


def step(action: Any, clock: Clock, number: int = 0, **changes: Any) -> RolloutStepped:
    """A step of version 2's rollout."""
    values: dict[str, Any] = {
        "version": "2",
        "action": action,
        "step": number,
        "share_from": 0,
        "share_to": 500,
        "generation": 1,
        "at": clock(),
        "reason": f"{action} now",
        **changes,
    }
    return RolloutStepped(model=MODEL, **values)


def impossible(events: list[AnyEvent], words: str) -> None:
    """Check that the last event, and none before it, is refused in these words."""
    fold(MODEL, events[:-1])
    with pytest.raises(IntegrityError, match=re.escape(words)) as caught:
        fold(MODEL, events)
    assert f"fold the history of model {MODEL!r}" in str(caught.value)
