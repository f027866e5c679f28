"""A walk over a history by the table of stages alone, apart from the code that folds it."""

from __future__ import annotations

from collections import Counter

from promotion_assets.lifecycle.events import (
    Adopted,
    EvaluationFinished,
    IntentAbandoned,
    IntentFinished,
    IntentRecorded,
    ReviewDecided,
    ShadowReported,
    Stage,
    StageChanged,
)
from promotion_assets.lifecycle.stages import ALLOWED


def check_history(events: list[object]) -> None:
    """Walk a history by the table of stages alone, apart from the code that folds it."""
    stages: dict[tuple[str, str], Stage] = {}
    live: Counter[str] = Counter()
    approved: dict[tuple[str, str], bool] = {}
    shadowed: dict[tuple[str, str], bool] = {}
    reviewed: dict[tuple[str, str], str] = {}
    been_live: set[tuple[str, str]] = set()
    open_intents = 0
    for event in events:
        match event:
            case EvaluationFinished():
                approved[event.segment, event.version] = event.verdict == "approved"
            case ShadowReported():
                shadowed[event.segment, event.version] = event.passed
            case ReviewDecided():
                reviewed[event.segment, event.version] = event.verdict
            case IntentRecorded():
                open_intents += 1
            case IntentFinished() | IntentAbandoned():
                open_intents -= 1
            case Adopted():
                place = (event.segment, event.version)
                assert place not in stages
                assert not any(segment == event.segment for segment, _ in been_live)
                stages[place] = Stage.PRODUCTION
                live[event.segment] += 1
                been_live.add(place)
            case StageChanged():
                place = (event.segment, event.version)
                step = (event.promoted_from, event.promoted_to)
                assert stages.get(place, Stage.NONE) is event.promoted_from
                assert event.cause in ALLOWED[step]
                if event.cause == "promotion":
                    assert approved[place]
                if step == (Stage.STAGING, Stage.PRODUCTION):
                    assert shadowed[place]
                    assert place in reviewed
                if step == (Stage.ARCHIVED, Stage.PRODUCTION):
                    assert place in been_live
                live[event.segment] += (step[1] is Stage.PRODUCTION) - (step[0] is Stage.PRODUCTION)
                if event.promoted_to is Stage.PRODUCTION:
                    been_live.add(place)
                stages[place] = event.promoted_to
        assert open_intents in (0, 1)
        assert all(count <= 2 for count in live.values())
