"""Why a version may or may not go live: what is recorded of it, in one page.

Six questions (which checks ran and what they returned; the metric values then; who reviewed and
what they answered; which evaluation dataset version; the shadow's results; the champion's
performance then) and the timeline that they lie on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from promotion_assets.audit.ledger import Ledger
from promotion_assets.audit.traffic_words import (
    is_planned,
    plan_in_words,
    plan_sentence,
    step_sentence,
)
from promotion_assets.errors import UsageError
from promotion_assets.lifecycle.events import (
    Adopted,
    AnyEvent,
    ChampionFailed,
    DeploymentConfirmed,
    Deviation,
    DigestLatched,
    EvaluationFinished,
    IntentRecorded,
    LatchCleared,
    Recorded,
    RegistryRestored,
    RegistryTampered,
    ReviewDecided,
    ReviewRefused,
    ReviewReminded,
    ReviewRequested,
    RolledBack,
    RolloutCompleted,
    RolloutStepped,
    ShadowReported,
    Stage,
    StageChanged,
    TrafficPlanned,
    VersionCopied,
)
from promotion_assets.lifecycle.fold import fold


def explain(ledger: Ledger, model: str, version: str) -> dict[str, Any]:
    """Return what the ledger knows of one version.

    Raises:
        UsageError: if it knows nothing of it.
    """
    history = [r for r in ledger.events(model) if concerns(r.event, version)]
    if not history:
        known = ", ".join(ledger.state(model).versions()) or "no version"
        raise UsageError(
            f"explain {model} version {version}",
            f"the ledger has nothing of it; of this model it knows {known}",
            f"evaluate it: `promotion evaluate {model} {version}`",
        )
    return explain_history(model, version, history)


def explain_history(model: str, version: str, history: Sequence[Recorded]) -> dict[str, Any]:
    """Return the same from a version's own entries alone, in order."""
    last: EvaluationFinished | None = None
    for recorded in history:
        if isinstance(recorded.event, EvaluationFinished):
            last = recorded.event
    return {
        "model": model,
        "version": version,
        "stage": str(_stage(version, history)),
        "verdict": last.verdict if last else "pending",
        "reason": last.reason if last else "not evaluated yet",
        "checks": _checks(last),
        "metrics": dict(last.metrics) if last else {},
        "reviews": [r.event.to_json() for r in history if isinstance(r.event, ReviewDecided)],
        "evaluation_dataset": _dataset(last),
        "shadow": _shadow(history),
        "champion": _champion(last),
        "timeline": [timeline_entry(r) for r in history],
    }


def explain_at(ledger: Ledger, model: str, moment: datetime) -> dict[str, Any]:
    """Return what was live at ``moment`` and why, from the entries recorded until then."""
    until = [r for r in ledger.events(model) if r.recorded_at <= moment]
    state = fold(model, [r.event for r in until])
    live = []
    for segment, champion in sorted(state.champions.items()):
        came = [r for r in until if _put_live(r.event, champion, segment)]
        decision = state.decision(champion, segment)
        live.append(
            {
                "segment": segment,
                "champion": champion,
                "rolling_out": state.rolling.get(segment),
                "since": came[-1].recorded_at.isoformat() if came else None,
                "because": sentence(came[-1].event) if came else "",
                "decision": decision.reason if decision else None,
                "digest": state.digests.get(champion),
            }
        )
    return {
        "model": model,
        "at": moment.isoformat(timespec="seconds"),
        "live": live,
        "traffic": plan_in_words(state.traffic) if state.traffic else None,
        "timeline": [timeline_entry(r) for r in until],
    }


def concerns(event: AnyEvent, version: str) -> bool:
    """Whether an event is part of a version's history."""
    match event:
        case RolledBack():
            return version in (event.from_version, event.to_version)
        case IntentRecorded():
            return any(change.version == version for change in event.changes)
        case TrafficPlanned():
            return is_planned(event.plan, version)
        case RegistryTampered() | RegistryRestored():
            return any(version in _versions_in(d) for d in event.deviations)
        case _:
            return getattr(event, "version", None) == version


def _versions_in(deviation: Deviation) -> tuple[str | None, ...]:
    """An alias that was moved concerns the version that lost it and the one that got it."""
    if deviation.subject == "alias":
        return (deviation.version, deviation.expected, deviation.found)
    return (deviation.version,)


def timeline_entry(recorded: Recorded) -> dict[str, JsonValue]:
    """Return one line of a timeline."""
    return {
        "sequence": recorded.sequence,
        "at": recorded.recorded_at.isoformat(),
        "event": recorded.event.kind,
        "actor": recorded.event.actor,
        "what": sentence(recorded.event),
        "hash": recorded.hash,
    }


def sentence(event: AnyEvent) -> str:
    """Say what happened, in one sentence."""
    match event:
        case EvaluationFinished():
            by = f" by {', '.join(event.deciding_gates)}" if event.deciding_gates else ""
            return f"evaluation {event.verdict}{by}: {event.reason}"
        case StageChanged():
            return (
                f"version {event.version} moved from {event.promoted_from} to "
                f"{event.promoted_to} ({event.cause}): {event.reason}"
            )
        case Adopted():
            return f"version {event.version} adopted as champion: {event.reason}"
        case RolloutCompleted():
            return f"version {event.version} became the champion: {event.reason}"
        case TrafficPlanned():
            return plan_sentence(event)
        case RolloutStepped():
            return step_sentence(event)
        case RolledBack():
            return (
                f"rolled back from version {event.from_version} to {event.to_version}: "
                f"{event.reason}"
            )
        case DigestLatched():
            return f"artifact {event.digest[:12]} latched: {event.reason}"
        case LatchCleared():
            return f"latch on artifact {event.digest[:12]} cleared: {event.reason}"
        case ShadowReported():
            return f"shadow report {'passed' if event.passed else 'did not pass'}: {event.summary}"
        case ReviewRequested():
            of = f" of {', '.join(event.assigned)}" if event.assigned else ""
            return f"review of version {event.version} requested{of}"
        case ReviewReminded():
            whom = ", ".join(event.assigned) or "nobody"
            return f"review {event.what}; it is the turn of {whom}"
        case ReviewRefused():
            return f"{event.actor} tried in vain to have it {event.verdict}: " + "; ".join(
                event.problems
            )
        case ReviewDecided():
            said = f": {event.comment}" if event.comment else ""
            flagged = f" (flagged: {'; '.join(event.flags)})" if event.flags else ""
            return f"{event.actor} {event.verdict} it{said}{flagged}"
        case IntentRecorded():
            return f"change announced ({event.action})" + (
                f": {event.reason}" if event.reason else ""
            )
        case RegistryTampered():
            return "registry changed by somebody else: " + "; ".join(
                d.sentence() for d in event.deviations
            )
        case VersionCopied():
            return (
                f"copied to {event.target_registry} as version {event.target_version} of "
                f"{event.target_model}, attestation verified there"
            )
        case DeploymentConfirmed():
            said = f": {event.detail}" if event.detail else ""
            return (
                f"deployed to {event.environment}: smoke test {event.smoke_test}, "
                f"{event.health}{said}"
            )
        case ChampionFailed():
            moved = ", ".join(m.sentence() for m in (*event.gates, *event.numbers, *event.inputs))
            return f"as the champion it no longer passes: {event.reason} ({moved or 'no change'})"
        case RegistryRestored():
            return "the registry agrees with the ledger again"
        case _:
            return event.kind.replace("_", " ").lower()


def _stage(version: str, history: Iterable[Recorded]) -> Stage:
    """Return the stage nearest to live traffic that the version's own entries leave it in."""
    held: dict[str, Stage] = {}
    for recorded in history:
        event = recorded.event
        if isinstance(event, StageChanged):
            held[event.segment] = event.promoted_to
        elif isinstance(event, Adopted):
            held[event.segment] = Stage.PRODUCTION
    nearest = (Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED)
    return next((stage for stage in nearest if stage in held.values()), Stage.NONE)


def _checks(last: EvaluationFinished | None) -> list[JsonValue]:
    if last is None:
        return []
    results = last.decision.get("results")
    if isinstance(results, list):
        return results
    return [gate.model_dump(mode="json") for gate in last.gates]


def _dataset(last: EvaluationFinished | None) -> dict[str, JsonValue] | None:
    if last is None:
        return None
    return {
        "digest": last.dataset_digest,
        "decided_at": last.decided_at.isoformat(),
        "policy_digest": last.policy_digest,
        "model_digest": last.model_digest,
    }


def _shadow(history: Iterable[Recorded]) -> dict[str, JsonValue] | None:
    reports = [r.event for r in history if isinstance(r.event, ShadowReported)]
    return reports[-1].to_json() if reports else None


def _champion(last: EvaluationFinished | None) -> dict[str, JsonValue] | None:
    if last is None or last.champion_version is None:
        return None
    return {
        "version": last.champion_version,
        "digest": last.champion_digest,
        "metrics": dict(last.champion_metrics),
    }


def _put_live(event: AnyEvent, version: str, segment: str) -> bool:
    match event:
        case Adopted() | RolloutCompleted():
            return (event.version, event.segment) == (version, segment)
        case StageChanged():
            return (event.version, event.segment, str(event.promoted_to)) == (
                version,
                segment,
                "Production",
            )
        case _:
            return False
