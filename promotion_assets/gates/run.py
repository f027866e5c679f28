"""Running one gate: whatever happens inside, a result comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import rfc8785

from promotion_assets.canonical import canonical_json
from promotion_assets.errors import PromotionError
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import Gate, GateResult, Outcome
from promotion_assets.gates.verdict import NotJudged
from promotion_assets.policy.waivers import waiver_for

Clock = Callable[[], datetime]

# An error is a question that was not put; nobody can accept a risk that nobody has seen.
WAIVABLE = (Outcome.FAILED, Outcome.INCONCLUSIVE)


def run_gate(gate: Gate, evidence: Evidence, settings: Any, clock: Clock) -> GateResult:
    """Put ``gate``'s question and return its result, whatever happens inside.

    An exception becomes outcome ``error`` with its type and message and no traceback. A result
    that bears another gate's name, or that has no canonical form (a NaN somewhere in its
    details), is an error too. A failed or inconclusive result that the policy waives for this
    version becomes ``waived`` and keeps what was found.

    Args:
        gate: the gate.
        evidence: all that is known of the candidate.
        settings: an instance of ``gate.settings``.
        clock: returns the time now, with a time zone.
    """
    started = clock()
    dated = evidence if evidence.as_of else replace(evidence, as_of=started)
    result = _checked(gate, _evaluated(gate, dated, settings))
    ended = clock()
    result = result.model_copy(
        update={
            # A clock that is set back in between must not give a negative duration.
            "duration_seconds": max(0.0, (ended - started).total_seconds()),
            "inputs": {**result.inputs, **input_digests(evidence)},
        }
    )
    return _waived(result, evidence, ended)


def input_digests(evidence: Evidence) -> dict[str, str]:
    """Return the digests of what every gate looks at: model, champion, dataset, policy."""
    digests = {"model": evidence.candidate.digest, "policy": evidence.policy.digest}
    if evidence.champion is not None:
        digests["champion"] = evidence.champion.digest
    if evidence.dataset is not None:
        digests["dataset"] = evidence.dataset.digest
    return digests


def _evaluated(gate: Gate, evidence: Evidence, settings: Any) -> GateResult:
    try:
        return gate.evaluate(evidence, settings)
    except NotJudged as why:
        return GateResult(
            gate=gate.name,
            outcome=why.outcome,
            reason=f"{why.problem}. Next: {why.next_step}",
            because_of=why.because_of,
        )
    except PromotionError as error:
        reason = f"{error.problem}. Next: {error.next_step}"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=reason)
    except Exception as error:
        message = " ".join(str(error).split())[:500]
        reason = f"the gate itself failed: {type(error).__name__}: {message or 'no message'}"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=reason)


def _checked(gate: Gate, result: GateResult) -> GateResult:
    if not isinstance(result, GateResult):
        problem = f"the gate returned {type(result).__name__} instead of a GateResult"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=problem)
    if result.gate != gate.name:
        problem = f"the gate is called {gate.name!r} and its result says {result.gate!r}"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=problem)
    if result.outcome is Outcome.WAIVED:
        problem = "the gate waived itself; only the policy's waivers may do that"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=problem)
    try:
        canonical_json(result.model_dump(mode="json"))
    except (rfc8785.CanonicalizationError, ValueError) as error:
        problem = f"the result cannot be recorded, a value in it is not a finite number: {error}"
        return GateResult(gate=gate.name, outcome=Outcome.ERROR, reason=problem)
    return result


def _waived(result: GateResult, evidence: Evidence, now: datetime) -> GateResult:
    waiver = waiver_for(evidence.policy, result.gate, evidence.version, now.date())
    if waiver is None or result.outcome not in WAIVABLE:
        return result
    return result.model_copy(
        update={
            "outcome": Outcome.WAIVED,
            "reason": (
                f"waived by {waiver.by} until {waiver.until.isoformat()} ({waiver.reason}); "
                f"found: {result.outcome}: {result.reason}"
            ),
            "details": {
                **result.details,
                "waiver": waiver.model_dump(mode="json"),
                "waived_outcome": result.outcome.value,
            },
        }
    )
