"""For Envoy: a RouteConfiguration with a route for each segment.

Source: Envoy's ``envoy.config.route.v3`` RouteConfiguration, in its JSON form.
"""

from __future__ import annotations

from typing import Any

from promotion_assets.serving.plan import WHOLE, Arm, SegmentPlan, TrafficPlan
from promotion_assets.serving.rendering import (
    SEGMENT_HEADER,
    Rendered,
    Target,
    common_notes,
    object_name,
    ordered,
    service_name,
)


def render_envoy(plan: TrafficPlan, target: Target) -> Rendered:
    """Return the plan for Envoy; each arm is a cluster called like its service."""
    routes = [route for segment in ordered(plan) for route in _routes(plan, segment, target)]
    name = object_name(plan.model, "traffic")
    document = {
        "name": name,
        "virtual_hosts": [
            {
                "name": name,
                "domains": ["*"],
                "routes": routes,
                "response_headers_to_add": [
                    {
                        "header": {
                            "key": "x-promotion-generation",
                            "value": str(plan.generation),
                        }
                    }
                ],
            }
        ],
    }
    notes = common_notes(plan, sticky=target.bucket_header is not None)
    notes.append("clusters are named and not defined here; pin each to its version's digest")
    return Rendered((document,), tuple(notes))


def _routes(plan: TrafficPlan, segment: SegmentPlan, target: Target) -> list[dict[str, Any]]:
    match: list[dict[str, Any]] = []
    if segment.name != plan.default:
        match.append({"name": SEGMENT_HEADER, "string_match": {"exact": segment.name}})
    candidate, share = segment.candidate, segment.share
    mirrors = _mirrors(plan, segment)
    stable = {"cluster": _cluster(plan, segment.stable)}
    if candidate is None or not share:
        return [_route(segment.name, match, {**stable, **mirrors})]
    if target.bucket_header is None:
        clusters = [
            {"name": _cluster(plan, candidate), "weight": share},
            {"name": _cluster(plan, segment.stable), "weight": WHOLE - share},
        ]
        # Weights add up to 100 unless the total is named; newer releases add them up themselves.
        weighted = {"clusters": clusters, "total_weight": WHOLE}
        return [_route(segment.name, match, {"weighted_clusters": weighted, **mirrors})]
    inside = {
        "name": target.bucket_header.lower(),
        "range_match": {"start": "0", "end": str(share)},
    }
    to_candidate = {"cluster": _cluster(plan, candidate), **mirrors}
    return [
        _route(f"{segment.name}-candidate", [*match, inside], to_candidate),
        _route(segment.name, match, {**stable, **mirrors}),
    ]


def _route(name: str, headers: list[dict[str, Any]], action: dict[str, Any]) -> dict[str, Any]:
    match: dict[str, Any] = {"prefix": "/"}
    if headers:
        match["headers"] = headers
    return {"name": name, "match": match, "route": action}


def _mirrors(plan: TrafficPlan, segment: SegmentPlan) -> dict[str, Any]:
    if segment.shadow is None or not segment.shadow_share:
        return {}
    fraction = {"numerator": segment.shadow_share, "denominator": "TEN_THOUSAND"}
    policy = {
        "cluster": _cluster(plan, segment.shadow),
        "runtime_fraction": {"default_value": fraction},
    }
    return {"request_mirror_policies": [policy]}


def _cluster(plan: TrafficPlan, arm: Arm) -> str:
    return service_name(plan.model, arm)
