"""Record an evaluation: the decision goes to the ledger whether it approves or rejects."""

from __future__ import annotations

from collections.abc import Mapping

from promotion_assets.decision.decide import Decision
from promotion_assets.errors import RegistryUnreachable, UsageError
from promotion_assets.gates.contract import GateResult
from promotion_assets.lifecycle.events import EvaluationFinished, GateSummary, Recorded
from promotion_assets.lifecycle.mirror import write_mirror
from promotion_assets.lifecycle.ports import Ledger, Registry

REASON_TAG_LENGTH = 500
# Measured between both versions: their baseline is the champion's value of something else.
_BETWEEN = {"improvement", "suspicious_improvement"}


def evaluation_finished(
    decision: Decision, *, auto_to_staging: bool = False, actor: str = "promotion"
) -> EvaluationFinished:
    """Return the event that carries ``decision``."""
    pins = decision.pins
    measured, baseline = _headlines(decision.results)
    return EvaluationFinished(
        model=decision.model,
        version=decision.version,
        segment=decision.segment,
        actor=actor,
        verdict=decision.verdict,
        deciding_gates=decision.deciding_gates,
        reason=decision.reason,
        decided_at=decision.decided_at,
        model_digest=pins.model_digest,
        dataset_digest=pins.dataset_digest,
        policy_digest=pins.policy_digest,
        champion_version=pins.champion_version,
        champion_digest=pins.champion_digest,
        gates=tuple(
            GateSummary(gate=r.gate, outcome=str(r.outcome), reason=r.reason)
            for r in decision.results
        ),
        metrics=measured,
        champion_metrics=baseline,
        tags=tags_for(decision, auto_to_staging=auto_to_staging),
        decision=decision.model_dump(mode="json"),
        decision_digest=decision.digest,
    )


def record_evaluation(
    ledger: Ledger,
    registry: Registry,
    decision: Decision,
    *,
    auto_to_staging: bool = False,
    actor: str = "promotion",
) -> Recorded:
    """Append ``decision`` to the ledger and tag the version with it.

    The same decision is recorded once, however often this is called. A registry that does not
    answer loses nothing: the reconciler tags the version later.

    Raises:
        LedgerUnreachable: nothing was recorded.
    """
    event = evaluation_finished(decision, auto_to_staging=auto_to_staging, actor=actor)
    recorded = _already(ledger, event) or ledger.append([event])[0]
    try:
        write_mirror(registry, ledger.state(event.model), [event.version])
    except (RegistryUnreachable, UsageError):
        # The decision is what counts and it is recorded; a missing tag, or a version that was
        # deleted meanwhile, is found by the reconciler.
        return recorded
    return recorded


def tags_for(decision: Decision, *, auto_to_staging: bool = False) -> dict[str, str]:
    """Return the registry tags that a decision gives a version."""
    tags = {
        "promotion.decision": decision.verdict,
        "promotion.digest": decision.pins.model_digest,
        "promotion.timestamp": decision.decided_at.isoformat(),
        "promotion.pipeline_version": decision.pins.code_version,
        "promotion.auto_to_staging": str(auto_to_staging).lower(),
    }
    for result in decision.results:
        tags[f"gate.{result.gate}.passed"] = str(result.lets_through).lower()
        tags[f"gate.{result.gate}.reason"] = result.reason[:REASON_TAG_LENGTH]
    return tags


def _already(ledger: Ledger, event: EvaluationFinished) -> Recorded | None:
    last = ledger.state(event.model).decision(event.version, event.segment)
    if last is None or last.decision_digest != event.decision_digest:
        return None
    for recorded in ledger.events(event.model):
        found = recorded.event
        if (
            isinstance(found, EvaluationFinished)
            and found.version == event.version
            and found.decision_digest == event.decision_digest
        ):
            return recorded
    return None


def _headlines(
    results: tuple[GateResult, ...],
) -> tuple[Mapping[str, float | None], Mapping[str, float | None]]:
    """Return what was measured overall of the candidate and of the champion, by name."""
    measured: dict[str, float | None] = {}
    baseline: dict[str, float | None] = {}
    for result in results:
        for measurement in result.measurements:
            if measurement.subject == "overall":
                measured.setdefault(measurement.name, measurement.observed)
                if measurement.baseline is not None and measurement.name not in _BETWEEN:
                    baseline.setdefault(measurement.name, measurement.baseline)
    return measured, baseline
