"""A server that follows the plan: what it cannot follow changes nothing, and it says why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.serving.engine import Ask
from promotion_assets.serving.follower import PRUNE_SECONDS, Follower
from promotion_assets.serving.writer import BackgroundWriter
from promotion_assets_tests.serving.engines import PAYLOAD, Kept, engine, generation
from promotion_assets_tests.serving.followers import Plans, Source, Store, planned
from promotion_assets_tests.serving.plans import arm, segment
from promotion_assets_tests.waiting import until

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass
class Made:
    """A follower that has not been started, and what is around it."""

    follower: Follower
    plans: Plans
    source: Source
    store: Store

    @property
    def metrics(self) -> str:
        return self.follower.engine.metrics.text().decode()

    def follow(self, number: int, **changes: Any) -> None:
        """Have the ledger say another plan, and look at it once."""
        self.plans.found = planned(number, **changes)
        self.follower.poll()


@pytest.fixture
def made() -> Iterator[Made]:
    """A server at generation 3, whose champion is version 1."""
    store, source, plans = Store(), Source(), Plans(planned(3))
    writer = BackgroundWriter(store, lambda: 0)  # type: ignore[arg-type]
    follower = Follower(
        engine(generation(3, segment()), Kept()),
        plans,
        source,
        store,  # type: ignore[arg-type]
        writer,
        worker="host:1",
        now=lambda: NOW,
        seconds=0.01,
    )
    yield Made(follower, plans, source, store)
    follower.close(5)


def test_a_ledger_that_is_not_what_was_signed_changes_nothing(made: Made) -> None:
    """The plan that holds goes on; health and metrics say why until the ledger is whole again."""
    made.plans.found = IntegrityError("reading the ledger", "entry 4 is forged", "look at it")
    made.follower.poll()
    assert "entry 4 is forged" in made.follower.standing.problem
    assert made.follower.engine.generation.plan.generation == 3
    assert "promotion_plan_refused 1.0" in made.metrics
    made.follow(4)
    assert made.follower.standing.problem == ""
    assert made.follower.engine.generation.plan.generation == 4
    assert "promotion_plan_refused 0.0" in made.metrics


def test_a_plan_older_than_the_one_that_holds_is_refused(made: Made) -> None:
    """A ledger that was put back must not put the traffic back with it."""
    made.follow(2, stable=arm("9"))
    said = made.follower.standing
    assert said.refused == 2
    assert "the ledger says generation 2 after 3, and generations only grow" in said.problem
    assert made.follower.engine.answer(Ask(PAYLOAD, "r")).arm == arm("1")


def test_what_breaks_on_the_way_to_a_plan_is_logged_and_tried_again_later(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that nobody foresaw is kept from the requests, and not met at each poll."""
    made.source.broken["2"] = MemoryError("no room for it")
    made.follow(4, stable=arm("2"))
    assert made.follower.standing.refused == 4
    assert made.follower.standing.problem == "no room for it"
    assert "following generation 4" in caplog.text
    assert made.follower.engine.answer(Ask(PAYLOAD, "r")).arm == arm("1")
    made.source.broken.clear()
    made.follower.poll()
    assert made.follower.engine.generation.plan.generation == 3
    made.follower._retry = 0.0
    made.follower.poll()
    assert made.follower.engine.answer(Ask(PAYLOAD, "r")).arm == arm("2")


def test_a_version_to_go_back_to_that_cannot_be_had_stops_no_plan(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in health and log, and who answers is not held up by it."""
    caplog.set_level(logging.INFO)
    made.source.broken["8"] = IntegrityError("loading", "its bytes are others", "do not use it")
    made.follow(4, previous=arm("8"), share=2500, shadow_share=100)
    held = made.follower.engine.generation
    assert held.plan.generation == 4
    assert sorted(held.models) == ["1", "2"]
    assert any("version 8, to go back to, is not ready" in note for note in held.notes)
    assert "generation 4: version 8, to go back to" in caplog.text
    assert "default: version 1, 25 % version 2, shadow version 3" in caplog.text


def test_a_shadow_that_the_plan_no_longer_names_is_closed(made: Made) -> None:
    """Its line takes no more copies, and the metrics lose it."""
    made.follow(4, shadow_share=10_000)
    (line,) = made.follower.engine.lines.values()
    assert line.waiting == 0
    made.follow(5)
    assert not made.follower.engine.lines
    until(lambda: not line._thread.is_alive(), "the shadow's line ends")


def test_a_follower_outlives_what_its_ledger_does(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that is none of the platform's is logged, and the next plan is followed."""
    made.plans.found = RuntimeError("a driver's fault")
    made.follower.start()
    until(lambda: made.plans.reads > 1, "it polls again")
    made.plans.found = planned(4)
    until(lambda: made.follower.engine.generation.plan.generation == 4, "it follows")
    assert "a driver's fault" in caplog.text
    until(lambda: made.store.said[-1].generation == 4, "it says so")
    made.follower.close(5)
    assert not made.follower._thread.is_alive()
    assert made.store.left == ["host:1"]


def test_an_event_log_that_is_away_is_told_again(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be said is said at the next look, and what was said is not said twice."""
    made.store.there = False
    made.follower.acknowledge()
    assert made.store.said == []
    made.store.there = True
    for _ in range(2):
        made.follower.acknowledge()
    assert [(s.worker, s.generation) for s in made.store.said] == [("host:1", 3)]
    assert json.loads(made.store.said[0].digests) == {"1": arm("1").digest}
    made.store.there = False
    made.follower.close(1)
    assert "it is away" in caplog.text
    made.store.there = True


def test_old_events_are_removed_once_an_hour(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    """By the policy's retention; a log that is away is asked an hour later."""
    caplog.set_level(logging.INFO)
    made.follower._prune()
    assert made.store.pruned == []
    made.store.there = False
    made.follower._pruned -= PRUNE_SECONDS
    made.follower._prune()
    assert "it is away" in caplog.text
    made.store.there = True
    made.follower._prune()
    assert made.store.pruned == []
    made.follower._pruned -= PRUNE_SECONDS
    made.follower._prune()
    assert made.store.pruned == [NOW - timedelta(days=190)]
    assert "7 events from before 2026-04-26 removed" in caplog.text


def test_a_follower_that_was_never_started_is_closed_all_the_same(made: Made) -> None:
    """What waits is written, its thread ends, and the log knows that the process has ended."""
    made.follower.close(1)
    assert made.store.left == ["host:1"]
    assert not made.follower.writer._thread.is_alive()
