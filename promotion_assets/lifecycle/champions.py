"""Champions that would not be let through today, and what has changed since they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from promotion_assets.lifecycle.champion_events import ChampionFailed, Moved
from promotion_assets.lifecycle.events import EvaluationFinished, Recorded
from promotion_assets.lifecycle.stages import ModelState


def last_decision(state: ModelState, version: str, segment: str) -> EvaluationFinished | None:
    """Return the last decision on a champion: its segment's, else that of whichever segment."""
    return state.decision(version, segment) or state.decisions.get(version)


def unreported(state: ModelState) -> Iterator[tuple[str, EvaluationFinished]]:
    """Yield segment and last decision of each champion that fails and was not reported as such."""
    for segment, version in state.champions.items():
        last = last_decision(state, version, segment)
        if last is None or last.verdict == "approved":
            continue
        told = state.champion_failures.get((segment, version))
        if told is None or told.decision_digest != last.decision_digest:
            yield segment, last


def champion_failed(
    segment: str, last: EvaluationFinished, history: Iterable[Recorded]
) -> ChampionFailed:
    """Return the report on a champion that fails.

    Args:
        last: the decision that rejects it.
        history: the model's entries, in order.
    """
    approved: EvaluationFinished | None = None
    for recorded in history:
        event = recorded.event
        if not isinstance(event, EvaluationFinished) or event.version != last.version:
            continue
        if event.verdict == "approved" and event.registered_at in (None, last.registered_at):
            approved = event
    return ChampionFailed(
        model=last.model,
        version=last.version,
        segment=segment,
        reason=last.reason,
        decision_digest=last.decision_digest,
        before_digest=approved.decision_digest if approved else "",
        gates=_moved(_outcomes(approved), _outcomes(last)),
        numbers=_moved(approved.metrics if approved else {}, last.metrics),
        inputs=_moved(_inputs(approved), _inputs(last)) if approved else (),
    )


def _moved(
    before: Mapping[str, str | float | None], after: Mapping[str, str | float | None]
) -> tuple[Moved, ...]:
    return tuple(
        Moved(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _outcomes(decision: EvaluationFinished | None) -> dict[str, str | float | None]:
    return {gate.gate: gate.outcome for gate in decision.gates} if decision else {}


def _inputs(decision: EvaluationFinished | None) -> dict[str, str | float | None]:
    if decision is None:
        return {}
    return {
        "artifact": decision.model_digest,
        "dataset": decision.dataset_digest,
        "policy": decision.policy_digest,
    }
