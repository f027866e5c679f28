"""The bundle's page: one HTML file that needs nothing else, in the order of the rules' table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from promotion_assets.audit.answers import Context, read_answers
from promotion_assets.audit.checkpoint import Published
from promotion_assets.audit.regulation import ROWS
from promotion_assets.audit.shadow_words import shadow_lines
from promotion_assets.lifecycle.events import EvaluationFinished

Floats = npt.NDArray[np.float64]
_POINTS = 200


@dataclass(frozen=True)
class Bar:
    """One measurement as a bar from 0 to 100: where the interval, the point and the limit lie."""

    label: str
    low: float
    high: float
    point: float
    limit: float | None
    text: str
    outcome: str


@dataclass(frozen=True)
class Curve:
    """A ROC curve as the points of an SVG polyline in a square of 100."""

    name: str
    points: str


def render_page(
    explained: Mapping[str, Any],
    decision: EvaluationFinished,
    context: Context | None,
    answers: bytes | None,
    published: Published,
) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("promotion_assets.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("bundle.html").render(
        explained=explained,
        decision=decision,
        context=context,
        rules={row.section: row for row in ROWS},
        bars=list(_bars(decision)),
        shadow_lines=list(shadow_lines(explained["shadow"] or {})),
        curves=list(_curves(answers)) if answers is not None else [],
        checkpoint=published.checkpoint,
        note=published.note,
    )


def _bars(decision: EvaluationFinished) -> Iterator[Bar]:
    results = decision.decision.get("results")
    for result in results if isinstance(results, list) else []:
        assert isinstance(result, dict)
        for measured in result.get("measurements") or []:  # type: ignore[union-attr]
            bar = _bar(str(result["gate"]), measured)  # type: ignore[arg-type]
            if bar is not None:
                yield bar


def _bar(gate: str, measured: Mapping[str, Any]) -> Bar | None:
    observed, limit, interval = measured["observed"], measured["limit"], measured["interval"]
    if observed is None or measured["outcome"] is None:
        return None
    ends = [] if interval is None else [interval["low"], interval["high"]]
    known = [value for value in (observed, limit, *ends) if value is not None]
    low, high = min(known), max(known)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0

    def _place(value: float | None, otherwise: float) -> float:
        shown = otherwise if value is None else value
        return round(float(100 * (shown - low + room) / (high - low + 2 * room)), 2)

    first = _place(ends[0], low - room) if ends else _place(observed, 0)
    last = _place(ends[1], high + room) if ends else _place(observed, 0)
    return Bar(
        label=f"{gate}: {measured['name']} of {measured['subject']}",
        low=first,
        high=last,
        point=_place(observed, 0),
        limit=None if limit is None else _place(limit, 0),
        text=_shown(measured),
        outcome=str(measured["outcome"]),
    )


def _shown(measured: Mapping[str, Any]) -> str:
    text = f"{measured['observed']:.4g} {measured['unit']}".rstrip()
    interval = measured["interval"]
    if interval is not None:
        low = "…" if interval["low"] is None else f"{interval['low']:.4g}"
        high = "…" if interval["high"] is None else f"{interval['high']:.4g}"
        text += f" [{low}, {high}]"
    if measured["limit"] is not None:
        word = "at least" if measured["direction"] == "min" else "at most"
        text += f", {word} {measured['limit']:.4g}"
    return text


def _curves(answers: bytes) -> Iterator[Curve]:
    columns = read_answers(answers)
    labels = columns["label"]
    if labels.dtype.kind != "i" or set(np.unique(labels)) != {0, 1}:
        return
    for name in ("champion", "candidate"):
        if name in columns:
            yield Curve(name, _roc(labels.astype(bool), columns[name]))


def _roc(labels: npt.NDArray[np.bool_], scores: Floats) -> str:
    """Return the ROC curve at some 200 thresholds, ties taken together."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], labels[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    chosen = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).astype(int))]
    true = np.cumsum(hits)[chosen] / hits.sum()
    false = np.cumsum(~hits)[chosen] / (~hits).sum()
    pairs = zip(np.append(0, false), np.append(0, true), strict=True)
    return " ".join(f"{100 * x:.1f},{100 - 100 * y:.1f}" for x, y in pairs)
