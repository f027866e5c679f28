"""A traffic plan as what other serving stacks read: common parts of the renderers.

Each arm is a service of its own, pinned by version and digest. A renderer says what its target
cannot express: above all, whether a unit keeps its arm from request to request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan

SEGMENT_HEADER = "x-promotion-segment"
NAME_LENGTH = 63


@dataclass(frozen=True)
class Target:
    """Where a plan is rendered for.

    Attributes:
        bucket_header: header in which the caller, or a filter before the gateway, puts the
            unit's bucket (:func:`promotion_assets.serving.router.bucket` with the segment's
            salt). With it a unit keeps its arm; without it each request is drawn anew.
        storage: where an artifact lies; ``{model}``, ``{version}`` and ``{digest}`` are filled in.
        port: of the arms' services.
        namespace: of Kubernetes objects; none where empty.
    """

    bucket_header: str | None = None
    storage: str = "pvc://models/{model}/{digest}"
    port: int = 80
    namespace: str = ""


@dataclass(frozen=True)
class Rendered:
    """Documents in the target's own form, and what they cannot express."""

    documents: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


def service_name(model: str, arm: Arm) -> str:
    """Return the name of an arm's service, as Kubernetes allows names."""
    return object_name(model, f"v{arm.version}")


def object_name(model: str, suffix: str) -> str:
    """Return a name for something of the model, as Kubernetes allows names."""
    tail = f"-{_plain(suffix)}"
    return _plain(model)[: NAME_LENGTH - len(tail)].rstrip("-") + tail


def metadata(
    plan: TrafficPlan, name: str, target: Target, arm: Arm | None = None
) -> dict[str, Any]:
    """Return the metadata of a Kubernetes object, which pin the plan's generation and digest."""
    pinned = {
        "promotion/model": plan.model,
        "promotion/generation": str(plan.generation),
    }
    if arm is not None:
        pinned |= {"promotion/version": arm.version, "promotion/digest": arm.digest}
    found: dict[str, Any] = {"name": name, "annotations": pinned}
    return {**found, "namespace": target.namespace} if target.namespace else found


def ordered(plan: TrafficPlan) -> list[SegmentPlan]:
    """Return the segments with the default last: it takes what no other has taken."""
    default = [s for s in plan.segments if s.name == plan.default]
    return [s for s in plan.segments if s.name != plan.default] + default


def common_notes(plan: TrafficPlan, *, sticky: bool) -> list[str]:
    """Return what every gateway's reader must know."""
    notes = []
    if any(s.candidate is not None and s.share > 0 for s in plan.segments) and not sticky:
        notes.append(
            "stickiness is lost: each request is drawn anew, so a unit may be answered by both "
            "versions, and per-unit statistics are not valid"
        )
    matched = sorted({name for s in plan.segments for name in s.match})
    if matched:
        notes.append(
            f"segments are chosen by the header {SEGMENT_HEADER}; what the plan matches by "
            f"attributes ({', '.join(matched)}) must be turned into it before the gateway"
        )
    return notes


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "model"
