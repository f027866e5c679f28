"""Pictures of a rollout: who answered how much when, and how the evidence grew.

Every line has a name beside it and a style of its own, so that it reads in grey too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from promotion_assets.adapters.plots import BAD, CANDIDATE, CHAMPION, INK, as_png, canvas
from promotion_assets.lifecycle.events import RolloutStepped
from promotion_assets.rollout.statistics import SLICES
from promotion_assets.rollout.trajectory import Point

_STYLES = ("-", "--", "-.", ":")
_MARKS = {"pause": "paused", "hold": "held", "roll_back": "taken back", "abort": "aborted"}


def weights(steps: Sequence[RolloutStepped], now: datetime) -> bytes:
    """Draw the candidate's share over time, with what persons and guardrails did."""
    figure, axes = canvas(6.6, 2.9)
    times = [_day(step.at) for step in steps]
    shares = [step.share_to / 100 for step in steps]
    ended = steps[-1].action in ("complete", "roll_back", "abort")
    if not ended:
        times, shares = [*times, _day(now)], [*shares, shares[-1]]
    axes.step(times, shares, where="post", color=CANDIDATE, linewidth=2)
    for step in steps:
        bad = step.action in ("roll_back", "abort", "hold")
        height = (step.share_from if bad else step.share_to) / 100
        axes.plot([_day(step.at)], [height], "X" if bad else "o", color=BAD if bad else CANDIDATE)
        axes.annotate(
            _MARKS.get(step.action, step.action),
            (_day(step.at), height),
            xytext=(4, 6),
            textcoords="offset points",
            fontsize=8,
            color=BAD if bad else INK,
        )
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.set(ylabel="% of the units", ylim=(-4, 112))
    return as_png(figure)


def evidence(points: Sequence[Point]) -> bytes:
    """Draw each guardrail's e-value after each slice against the limit at which it acts."""
    figure, axes = canvas(6.6, 3.3)
    places = [p.step * SLICES + p.slice for p in points]
    names = dict.fromkeys(f.guardrail for p in points for f in p.findings if f.e_value is not None)
    for number, name in enumerate(names):
        found = {f.guardrail: f for f in points[-1].findings}.get(name)
        values = [
            next((_log10(f.e_value) for f in p.findings if f.guardrail == name), math.nan)
            for p in points
        ]
        colour = (CANDIDATE, CHAMPION, INK)[number % 3]
        style = _STYLES[number % len(_STYLES)]
        limit = found.limit if found is not None else None
        said = f"{name}, acts at {limit:g}" if limit else name
        axes.plot(places, values, style, marker=".", color=colour, label=said)
        if limit:
            axes.axhline(math.log10(limit), color=BAD, linestyle=style, linewidth=1)
    for step in sorted({p.step for p in points}):
        axes.axvline(step * SLICES, color="#d5d9e2", linewidth=1, zorder=0)
        axes.annotate(
            f"step {step + 1}",
            (step * SLICES, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -9),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(xlabel="slice of the rollout", ylabel="evidence of harm, log10 of the e-value")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3)
    return as_png(figure)


def error_ratios(points: Sequence[Point], largest: float) -> bytes:
    """Draw the ratio of the rates of errors with its confidence sequence."""
    figure, axes = canvas(6.6, 2.9)
    places = [p.step * SLICES + p.slice for p in points]
    low = [max(p.error_ratio.low, 0.01) for p in points]
    high = [min(p.error_ratio.high, 100.0) for p in points]
    axes.fill_between(places, low, high, color=CANDIDATE, alpha=0.18, label="confidence sequence")
    axes.plot(places, [p.error_ratio.value for p in points], ".-", color=CANDIDATE, label="ratio")
    axes.axhline(1, color=CHAMPION, linewidth=1, label="as the champion")
    axes.axhline(largest, color=BAD, linewidth=1.1, linestyle="--", label="not to be exceeded")
    axes.set_yscale("log")
    axes.set(xlabel="slice of the rollout", ylabel="errors, ratio to champion", ylim=(0.01, 100))
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=4)
    return as_png(figure)


def _day(moment: datetime) -> float:
    return float(date2num(moment))  # type: ignore[no-untyped-call]


def _log10(value: float | None) -> float:
    if value is None:
        return math.nan
    return math.log10(max(value, 1e-6)) if math.isfinite(value) else 308.0
