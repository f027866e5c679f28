"""Pictures of a shadow beside its champion: scores, groups, times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from promotion_assets.adapters.plots import (
    BAD,
    CANDIDATE,
    CHAMPION,
    COLOURS,
    MARKERS,
    as_png,
    canvas,
)
from promotion_assets.gates.contract import Measurement
from promotion_assets.rollout.shadow_report import Curve

Names = tuple[str, str]
"""What the shadow and the champion are called."""
MOST_ROWS = 30


def score_distributions(curve: Curve, *, names: Names, threshold: float | None) -> bytes:
    """Draw the share of requests with at most a score, and the threshold of a decision."""
    figure, axes = canvas(5.6, 3.4)
    share = (np.arange(len(curve.shadow)) + 0.5) / len(curve.shadow) * 100
    for values, colour, style, name in (
        (curve.champion, CHAMPION, "--", names[1]),
        (curve.shadow, CANDIDATE, "-", names[0]),
    ):
        axes.plot(values, share, style, color=colour, linewidth=1.8, label=name)
    if threshold is not None:
        axes.axvline(threshold, color=BAD, linewidth=1.1, linestyle=":")
        axes.annotate(
            f"decision at {threshold:g}",
            (threshold, 0),
            xytext=(4, 4),
            textcoords="offset points",
            color=BAD,
            fontsize=8,
        )
    axes.set(xlabel="score", ylabel="% of requests with at most it", ylim=(0, 101))
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return as_png(figure)


def group_shifts(measurements: Sequence[Measurement], *, limit: float | None) -> bytes:
    """Draw for all requests and each group how the share of positive decisions changes."""
    rows = list(measurements)[:MOST_ROWS]
    figure, axes = canvas(6.6, 0.9 + 0.32 * max(len(rows), 1))
    for place, row in enumerate(rows):
        colour = COLOURS[row.outcome]
        if row.interval and row.interval.low is not None and row.interval.high is not None:
            bounds = [row.interval.low, row.interval.high]
            axes.plot(bounds, [place, place], color=colour, linewidth=2.2)
        axes.plot([row.observed or 0.0], [place], MARKERS[row.outcome], color=colour, markersize=7)
    labels = [f"{row.subject}  (n = {row.sample_size or 0:,})" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="#d5d9e2", linewidth=1, zorder=0)
    for line in () if limit is None else (-limit, limit):
        axes.axvline(line, color=BAD, linewidth=1.2, linestyle="--")
    said = "" if limit is None else f"; limit ±{limit:g}"
    axes.set_xlabel(f"decided positively, shadow less champion{said}", loc="left", fontsize=8)
    return as_png(figure)


def answer_times(curve: Curve, *, names: Names) -> bytes:
    """Draw the share of requests answered within a time, on a logarithmic axis."""
    figure, axes = canvas(5.6, 3.4)
    share = (np.arange(len(curve.shadow)) + 0.5) / len(curve.shadow) * 100
    for values, colour, style, name in (
        (curve.champion, CHAMPION, "--", names[1]),
        (curve.shadow, CANDIDATE, "-", names[0]),
    ):
        axes.plot(np.maximum(values, 1e-3), share, style, color=colour, linewidth=1.8, label=name)
    axes.set_xscale("log")
    axes.axhline(95, color="#d5d9e2", linewidth=1, zorder=0)
    axes.set(xlabel="milliseconds (log scale)", ylabel="% of requests answered", ylim=(0, 101))
    axes.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return as_png(figure)
