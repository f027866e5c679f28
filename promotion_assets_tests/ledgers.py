"""Ledgers and events for tests: real files, real keys, a clock that is told the time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import DatabaseLedger, open_ledger
from promotion_assets.lifecycle.events import (
    EvaluationFinished,
    GateSummary,
    ReviewDecided,
    ShadowReported,
    Stage,
)
from promotion_assets.lifecycle.promotion import adopt, promote
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request, evidence_of
from promotion_assets_tests.fakes import Clock, FakeRegistry

MODEL = "credit-risk"
DATASET = "d" * 64
POLICY = "c" * 64
SIGNER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"a key of the tests, not a secret"))


@pytest.fixture
def clock() -> Clock:
    """A clock that goes when it is told to."""
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> DatabaseLedger:
    """A ledger in a file of its own."""
    return new_ledger(tmp_path, clock)


@pytest.fixture
def registry() -> FakeRegistry:
    """An empty registry in memory."""
    return FakeRegistry()


def digest(version: str) -> str:
    """The artifact digest that tests give a version."""
    return f"{version:0>4}" * 16


def new_ledger(folder: Path, clock: Clock, name: str = "ledger.db") -> DatabaseLedger:
    """Open the ledger in ``folder``."""
    return open_ledger(f"sqlite:///{folder / name}", SIGNER, clock)


def evaluated(version: str, clock: Clock, **changes: Any) -> EvaluationFinished:
    """An approving evaluation of a version."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "verdict": "approved",
        "reason": "all 6 required gates let it through",
        "decided_at": clock(),
        "model_digest": digest(version),
        "dataset_digest": DATASET,
        "policy_digest": POLICY,
        "decision_digest": f"{version:0>4}" * 16,
        "gates": (GateSummary(gate="accuracy", outcome="passed", reason="AUC .79"),),
        "metrics": {"roc_auc": 0.79},
        "champion_metrics": {"roc_auc": 0.72},
        "tags": {"promotion.decision": "approved", "gate.accuracy.passed": "true"},
        **changes,
    }
    return EvaluationFinished(**values)


def facts(version: str, **changes: Any) -> Facts:
    """Facts under which the evaluation of :func:`evaluated` still holds."""
    values: dict[str, Any] = {
        "model_digest": digest(version),
        "dataset_digest": DATASET,
        "policy_digest": POLICY,
        "decision_ttl": timedelta(days=30),
        "predecessor": "ready",
        **changes,
    }
    return Facts(**values)


def request(version: str, to: Stage = Stage.STAGING, **changes: Any) -> Request:
    """A request of ours."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "to": to,
        "actor": "ana",
        "reason": "it is better",
        **changes,
    }
    return Request(**values)


def shadow(version: str, **changes: Any) -> ShadowReported:
    """A shadow report that passed."""
    values: dict[str, Any] = {
        "model": MODEL,
        "version": version,
        "passed": True,
        "model_digest": digest(version),
        "summary": "2 % of decisions differ over 50,000 pairs",
        "report_digest": "5" * 64,
        **changes,
    }
    return ShadowReported(**values)


def approval(
    state: ModelState, version: str, clock: Clock, *, by: str = "bo", found: Facts | None = None
) -> ReviewDecided:
    """An approval on the evidence as it stands."""
    asked = request(version, Stage.PRODUCTION)
    return ReviewDecided(
        model=MODEL,
        version=version,
        actor=by,
        verdict="approved",
        reviewed_at=clock(),
        evidence=evidence_of(state, asked, found or facts(version)),
        answers={"on-call cover": "Ana, until Friday"},
    )


def adopted(ledger: DatabaseLedger, registry: FakeRegistry, version: str = "1") -> None:
    """Take a version in as the champion."""
    adopt(
        ledger,
        registry,
        MODEL,
        version,
        model_digest=digest(version),
        actor="ana",
        reason="has been serving since 2024",
    )


def stage(ledger: DatabaseLedger, registry: FakeRegistry, version: str, clock: Clock) -> None:
    """Evaluate a version and move it to Staging."""
    ledger.append([evaluated(version, clock)])
    promote(ledger, registry, request(version), facts(version), clock())


def go_live(ledger: DatabaseLedger, registry: FakeRegistry, version: str, clock: Clock) -> None:
    """Take a version the full way into Production, where it rolls out beside a champion."""
    stage(ledger, registry, version, clock)
    ledger.append([shadow(version)])
    champion = ledger.state(MODEL).champions.get("default")
    found = facts(version, champion_digest=digest(champion) if champion else None)
    ledger.append([approval(ledger.state(MODEL), version, clock, found=found)])
    promote(ledger, registry, request(version, Stage.PRODUCTION), found, clock())
