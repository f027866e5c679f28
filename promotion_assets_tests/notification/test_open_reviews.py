"""How many reviews wait, as who is on call asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from promotion_assets.lifecycle.events import ReviewDecided, ReviewRequested
from promotion_assets.lifecycle.promotion import promote
from promotion_assets.pipeline.listening import Listener
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, digest, evaluated, facts, request
from promotion_assets_tests.notification.test_hearing import figures
from promotion_assets_tests.notification.worlds import OTHER, World, serving


def test_open_reviews_are_those_that_wait_for_a_person_now(world: World) -> None:
    """What was approved, rejected, moved on or ran out of time waits for nobody any more."""
    ledger, clock = world.workspace().ledger, world.clock
    name = f"promotion_reviews_open{{model={MODEL}}}"
    age = f"promotion_reviews_oldest_seconds{{model={MODEL}}}"
    with serving(Listener(world.notifier())) as url:
        assert (figures(url)[name], figures(url)[age]) == (0, 0)
        for version in ("2", "3", "4"):
            ledger.append([evaluated(version, clock)])
            promote(ledger, FakeRegistry(), request(version), facts(version), clock())
            ledger.append(
                [
                    ReviewRequested(
                        model=MODEL,
                        version=version,
                        evidence={"model": digest(version)},
                        request_id=f"r-{version}",
                        requested_at=clock(),
                        expires_at=clock() + timedelta(hours=5),
                    )
                ]
            )
            clock.advance(hours=1)
        now = figures(url)
        assert (now[name], now[age]) == (3, 3 * 3600)
        assert now[f"promotion_reviews_open{{model={OTHER}}}"] == 0
        ledger.append([voted("2", "approved", clock)])
        ledger.append([voted("3", "rejected", clock)])
        now = figures(url)
        assert (now[name], now[age]) == (1, 3600)
        clock.advance(hours=5)
        now = figures(url)
        assert (now[name], now[age]) == (0, 0)


def voted(version: str, verdict: Literal["approved", "rejected"], clock: Clock) -> ReviewDecided:
    """A vote on the evidence that was asked about."""
    return ReviewDecided(
        model=MODEL,
        version=version,
        actor="bo",
        verdict=verdict,
        evidence={"model": digest(version)},
        reviewed_at=clock(),
    )
