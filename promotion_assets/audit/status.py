"""Where every version stands and why, in the form that ``promotion status --json`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from promotion_assets.audit.ledger import Ledger
from promotion_assets.lifecycle.stages import ModelState


def status(ledger: Ledger, models: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the champions and versions of ``models``, of every known model where not given.

    A model that the ledger does not know yet has no champions and no versions.
    """
    names = ledger.models() if models is None else models
    return {"models": [model_status(ledger.state(name)) for name in names]}


def model_status(state: ModelState) -> dict[str, Any]:
    """Return one model's part of the status."""
    return {
        "model": state.model,
        "champions": dict(state.champions),
        "versions": [_version_status(state, version) for version in state.versions()],
    }


def _version_status(state: ModelState, version: str) -> dict[str, Any]:
    decision = state.decisions.get(version)
    return {
        "version": version,
        "stage": str(state.stage_anywhere(version)),
        "verdict": decision.verdict if decision else "pending",
        "deciding_gates": list(decision.deciding_gates) if decision else [],
        "reason": decision.reason if decision else "not evaluated yet",
        "decided_at": decision.decided_at.isoformat() if decision else None,
    }
