"""What a server says of itself: the plan it follows, what it holds loaded, what is wrong."""

from __future__ import annotations

import time
from typing import Any

from promotion_assets.errors import RequestRefused
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.serving.engine import Engine
from promotion_assets.serving.follower import Follower
from promotion_assets.serving.plan import SegmentPlan

DATATYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
}


def facts_of(model: str) -> dict[str, Any]:
    """Return the server's metadata, as the Open Inference Protocol has it."""
    from importlib.metadata import version

    return {
        "name": f"promotion serve {model}",
        "version": version("promotion-assets"),
        "extensions": [],
    }


def metadata_of(engine: Engine, model: str, version: str | None) -> dict[str, Any]:
    """Return a model's metadata; of its champion in the default segment where no version is named.

    Raises:
        RequestRefused: it is another model, or a version that does not answer here.
    """
    held = engine.generation
    default = held.plan.segment(held.plan.default)
    assert default is not None
    asked = version or default.stable.version
    if model != engine.model or asked not in held.models:
        raise RequestRefused(
            f"looking for {model[:100]}" + (f" version {asked[:20]}" if version else ""),
            f"this server answers for {engine.model}, "
            f"versions {', '.join(sorted(held.models, key=int))}",
            "correct the name or the number",
            404,
        )
    signature = held.models[asked].signature
    return {
        "name": model,
        "versions": sorted(held.models, key=int),
        "platform": "mlflow",
        "inputs": _inputs(signature),
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    }


def readiness(follower: Follower) -> dict[str, Any]:
    """Return how the server stands to the plan; it is ready as long as some plan holds."""
    engine, standing = follower.engine, follower.standing
    held = engine.generation
    now = time.monotonic()
    return {
        "ready": True,
        "model": engine.model,
        "worker": follower.worker,
        "generation": held.plan.generation,
        "sequence": held.sequence,
        "versions": {
            version: {"digest": model.arm.digest, "answers_on": model.how}
            for version, model in held.models.items()
        },
        "segments": [_segment(segment) for segment in held.plan.segments],
        "refused_generation": standing.refused or None,
        "problem": standing.problem or None,
        "notes": list(held.notes),
        "seconds_since_poll": round(now - standing.polled, 1),
        "breakers": {d[:16]: b.state(now) for d, b in engine.breakers.items()},
        "shadows": {
            line.arm.version: {
                "waiting": line.waiting,
                "sampled": line.sampled,
                "dropped": line.dropped,
                "restarts": line.restarts,
                **line.outcomes,
                "problem": line.problem or None,
            }
            for line in engine.lines.values()
        },
        "events": {
            "waiting": follower.writer.waiting,
            "written": follower.writer.written,
            "dropped": sum(follower.writer.total_drops.values()),
            "problem": follower.writer.problem or None,
        },
    }


def _segment(segment: SegmentPlan) -> dict[str, Any]:
    return {
        "name": segment.name,
        "stable": segment.stable.version,
        "candidate": segment.candidate.version if segment.candidate else None,
        "share": segment.share,
        "previous": segment.previous.version if segment.previous else None,
        "shadow": segment.shadow.version if segment.shadow else None,
        "shadow_share": segment.shadow_share,
    }


def _inputs(signature: Signature | None) -> list[dict[str, Any]]:
    if signature is None:
        return []
    return [
        {"name": c.name, "datatype": DATATYPES.get(c.type, "BYTES"), "shape": [-1]}
        for c in signature.inputs
    ]
