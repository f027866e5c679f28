"""The page of text that ``promotion explain`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from promotion_assets.audit.shadow_words import shadow_lines

WIDTH = 100


def render(explained: Mapping[str, Any]) -> str:
    """Return what :func:`promotion_assets.audit.explain.explain` gave, as text."""
    return "\n".join(_page(explained))


def render_at(explained: Mapping[str, Any]) -> str:
    """Return what :func:`promotion_assets.audit.explain.explain_at` gave, as text."""
    return "\n".join(_page_at(explained))


def _page(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['model']} version {found['version']}: {found['verdict']}, stage {found['stage']}"
    yield from _wrapped(found["reason"])
    yield ""
    yield "Checks"
    yield from _lines(
        f"{check['gate']:<14} {check['outcome']:<13} {check['reason']}" for check in found["checks"]
    )
    yield "Metrics, measured then"
    yield from _lines(_metrics(found["metrics"]))
    yield "Champion then"
    champion = found["champion"]
    if champion is None:
        yield "  none"
    else:
        yield f"  version {champion['version']}, artifact {str(champion['digest'])[:12]}"
        yield from _lines(_metrics(champion["metrics"]))
    yield "Evaluation dataset version"
    dataset = found["evaluation_dataset"]
    yield f"  {dataset['digest'] or 'none could be taken'}" if dataset else "  none"
    yield "Shadow"
    shadow = found["shadow"]
    if shadow is None:
        yield "  no report"
    else:
        yield from _wrapped(
            f"{'passed' if shadow['passed'] else 'did not pass'}: {shadow['summary']}"
        )
        yield from (f"    {line}" for line in shadow_lines(shadow))
    yield "Reviews"
    yield from _lines(_review(review) for review in found["reviews"])
    yield "Timeline"
    yield from _lines(_moment(entry) for entry in found["timeline"])


def _page_at(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['model']} at {found['at']}"
    if not found["live"]:
        yield "  nothing was live that the ledger knows of"
    for live in found["live"]:
        yield f"  segment {live['segment']}: version {live['champion']} since {live['since']}"
        yield f"    {live['because']}"
        if live["decision"]:
            yield f"    its decision: {live['decision']}"
        if live["rolling_out"]:
            yield f"    version {live['rolling_out']} was rolling out beside it"
    if found["traffic"]:
        yield f"  traffic: {found['traffic']}"
    yield "Timeline until then"
    yield from _lines(_moment(entry) for entry in found["timeline"])


def _metrics(metrics: Mapping[str, float | None]) -> Iterator[str]:
    for name, value in metrics.items():
        yield f"{name:<24} {'not measured' if value is None else f'{value:.6g}'}"


def _review(review: Mapping[str, Any]) -> str:
    answers = "; ".join(f"{name}: {answer}" for name, answer in review["answers"].items())
    return f"{review['actor']} {review['verdict']} at {review['reviewed_at']}  {answers}"


def _moment(entry: Mapping[str, Any]) -> str:
    return f"{entry['at'][:19]}  {entry['actor']}: {entry['what']}"


def _lines(lines: Iterable[str]) -> Iterator[str]:
    empty = True
    for line in lines:
        empty = False
        yield from _wrapped(line)
    if empty:
        yield "  none"


def _wrapped(line: str) -> Iterator[str]:
    yield from textwrap.wrap(
        line, WIDTH, initial_indent="  ", subsequent_indent="      ", break_long_words=False
    )
