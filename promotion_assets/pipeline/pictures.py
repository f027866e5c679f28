"""Which picture belongs to which gate result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from promotion_assets.adapters import plots
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import LatencySample, Scores, ScoringFailure
from promotion_assets.gates.contract import GateResult, Measurement


@dataclass(frozen=True)
class Picture:
    """A PNG, and what it shows in words."""

    png: bytes
    description: str


Pictures = dict[str, Picture]


def pictures_of(result: GateResult, evidence: Evidence) -> Pictures:
    """Return the pictures of a gate result by title."""
    draw = _DRAW.get(result.gate, _intervals)
    return draw(result, evidence)


def _roc(result: GateResult, evidence: Evidence) -> Pictures:
    own, theirs = evidence.candidate_scores, evidence.champion_scores
    if evidence.policy.task != "binary" or evidence.dataset is None or not isinstance(own, Scores):
        return _intervals(result, evidence)
    champion = theirs.values if isinstance(theirs, Scores) else None
    labels = evidence.dataset.labels.astype(np.int64)
    png = plots.roc(labels, own.values, champion, names=_names(evidence))
    return {"roc": Picture(png, "ROC curve of candidate and champion")}


def _latencies(result: GateResult, evidence: Evidence) -> Pictures:
    own, theirs = _single(evidence.candidate_latency), _single(evidence.champion_latency)
    if own is None:
        return {}
    limit = next((m.limit for m in result.measurements if m.name.startswith("p95")), None)
    png = plots.latencies(
        own.milliseconds,
        theirs.milliseconds if theirs else None,
        limit=limit,
        names=_names(evidence),
    )
    return {"latencies": Picture(png, "share of requests answered within a time")}


def _psi(result: GateResult, evidence: Evidence) -> Pictures:
    rows = [m for m in result.measurements if m.name.startswith("psi") and m.observed is not None]
    if not rows:
        return {}
    limit = next((m.limit for m in rows if m.limit is not None), 0.2)
    png = plots.bars(
        [m.subject for m in rows],
        [m.observed or 0.0 for m in rows],
        lines=[(limit, f"limit {limit:g}")],
        title="PSI by feature: training against what production sends now",
    )
    return {"psi": Picture(png, "PSI by feature")}


def _fairness(result: GateResult, evidence: Evidence) -> Pictures:
    found: Pictures = {}
    for kind in dict.fromkeys(m.name for m in result.measurements):
        rows = [m for m in result.measurements if m.name == kind and m.observed is not None]
        if not rows or not any(m.interval for m in rows):
            continue
        found[kind] = _interval_plot(rows, kind)
    return found


def _intervals(result: GateResult, evidence: Evidence) -> Pictures:
    rows = [m for m in result.measurements if m.interval and m.observed is not None]
    return {"intervals": _interval_plot(rows, result.gate)} if rows else {}


def _interval_plot(rows: list[Measurement], title: str) -> Picture:
    limit = next((m.limit for m in rows if m.limit is not None), None)
    sign = "≥" if rows[0].direction == "min" else "≤"
    label = f"limit {sign} {limit:g}" if limit is not None else ""
    words = title.replace("_", " ")
    png = plots.intervals(rows[:30], title=words, limit=limit, limit_label=label)
    return Picture(png, f"{words} with intervals")


def _single(samples: tuple[LatencySample, ...] | ScoringFailure | None) -> LatencySample | None:
    if not isinstance(samples, tuple):
        return None
    return next((s for s in samples if s.rows == 1), None)


def _names(evidence: Evidence) -> tuple[str, str]:
    champion = evidence.champion
    return f"version {evidence.version}", f"champion {champion.version}" if champion else "champion"


_DRAW: dict[str, Callable[[GateResult, Evidence], Pictures]] = {
    "accuracy": _roc,
    "latency": _latencies,
    "drift": _psi,
    "fairness": _fairness,
}
