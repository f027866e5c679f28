"""Freeze a ledger of this release: ``python -m promotion_assets_tests.golden.make_ledger 0.1``.

Run once a release that changes what is written; what was frozen before is never made anew.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from promotion_assets.adapters.keys import public_pem
from promotion_assets.adapters.ledger_store import DatabaseLedger, open_ledger
from promotion_assets.audit.checkpoint import Checkpointer, FilePlace
from promotion_assets.audit.status import status
from promotion_assets.errors import RegistryUnreachable
from promotion_assets.lifecycle.events import (
    AccessRecorded,
    ReviewDecided,
    ReviewRefused,
    ReviewReminded,
    ReviewRequested,
    Stage,
    VersionCopied,
)
from promotion_assets.lifecycle.promotion import complete_rollout, promote
from promotion_assets.lifecycle.reconcile import reconcile
from promotion_assets.lifecycle.rollback import clear_latch, rollback
from promotion_assets.lifecycle.transitions import Facts, Request
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.golden.later_events import later_events
from promotion_assets_tests.ledgers import (
    MODEL,
    SIGNER,
    adopted,
    digest,
    evaluated,
    facts,
    go_live,
    request,
    stage,
)


def make(folder: Path) -> None:
    """Write a ledger with every kind of event, its checkpoints, its public key and its status."""
    folder.mkdir(parents=True)
    clock, registry = Clock(), FakeRegistry()
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db", SIGNER, clock)
    checkpointer = Checkpointer(ledger, SIGNER, [FilePlace(folder / "checkpoints")])
    adopted(ledger, registry)
    for version in ("2", "3"):
        clock.advance(days=1)
        go_live(ledger, registry, version, clock)
        complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked for 24 h")
        checkpointer.publish()
    clock.advance(hours=3)
    rollback(ledger, registry, MODEL, actor="on-call", reason="declines doubled since noon")
    clear_latch(ledger, MODEL, digest("3"), actor="bo", reason="the cause was the load balancer")
    ledger.append([evaluated("4", clock, verdict="rejected", deciding_gates=("fairness",))])
    stage(ledger, registry, "5", clock)
    ledger.append([ReviewRequested(model=MODEL, version="5", evidence={"model": digest("5")})])
    ledger.append(
        [
            ReviewReminded(model=MODEL, version="5", request_id="r5", what="reminder"),
            ReviewRefused(model=MODEL, version="5", verdict="approved", problems=("too fast",)),
            AccessRecorded(model=MODEL, what="token_issued", reviewer="cy"),
        ]
    )
    rejected = ReviewDecided(
        model=MODEL,
        version="5",
        actor="cy",
        verdict="rejected",
        reviewed_at=clock(),
        evidence={"model": digest("5")},
        comment="the gain does not justify the risk",
    )
    ledger.append([rejected])
    archive = request("5", Stage.ARCHIVED, cause="rejected", reason="rejected by cy")
    promote(ledger, registry, archive, facts("5"), clock())
    registry.aliases["champion"] = "5"
    reconcile(ledger, registry, MODEL, _facts_of, clock())
    reconcile(ledger, registry, MODEL, _facts_of, clock(), on_bypass="revert")
    stage(ledger, registry, "6", clock)
    ledger.append([evaluated("7", clock)])
    ledger.append([_copied("7")])
    registry.fail_at = {1}
    _half_done(ledger, registry, clock)
    rollback(ledger, registry, MODEL, actor="on-call", reason="and once more", to="1")
    for events in later_events(clock):
        ledger.append(events)
    checkpointer.publish()
    ledger.append([evaluated("1", clock, model="отток клиентов")])
    status_now = status(ledger)
    ledger.close()
    (folder / "status.json").write_text(json.dumps(status_now, indent=1, ensure_ascii=False) + "\n")
    with closing(sqlite3.connect(folder / "ledger.db")) as database:
        (folder / "ledger.sql").write_text("\n".join(database.iterdump()) + "\n")
    (folder / "ledger.db").unlink()
    raw = bytes.fromhex(SIGNER.public_key.keyval["public"])
    (folder / "ledger.pub").write_bytes(public_pem(Ed25519PublicKey.from_public_bytes(raw)))


def _facts_of(asked: Request) -> Facts:
    return facts(asked.version)


def _copied(version: str) -> VersionCopied:
    return VersionCopied(
        model=MODEL,
        version=version,
        actor="ana",
        source_registry="https://mlflow.dev.example.org",
        target_registry="https://mlflow.example.org",
        target_model="credit",
        target_version="1",
        target_run_id="e" * 32,
        model_digest=digest(version),
        target_digest="1" * 64,
        content_digest="2" * 64,
        decision_digest=digest(version),
        attestation_digest="3" * 64,
    )


def _half_done(ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock) -> None:
    try:
        promote(ledger, registry, request("7"), facts("7"), clock())
    except RegistryUnreachable:
        return
    raise AssertionError("the registry was to fail")


if __name__ == "__main__":
    make(Path(__file__).parent / f"ledger-{sys.argv[1]}")
