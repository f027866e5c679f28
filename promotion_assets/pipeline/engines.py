"""The engine that a policy asks for."""

from __future__ import annotations

from promotion_assets.evaluation.large.engine import Engine
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.policy.evaluation import EvaluationPolicy


def engine_of(evaluation: EvaluationPolicy) -> Engine:
    """Return the engine that works on shards.

    Raises:
        UsageError: it is Ray, and Ray is not installed.
    """
    if evaluation.engine == "ray":
        # Ray costs seconds to import, and is an extra.
        from promotion_assets.adapters.ray_engine import RayEngine

        return RayEngine(workers=evaluation.workers, address=evaluation.ray_address)
    return StreamingEngine()
