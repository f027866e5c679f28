"""A proposed policy over all past evaluations: which decisions would flip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from promotion_assets.decision.decide import decide, pins_of
from promotion_assets.errors import EvidenceMissing
from promotion_assets.gates.catalogue import run_gate, settings_for
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline.code_version import code_version, environment
from promotion_assets.pipeline.evidence_store import load_evidence
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.model import ModelPolicy


@dataclass(frozen=True)
class Backtested:
    """One past decision under a proposed policy.

    Attributes:
        would_be: ``approved``, ``rejected``, or ``unknown`` where its evidence is gone.
        reason: why, in the proposed policy's words.
    """

    version: str
    decided_at: str
    was: str
    would_be: str
    deciding_gates: tuple[str, ...]
    reason: str

    @property
    def flips(self) -> bool:
        """Whether the verdict would be another one."""
        return self.would_be not in (self.was, "unknown")


def backtest(workspace: Workspace, model: str, proposed: ModelPolicy) -> Iterator[Backtested]:
    """Yield every past evaluation of ``model`` as ``proposed`` would have decided it."""
    for recorded in workspace.ledger.events(model):
        event = recorded.event
        if isinstance(event, EvaluationFinished):
            yield _again(workspace, event, proposed)


def _again(workspace: Workspace, event: EvaluationFinished, proposed: ModelPolicy) -> Backtested:
    when = event.decided_at.isoformat()
    try:
        evidence = load_evidence(
            workspace.home, event.model, event.version, event.decision_digest, proposed
        )
    except EvidenceMissing as error:
        return Backtested(event.version, when, event.verdict, "unknown", (), error.problem)
    results = [
        run_gate(gate, evidence, settings, workspace.clock)
        for gate, settings in settings_for(proposed).values()
    ]
    decision = decide(
        results,
        proposed,
        model=event.model,
        version=event.version,
        pins=pins_of(evidence, code_version(), environment()),
        decided_at=event.decided_at,
        segment=event.segment,
    )
    return Backtested(
        event.version,
        when,
        event.verdict,
        decision.verdict,
        decision.deciding_gates,
        decision.reason,
    )
