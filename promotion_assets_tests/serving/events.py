"""Events to write, with fields that a test does not care about filled in."""

from __future__ import annotations

import math
from typing import Any

from promotion_assets.serving.events import (
    ExposureEvent,
    OutcomeEvent,
    RequestEvent,
    ShadowEvent,
)

BEGUN_US = 1_772_442_000_000_000
MODEL = "credit-risk"


def request(number: int = 0, **changes: Any) -> RequestEvent:
    """Return the event of one answered request."""
    event = RequestEvent(
        event_id=f"r-{number}",
        time_us=BEGUN_US + number,
        request_id=f"req-{number}",
        model=MODEL,
        segment="default",
        generation=1,
        share=0,
        salt="",
        unit="",
        assigned="stable",
        role="stable",
        version="1",
        digest="0" * 64,
        latency_ms=1.5,
        prediction="0.25",
        score=0.25,
        error="",
        features_hash="f" * 64,
        features="",
    )
    return event._replace(**changes)


def shadow(number: int = 0, **changes: Any) -> ShadowEvent:
    """Return the event of one copied request."""
    event = ShadowEvent(
        event_id=f"s-{number}",
        time_us=BEGUN_US + number,
        request_id=f"req-{number}",
        model=MODEL,
        segment="default",
        unit="",
        production_version="1",
        shadow_version="2",
        shadow_digest="2" * 64,
        production_prediction="0.25",
        shadow_prediction="",
        production_score=0.25,
        shadow_score=math.nan,
        production_latency_ms=1.5,
        shadow_latency_ms=math.nan,
        outcome="timeout",
        error="no answer within 1 s",
        features_hash="f" * 64,
        features="",
    )
    return event._replace(**changes)


def exposure(number: int = 0, **changes: Any) -> ExposureEvent:
    """Return the event of a unit's first answer from an arm."""
    event = ExposureEvent(
        event_id=f"e-{number}",
        time_us=BEGUN_US + number,
        request_id=f"req-{number}",
        model=MODEL,
        segment="default",
        salt="rollout",
        unit="u" * 16,
        model_label="candidate",
        version="2",
        prediction="0.5",
        score=0.5,
    )
    return event._replace(**changes)


def outcome(number: int = 0, **changes: Any) -> OutcomeEvent:
    """Return the event of one label."""
    event = OutcomeEvent(
        event_id=f"o-{number}",
        time_us=BEGUN_US + number,
        request_id=f"req-{number}",
        model=MODEL,
        label=1.0,
        observed_us=BEGUN_US + number - 5,
    )
    return event._replace(**changes)
