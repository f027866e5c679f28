"""The pictures of a rollout."""

from __future__ import annotations

from datetime import datetime

from promotion_assets.adapters import rollout_plots
from promotion_assets.pipeline.pictures import Picture, Pictures
from promotion_assets.pipeline.rollout_story import RolloutStory
from promotion_assets.rollout.trajectory import trajectory


def rollout_pictures(story: RolloutStory, now: datetime) -> Pictures:
    """Return the pictures of a rollout by title; none before it has begun."""
    found: Pictures = {}
    if story.steps:
        found["weight over time"] = Picture(
            rollout_plots.weights(story.steps, now), "the candidate's share over time"
        )
    points = list(trajectory(story.policy, story.statistics))
    if points:
        found["evidence"] = Picture(
            rollout_plots.evidence(points), "e-values of each guardrail against their limits"
        )
        found["errors against the champion"] = Picture(
            rollout_plots.error_ratios(points, story.policy.errors.max_ratio),
            "ratio of the rates of errors with its confidence sequence",
        )
    return found
