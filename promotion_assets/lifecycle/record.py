"""Record an evaluation: the decision goes to the ledger whether it approves or rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from promotion_assets.decision.decide import Decision
from promotion_assets.errors import Conflict, IntegrityError, RegistryUnreachable, UsageError
from promotion_assets.gates.contract import GateResult
from promotion_assets.lifecycle.events import EvaluationFinished, GateSummary, Recorded
from promotion_assets.lifecycle.mirror import write_mirror
from promotion_assets.lifecycle.ports import Ledger, Registry

REASON_TAG_LENGTH = 500
# Writers of one model that may come first before this one gives up.
MOST_CONFLICTS = 20
# Measured between both versions: their baseline is the champion's value of something else.
_BETWEEN = {"improvement", "suspicious_improvement"}


def evaluation_finished(
    decision: Decision,
    *,
    auto_to_staging: bool = False,
    actor: str = "promotion",
    registered_at: datetime | None = None,
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
        registered_at=registered_at,
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


Stands = Callable[[EvaluationFinished, EvaluationFinished], bool]
"""Whether the last evaluation of a version already says what another one would."""


def same_decision(last: EvaluationFinished, new: EvaluationFinished) -> bool:
    """Whether it is the very decision."""
    return last.decision_digest == new.decision_digest


def same_question(last: EvaluationFinished, new: EvaluationFinished) -> bool:
    """Whether the same version was judged by the same, whatever came out."""
    return all(
        getattr(last, name) == getattr(new, name)
        for name in (
            "registered_at",
            "model_digest",
            "dataset_digest",
            "policy_digest",
            "champion_digest",
        )
    )


def record_evaluation(
    ledger: Ledger,
    registry: Registry,
    decision: Decision,
    *,
    auto_to_staging: bool = False,
    actor: str = "promotion",
    registered_at: datetime | None = None,
    stands: Stands = same_decision,
) -> Recorded:
    """Append ``decision`` to the ledger and tag the version with it.

    The same decision is recorded once, however often this is called. A registry that does not
    answer loses nothing: the reconciler tags the version later.

    Args:
        registered_at: when the registry took the version in.
        stands: where it says so, the version's last evaluation is returned and none is recorded.

    Raises:
        Conflict: other writers of the model came first, again and again.
        LedgerUnreachable: nothing was recorded.
    """
    event = evaluation_finished(
        decision, auto_to_staging=auto_to_staging, actor=actor, registered_at=registered_at
    )
    recorded = _recorded_once(ledger, event, stands)
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


def _recorded_once(ledger: Ledger, event: EvaluationFinished, stands: Stands) -> Recorded:
    """Append ``event`` unless the last one stands, with nobody else's in between."""
    for attempt in range(MOST_CONFLICTS):
        state = ledger.state(event.model)
        last = state.decision(event.version, event.segment)
        if last is not None and stands(last, event):
            return _entry_of(ledger, last)
        try:
            return ledger.append([event], expect_sequence=state.sequence)[0]
        except Conflict:
            if attempt == MOST_CONFLICTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _entry_of(ledger: Ledger, last: EvaluationFinished) -> Recorded:
    entry: Recorded | None = None
    for recorded in ledger.events(last.model):
        found = recorded.event
        if (
            isinstance(found, EvaluationFinished)
            and found.version == last.version
            and found.decision_digest == last.decision_digest
        ):
            entry = recorded
    if entry is None:
        raise IntegrityError(
            f"looking up the decision on {last.model} version {last.version}",
            "the ledger's state names it and no entry holds it",
            "run `promotion audit verify`, and compare with a backup",
        )
    return entry


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
