"""Champions looked after: a report on each that would not be let through today."""

from __future__ import annotations

from dataclasses import dataclass

from promotion_assets.errors import Conflict
from promotion_assets.lifecycle.champion_events import ChampionFailed
from promotion_assets.lifecycle.champions import champion_failed, last_decision, unreported
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.pipeline.workspace import Workspace

MOST_CONFLICTS = 20


@dataclass(frozen=True)
class Health:
    """One segment's champion, as it was last judged.

    Attributes:
        passes: whether it would be let through; ``None`` where it was never judged.
        report: what was recorded of its failing.
    """

    segment: str
    version: str
    passes: bool | None
    reason: str
    report: ChampionFailed | None = None

    def sentence(self) -> str:
        """Say how it is, and what has changed where it fails."""
        named = f"version {self.version} ({self.segment})"
        if self.passes is None:
            return f"{named} was never judged"
        if self.passes:
            return f"{named} still passes"
        told = self.report
        moved = [m.sentence() for m in (*told.gates, *told.numbers)] if told else []
        since = [m.name for m in told.inputs] if told else []
        changed = f"; changed: {', '.join(moved)}" if moved else ""
        by = f"; other {', '.join(since)} than then" if since else "; judged by the same as then"
        return f"{named} no longer passes: {self.reason}{changed}{by}"


def report_champions(workspace: Workspace, model: str) -> tuple[Health, ...]:
    """Record each champion's failing once a decision, and return how all of them are.

    Raises:
        LedgerUnreachable: nothing was recorded; the next call does.
    """
    ledger = workspace.ledger
    for _ in range(MOST_CONFLICTS):
        state = ledger.state(model)
        new = [
            champion_failed(segment, last, ledger.events(model))
            for segment, last in unreported(state)
        ]
        if not new:
            break
        try:
            ledger.append(new, expect_sequence=state.sequence)
        except Conflict:
            continue
    return tuple(_health(ledger.state(model)))


def _health(state: ModelState) -> list[Health]:
    found = []
    for segment, version in sorted(state.champions.items()):
        last = last_decision(state, version, segment)
        told = state.champion_failures.get((segment, version))
        passes = None if last is None else last.verdict == "approved"
        reason = "" if last is None else last.reason
        found.append(Health(segment, version, passes, reason, None if passes else told))
    return found
