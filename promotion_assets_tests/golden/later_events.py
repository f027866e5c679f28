"""Events that came after the first frozen ledger: rollouts, drills, deployments, champions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promotion_assets.lifecycle.champion_events import ChampionFailed, Moved
from promotion_assets.lifecycle.drill_events import (
    DrillAnswered,
    DrillEnded,
    DrillOpened,
    DrillRefused,
    DrillReminded,
    journal_of,
)
from promotion_assets.lifecycle.events import AnyEvent, DeploymentConfirmed, RolloutStepped
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL

JOURNAL = journal_of(MODEL)


def later_events(clock: Clock) -> Iterator[Sequence[AnyEvent]]:
    """Yield one of each, in transactions that a ledger takes at any time."""
    yield [
        RolloutStepped(
            model=MODEL,
            version="3",
            action="hold",
            step=1,
            share_from=500,
            share_to=500,
            generation=2,
            at=clock(),
            reason="too few units to tell",
            statistics={"units": 412, "errors": {"verdict": "inconclusive"}},
        ),
        DeploymentConfirmed(
            model=MODEL,
            version="3",
            actor="deployment told ops",
            notification=f"evt_{'0' * 32}",
            smoke_test="passed",
            health="healthy",
            detail="https://ci.example.org/17",
            reported_at=clock(),
        ),
        ChampionFailed(
            model=MODEL,
            version="1",
            reason="AUC fell below the absolute minimum",
            decision_digest="4" * 64,
            gates=(Moved(name="accuracy", before="passed", after="failed"),),
            numbers=(Moved(name="roc_auc", before=0.83, after=0.79),),
        ),
    ]
    evidence = {"model": "6" * 64, "dataset": "7" * 64}
    drill = {"model": JOURNAL, "version": "9", "request_id": "d1"}
    yield [
        DrillOpened(
            **drill,
            evidence=evidence,
            assigned=("ana",),
            requested_at=clock(),
            expires_at=clock(),
            source_version="4",
            defect="rejected",
            told=("group high school lost .14 AUC",),
            case_digest="8" * 64,
            after_requests=2,
        ),
        DrillReminded(**drill, assigned=("ana",)),
        DrillRefused(**drill, verdict="approved", problems=("under 30 s",)),
        DrillAnswered(
            **drill, actor="ana", verdict="rejected", reviewed_at=clock(), evidence=evidence
        ),
        DrillEnded(**drill, outcome="caught", reason="ana has rejected it"),
    ]
