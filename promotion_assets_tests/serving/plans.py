"""Traffic plans to route by."""

from __future__ import annotations

from typing import Any

from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan

MODEL = "credit-risk"


def arm(version: str) -> Arm:
    """Return a version with a digest that looks like one."""
    return Arm(version=version, digest=version.rjust(64, "0"))


def segment(name: str = "default", **changes: Any) -> SegmentPlan:
    """Return a segment whose stable version is 1; ``share`` brings candidate 2 with it."""
    values: dict[str, Any] = {"name": name, "stable": arm("1")}
    if "share" in changes:
        values |= {"candidate": arm("2"), "salt": "rollout"}
    if "shadow_share" in changes:
        values |= {"shadow": arm("3"), "shadow_salt": "shadow"}
    return SegmentPlan.model_validate(values | changes)


def plan(*segments: SegmentPlan, generation: int = 1) -> TrafficPlan:
    """Return a plan of these segments, the first one the default."""
    chosen = segments or (segment(),)
    return TrafficPlan(model=MODEL, generation=generation, segments=chosen, default=chosen[0].name)
