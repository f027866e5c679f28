"""The pictures of a shadow report."""

from __future__ import annotations

from promotion_assets.adapters import shadow_plots
from promotion_assets.pipeline.pictures import Picture, Pictures
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.rollout.shadow_report import ShadowReport


def shadow_pictures(report: ShadowReport, policy: ModelPolicy) -> Pictures:
    """Return the pictures of a report by title; none of what it has no pairs for."""
    names = (f"shadow {report.version}", f"champion {report.champion}")
    found: Pictures = {}
    if report.scores.shadow:
        threshold = policy.shadow.threshold if policy.task == "binary" else None
        found["shadow scores"] = Picture(
            shadow_plots.score_distributions(report.scores, names=names, threshold=threshold),
            "share of requests with at most a score, shadow and champion",
        )
    shifts = [m for m in report.result.measurements if m.name in ("shift", "group_shift")]
    if shifts:
        found["shadow decisions by group"] = Picture(
            shadow_plots.group_shifts(shifts, limit=policy.shadow.limits.group_shift),
            "change of the share decided positively, by group",
        )
    if report.latencies.shadow:
        found["shadow times"] = Picture(
            shadow_plots.answer_times(report.latencies, names=names),
            "share of requests answered within a time, shadow and champion",
        )
    return found
