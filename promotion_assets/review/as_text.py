"""A request as text, for a terminal: the same view that the page renders."""

from __future__ import annotations

from collections.abc import Iterator

from promotion_assets.review.drills import DrillFigures
from promotion_assets.review.figures import Figures
from promotion_assets.review.ports import Shown
from promotion_assets.review.slices import Slice
from promotion_assets.review.view import interval_text, limit_text, number, signed

MOST_GROUPS = 15


def as_text(shown: Shown, opened: frozenset[str] = frozenset()) -> str:
    """Return the request as text, with the slices in ``opened`` in full."""
    return "\n".join(_lines(shown, opened))


def figures_text(figures: Figures) -> str:
    """Return a team's figures as text."""
    seconds = figures.median_seconds
    lines = [
        f"requests {figures.requests}, votes {figures.votes}, refused attempts {figures.refused}, "
        f"expired {figures.expired}",
        f"median time to decide: {'-' if seconds is None else f'{seconds:.0f} s'}",
        f"flagged {_percent(figures.flagged)}, rejections {_percent(figures.rejected)}, "
        f"agreement {_percent(figures.agreement)}",
    ]
    for name, (votes, flagged, rejected) in figures.by_reviewer.items():
        lines.append(f"  {name}: {votes} votes, {flagged} flagged, {rejected} rejections")
    if figures.drills.drills:
        lines += _drills_text(figures.drills)
    lines += [f"  flag: {who}, {model} {version}: {f}" for who, model, version, f in figures.flags]
    return "\n".join(lines)


def _drills_text(drills: DrillFigures) -> list[str]:
    lines = [
        f"drills {drills.drills}: caught {drills.caught}, missed {drills.missed}, expired "
        f"{drills.expired}; catch rate {_percent(drills.catch_rate)}"
    ]
    for name, (votes, rejections) in drills.by_reviewer.items():
        lines.append(f"  {name}: {rejections} of {votes} caught")
    lines += [f"  missed {times} times: {what}" for what, times in drills.missed_defects.items()]
    return lines


def _lines(shown: Shown, opened: frozenset[str]) -> Iterator[str]:
    view = shown.view
    yield f"{view.model} version {view.version} {view.title} (risk class {view.risk_class})"
    yield f"by {view.author}; against champion {view.champion or 'none'}"
    yield f"{view.verdict}: {view.reason}"
    yield from (f"DRILL {told}" for told in shown.told)
    if shown.closed:
        yield f"not open for review: {shown.closed}"
    for hindrance in shown.hindrances:
        yield f"you cannot approve it: {hindrance}"
    yield from (f"HARMED {harm}" for harm in view.harmed)
    yield "\ngates"
    for gate in view.gates:
        yield f"  {gate.outcome:<12} {gate.gate:<12} {gate.reason}"
    yield f"\ngroups ({view.metric}), those that lose most first"
    for group in view.groups[:MOST_GROUPS]:
        yield (
            f"  {group.outcome:<10} {group.group}: {number(group.candidate)} against "
            f"{number(group.champion)}, change {signed(group.change)} "
            f"[{signed(group.low)}, {signed(group.high)}], {group.rows:,} rows"
        )
    yield "\nslices that must be opened, with --slice"
    for part in shown.case.slices:
        mark = "opened" if part.id in shown.opened else "not opened"
        yield f"  {part.id}  {part.state}, {mark}: {part.title}"
        if part.id in opened:
            yield from _slice(part)
    yield f"\nshadow\n  {view.shadow}"
    for row in view.shadow_rows:
        limit = row.limit or "none"
        yield f"  {row.outcome:<12} {row.title}: {row.value} [{row.interval}], limit {limit}"
    yield "\nknown limitations"
    yield from (f"  {limitation}" for limitation in view.limitations)
    yield "\ndifferent from the champion"
    for d in view.differences:
        yield f"  {d.subject} {d.name}: {d.candidate} (champion {d.champion})"
    yield "\nquestions, by the id that --answers uses"
    for question in view.questions:
        kind = "yes" if question.kind == "confirm" else "text"
        yield f"  {question.id} ({kind}): {question.text}"


def _slice(part: Slice) -> Iterator[str]:
    for m in part.measurements:
        observed = f"{number(m.observed) or '-'} {interval_text(m.interval)}".rstrip()
        yield (
            f"      {m.subject}: {m.name} {observed}, limit {limit_text(m) or 'none'}, "
            f"champion {number(m.baseline) or '-'}, n {m.sample_size or '-'}"
        )
    if part.reason:
        yield f"      {part.reason}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
