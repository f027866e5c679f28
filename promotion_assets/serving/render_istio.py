"""For Istio: a VirtualService with a route for each segment.

Source: Istio's ``networking.istio.io/v1`` VirtualService.
"""

from __future__ import annotations

from typing import Any

from promotion_assets.serving.plan import WHOLE, Arm, SegmentPlan, TrafficPlan
from promotion_assets.serving.rendering import (
    SEGMENT_HEADER,
    Rendered,
    Target,
    common_notes,
    metadata,
    object_name,
    ordered,
    service_name,
)


def render_istio(plan: TrafficPlan, target: Target) -> Rendered:
    """Return the plan for Istio."""
    routes = [route for segment in ordered(plan) for route in _routes(plan, segment, target)]
    name = object_name(plan.model, "traffic")
    document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(plan, name, target),
        "spec": {"hosts": [name], "http": routes},
    }
    notes = common_notes(plan, sticky=target.bucket_header is not None)
    return Rendered((document,), tuple(notes))


def buckets_below(share: int) -> str:
    """Return an expression in RE2's form that matches the whole numbers from 0 to ``share - 1``.

    Written without leading zeros, from one digit to four.
    """
    if share >= WHOLE:
        return "[0-9]{1,4}"
    largest = str(share - 1)
    parts = []
    for length in range(1, len(largest)):
        parts.append("[0-9]" if length == 1 else f"[1-9][0-9]{{{length - 1}}}")
    for place, digit in enumerate(largest):
        low = 1 if place == 0 and len(largest) > 1 else 0
        below = int(digit) - 1
        if below >= low:
            rest = len(largest) - place - 1
            span = str(low) if low == below else f"[{low}-{below}]"
            parts.append(largest[:place] + span + (f"[0-9]{{{rest}}}" if rest else ""))
    parts.append(largest)
    return "|".join(parts)


def _routes(plan: TrafficPlan, segment: SegmentPlan, target: Target) -> list[dict[str, Any]]:
    match: dict[str, Any] = {}
    if segment.name != plan.default:
        match[SEGMENT_HEADER] = {"exact": segment.name}
    candidate, share = segment.candidate, segment.share
    mirrors = _mirrors(plan, segment, target)
    if candidate is None or not share:
        return [_route(segment.name, match, [_to(plan, segment.stable, target)], mirrors)]
    if target.bucket_header is None:
        split = [
            {**_to(plan, candidate, target), "weight": share},
            {**_to(plan, segment.stable, target), "weight": WHOLE - share},
        ]
        return [_route(segment.name, match, [s for s in split if s["weight"]], mirrors)]
    inside = {**match, target.bucket_header.lower(): {"regex": buckets_below(share)}}
    return [
        _route(f"{segment.name}-candidate", inside, [_to(plan, candidate, target)], mirrors),
        _route(segment.name, match, [_to(plan, segment.stable, target)], mirrors),
    ]


def _route(
    name: str,
    headers: dict[str, Any],
    destinations: list[dict[str, Any]],
    mirrors: list[dict[str, Any]],
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    if headers:
        found["match"] = [{"headers": headers}]
    found["route"] = destinations
    if mirrors:
        found["mirrors"] = mirrors
    return found


def _mirrors(plan: TrafficPlan, segment: SegmentPlan, target: Target) -> list[dict[str, Any]]:
    if segment.shadow is None or not segment.shadow_share:
        return []
    return [
        {**_to(plan, segment.shadow, target), "percentage": {"value": segment.shadow_share / 100}}
    ]


def _to(plan: TrafficPlan, arm: Arm, target: Target) -> dict[str, Any]:
    host = service_name(plan.model, arm)
    return {"destination": {"host": host, "port": {"number": target.port}}}
