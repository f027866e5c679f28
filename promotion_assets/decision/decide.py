"""The decision: all gate results of one evaluation in, one verdict with its reason out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from promotion_assets.canonical import digest_of
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.policy.model import ModelPolicy

# What is named first in the reason.
SEVERITY = (Outcome.FAILED, Outcome.ERROR, Outcome.INCONCLUSIVE)


class Frozen(BaseModel):
    """Base of the values in this module."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pins(Frozen):
    """What exactly was judged, and by what: the digests that a later reader compares.

    Attributes:
        champion_version: ``None`` where the segment had no champion.
        dataset_digest: empty where there was no dataset; such a candidate is never approved.
        code_version: version of this package, with the commit where it is known.
        environment: versions of the interpreter and of the libraries that computed.
    """

    model_digest: str
    champion_version: str | None = None
    champion_digest: str | None = None
    dataset_digest: str = ""
    policy_digest: str
    code_version: str
    environment: Mapping[str, str] = Field(default_factory=dict)


class Decision(Frozen):
    """The verdict on one candidate.

    Attributes:
        deciding_gates: the gates that stopped it, the worst first; empty when approved.
        reason: one sentence.
        results: every gate result, in the policy's order.
    """

    model: str
    version: str
    segment: str = "default"
    verdict: Literal["approved", "rejected"]
    deciding_gates: tuple[str, ...]
    reason: str = Field(min_length=1)
    pins: Pins
    decided_at: datetime
    results: tuple[GateResult, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def approved(self) -> bool:
        """Whether the candidate may go on."""
        return self.verdict == "approved"


def pins_of(evidence: Evidence, code_version: str, environment: Mapping[str, str]) -> Pins:
    """Return the pins of what ``evidence`` holds."""
    champion = evidence.champion
    return Pins(
        model_digest=evidence.candidate.digest,
        champion_version=champion.version if champion else None,
        champion_digest=champion.digest if champion else None,
        dataset_digest=evidence.dataset.digest if evidence.dataset else "",
        policy_digest=evidence.policy.digest,
        code_version=code_version,
        environment=dict(environment),
    )


def decide(
    results: Sequence[GateResult],
    policy: ModelPolicy,
    *,
    model: str,
    version: str,
    pins: Pins,
    decided_at: datetime,
    segment: str = "default",
) -> Decision:
    """Return the verdict that ``policy`` gives on ``results``.

    Approved only if every required gate of the policy has exactly one result, each was judged on
    what is pinned, and each lets the candidate through. A gate that could not judge because
    another gate refused is not named while that other one is.
    """
    ordered = _in_policy_order(results, policy)
    stopping = [*_missing(ordered, policy), *(r for r in ordered if _stops(r, policy, pins))]
    deciding = _deciding(stopping)
    problem = _unpinned(pins, policy) or _nothing_required(policy)
    if problem:
        verdict, reason = "rejected", problem
    elif stopping:
        verdict, reason = "rejected", _rejection(deciding, stopping)
    else:
        verdict, reason = "approved", _approval(ordered, policy)
    return Decision(
        model=model,
        version=version,
        segment=segment,
        verdict="approved" if verdict == "approved" else "rejected",
        deciding_gates=tuple(dict.fromkeys(r.gate for r in deciding)),
        reason=reason,
        pins=pins,
        decided_at=decided_at,
        results=tuple(ordered),
    )


def required_gates(policy: ModelPolicy) -> tuple[str, ...]:
    """Return the names of the gates without which there is no approval."""
    return tuple(name for name, stanza in policy.gates.items() if stanza.get("required", True))


def _in_policy_order(results: Sequence[GateResult], policy: ModelPolicy) -> list[GateResult]:
    order = {name: at for at, name in enumerate(policy.gates)}
    return sorted(results, key=lambda r: (order.get(r.gate, len(order)), r.gate))


def _missing(results: Sequence[GateResult], policy: ModelPolicy) -> list[GateResult]:
    """Stand-ins for the required gates that gave no result, or more than one."""
    times = Counter(result.gate for result in results)
    stand_ins = []
    for gate in required_gates(policy):
        if times[gate] != 1:
            given = "no result" if times[gate] == 0 else f"{times[gate]} results"
            stand_ins.append(
                GateResult(
                    gate=gate,
                    outcome=Outcome.ERROR,
                    reason=f"the required gate {gate} gave {given}; evaluate the version again",
                )
            )
    return stand_ins


def _stops(result: GateResult, policy: ModelPolicy, pins: Pins) -> bool:
    if result.gate not in required_gates(policy):
        return False
    if _judged_something_else(result, pins):
        return True
    if result.lets_through:
        return False
    # A warning is for data that cannot tell. Where nothing was measured there is no doubt to
    # accept, only absence, and absence is never a pass.
    warned = policy.gates[result.gate].get("on_inconclusive") == "warn"
    measured = result.observed is not None
    return not (result.outcome is Outcome.INCONCLUSIVE and warned and measured)


def _judged_something_else(result: GateResult, pins: Pins) -> bool:
    pinned = {
        "model": pins.model_digest,
        "champion": pins.champion_digest,
        "dataset": pins.dataset_digest,
        "policy": pins.policy_digest,
    }
    return any(result.inputs[name] != pinned[name] for name in pinned if name in result.inputs)


def _deciding(stopping: Sequence[GateResult]) -> list[GateResult]:
    stopped = {result.gate for result in stopping}
    causes = [r for r in stopping if r.because_of is None or r.because_of not in stopped]
    # Two gates that blame each other must not hide each other.
    chosen = causes or list(stopping)
    return sorted(chosen, key=_severity)


def _severity(result: GateResult) -> int:
    return SEVERITY.index(result.outcome) if result.outcome in SEVERITY else 1


def _rejection(deciding: Sequence[GateResult], stopping: Sequence[GateResult]) -> str:
    first = deciding[0]
    said = first.reason
    if first.lets_through:
        said = "the result was given on other evidence than is pinned; evaluate the version again"
    others = [result.gate for result in deciding[1:]]
    more = f"; also stopped by {', '.join(others)}" if others else ""
    hidden = len(stopping) - len(deciding)
    unjudged = f"; {hidden} more could not be judged because of that" if hidden else ""
    return f"{first.gate} {_verb(first)}: {said}{more}{unjudged}"


def _verb(result: GateResult) -> str:
    match result.outcome:
        case Outcome.FAILED:
            return "failed"
        case Outcome.INCONCLUSIVE:
            return "is inconclusive"
        case _:
            return "could not be judged"


def _approval(results: Sequence[GateResult], policy: ModelPolicy) -> str:
    required = required_gates(policy)
    waived = [r.gate for r in results if r.gate in required and r.outcome is Outcome.WAIVED]
    doubtful = [r.gate for r in results if r.gate in required and not r.lets_through]
    optional = [r.gate for r in results if r.gate not in required and not r.lets_through]
    words = [f"all {len(required)} required gates let it through"]
    if waived:
        words.append(f"waived: {', '.join(waived)}")
    if doubtful:
        words.append(f"inconclusive and accepted by the policy: {', '.join(doubtful)}")
    if optional:
        words.append(f"only informing: {', '.join(optional)} did not pass")
    return "; ".join(words)


def _unpinned(pins: Pins, policy: ModelPolicy) -> str:
    if pins.policy_digest != policy.digest:
        return "the policy changed while the version was judged; evaluate it again"
    if not pins.model_digest:
        return "the artifact has no digest, so nothing pins what was judged; log the model again"
    if not pins.dataset_digest:
        return "there is no evaluation dataset version, so nothing pins what it was judged on"
    return ""


def _nothing_required(policy: ModelPolicy) -> str:
    if not required_gates(policy):
        return "the policy requires no gate at all, so nothing speaks for the version"
    return ""
