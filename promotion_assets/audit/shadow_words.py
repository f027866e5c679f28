"""A recorded shadow report for people, from the entry alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.events import Recorded, ShadowReported

if TYPE_CHECKING:
    from promotion_assets.rollout.shadow_report import ShadowReport


def shadow_lines(shadow: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each number of a report; none for one that was recorded without.

    Args:
        shadow: the entry as JSON, as ``promotion explain --json`` has it.
    """
    report = _report(shadow.get("report"))
    if report is None:
        return
    from promotion_assets.rollout.shadow_text import bounds_of, limit_of, title_of, value_of

    if report.first and report.last:
        seen = (moment.isoformat(timespec="minutes") for moment in (report.first, report.last))
        yield f"{report.pairs:,} pairs with champion {report.champion}, {' to '.join(seen)}"
    for m in report.result.measurements:
        outcome = str(m.outcome) if m.outcome else "reported"
        parts = [f"{outcome:<13} {title_of(m):<42} {value_of(m):>10}", bounds_of(m), limit_of(m)]
        yield "  ".join(part for part in parts if part)


def shadow_problems(history: Sequence[Recorded]) -> Iterator[str]:
    """Say which entries hold a report that is not the one under their digest, or passes wrongly."""
    for recorded in history:
        event = recorded.event
        if not isinstance(event, ShadowReported) or not event.report:
            continue
        name = f"entry {recorded.sequence}: the shadow report"
        report = _report(event.report)
        if digest_of(dict(event.report)) != event.report_digest:
            yield f"{name} is not the one under its digest"
        elif report is None:
            yield f"{name} is not of a form that this release knows"
        elif (report.passed, report.version, report.model_digest) != (
            event.passed,
            event.version,
            event.model_digest,
        ):
            yield f"{name} says something else than its entry"


def _report(data: object) -> ShadowReport | None:
    if not data:
        return None
    # Statistics take a second to import, and most entries have no report.
    from promotion_assets.rollout.shadow_report import ShadowReport

    try:
        return ShadowReport.model_validate(data)
    except ValidationError:
        return None
