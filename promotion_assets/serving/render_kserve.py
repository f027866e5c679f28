"""For KServe: an InferenceService for each arm, and an InferenceGraph that splits between them.

``canaryTrafficPercent`` on one InferenceService would pin one arm only; the other is whatever
revision came before it. Two services and a graph pin both.

Source: KServe's custom resources ``serving.kserve.io/v1beta1`` InferenceService and
``serving.kserve.io/v1alpha1`` InferenceGraph.
"""

from __future__ import annotations

from typing import Any

from promotion_assets.errors import UsageError
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan
from promotion_assets.serving.rendering import (
    Rendered,
    Target,
    common_notes,
    metadata,
    object_name,
    service_name,
)

_ONE_PERCENT = 100


def render_kserve(plan: TrafficPlan, target: Target) -> Rendered:
    """Return the plan for KServe.

    Raises:
        UsageError: a share is no whole percent, which a graph's weights are.
    """
    arms = {
        arm.version: arm
        for segment in plan.segments
        for arm in (segment.stable, segment.candidate, segment.previous)
        if arm is not None
    }
    documents = [_service(plan, arm, target) for arm in arms.values()]
    documents += [_graph(plan, segment, target) for segment in plan.segments]
    notes = common_notes(plan, sticky=False)
    if target.bucket_header:
        notes.append("a graph splits by chance; the bucket header is not used")
    if any(segment.shadow for segment in plan.segments):
        notes.append("a graph has no mirror: shadows are left out")
    if len(plan.segments) > 1:
        notes.append("each segment has a graph of its own: who calls chooses it by its name")
    return Rendered(tuple(documents), tuple(notes))


def _service(plan: TrafficPlan, arm: Arm, target: Target) -> dict[str, Any]:
    location = target.storage.format(model=plan.model, version=arm.version, digest=arm.digest)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(plan, service_name(plan.model, arm), target, arm),
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "mlflow"},
                    "protocolVersion": "v2",
                    "storageUri": location,
                }
            }
        },
    }


def _graph(plan: TrafficPlan, segment: SegmentPlan, target: Target) -> dict[str, Any]:
    share = segment.share
    if share % _ONE_PERCENT:
        raise UsageError(
            f"rendering the plan of {plan.model} for KServe",
            f"segment {segment.name!r} gives {share / 100:g} % to version "
            f"{segment.candidate.version if segment.candidate else '?'}, and a graph's weights "
            "are whole percent",
            "choose whole percent in the policy's rollout steps, or render for istio or envoy",
        )
    steps = []
    if segment.candidate is not None and share:
        name = service_name(plan.model, segment.candidate)
        steps.append({"serviceName": name, "weight": share // _ONE_PERCENT})
    rest = 100 - share // _ONE_PERCENT
    if rest:
        steps.append({"serviceName": service_name(plan.model, segment.stable), "weight": rest})
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "InferenceGraph",
        "metadata": metadata(plan, object_name(plan.model, segment.name), target),
        "spec": {"nodes": {"root": {"routerType": "Splitter", "steps": steps}}},
    }
