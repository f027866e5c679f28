"""A server that follows the plan: what it cannot follow changes nothing, and it says why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.errors import IntegrityError, RequestRefused, StorageUnreachable
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column
from promotion_assets.serving.engine import NOT_ASKED, Ask, Engine
from promotion_assets.serving.events import Acknowledgement, Drop, Logged, RequestEvent
from promotion_assets.serving.follower import PRUNE_SECONDS, Follower
from promotion_assets.serving.generation import build
from promotion_assets.serving.model import Answer, ModelFailed, Planned
from promotion_assets.serving.payload import Payload, read_invocation
from promotion_assets.serving.plan import Arm, SegmentPlan
from promotion_assets.serving.writer import BackgroundWriter
from promotion_assets_tests.serving.plans import arm, plan, segment
from promotion_assets_tests.serving.servers import until
from promotion_assets_tests.serving.test_swap import PAYLOAD, Kept, Says, engine, generation

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass
class Store:
    """An event store that can be away."""

    there: bool = True
    said: list[Acknowledgement] = field(default_factory=list)
    pruned: list[datetime] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def write(self, events: Sequence[Logged], drops: Sequence[Drop] = ()) -> int:
        return len(events)

    def acknowledge(self, said: Acknowledgement) -> None:
        self._look()
        self.said.append(said)

    def leave(self, model: str, worker: str) -> None:
        self._look()
        self.left.append(worker)

    def prune(self, model: str, before: datetime) -> int:
        self._look()
        self.pruned.append(before)
        return 7

    def _look(self) -> None:
        if not self.there:
            raise StorageUnreachable("writing to the event log", "it is away", "start it")


@dataclass
class Plans:
    """What the ledger says: a plan, or why there is none."""

    found: Planned | Exception
    reads: int = 0

    def read(self) -> Planned:
        self.reads += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@dataclass
class Source:
    """Loads models that say their version, but for those that cannot be had."""

    broken: dict[str, Exception] = field(default_factory=dict)
    signature: Signature | None = None

    def directory(self, arm: Arm) -> Path:
        raise AssertionError("nobody asks for it here")

    def load(self, arm: Arm) -> Says:
        if arm.version in self.broken:
            raise self.broken[arm.version]
        model = Says(arm)
        model.signature = self.signature  # type: ignore[assignment]
        return model


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


def planned(number: int, **changes: Any) -> Planned:
    """Return generation ``number`` of the plan."""
    return Planned(plan(segment(**changes), generation=number), number)


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


def named(*columns: str) -> Signature:
    """Return a signature of numbers."""
    inputs = tuple(Column(name=name, type="double", required=True) for name in columns)
    return Signature(kind="columns", inputs=inputs)


class Refuses(Says):
    """A version that cannot answer, as a fault of its own or of the request."""

    def __init__(self, of: Arm, error: Exception, signature: Signature | None = None) -> None:
        super().__init__(of)
        self.error = error
        self.signature = signature  # type: ignore[assignment]

    def answer(self, payload: Payload) -> Answer:
        raise self.error


def test_a_version_is_tried_before_anybody_gets_its_answers() -> None:
    """With a request that was answered if there is one: then its refusal is the plan's end."""

    class One(Source):
        def load(self, arm: Arm) -> Says:
            return Refuses(arm, ModelFailed("it broke"), named("x"))

    with pytest.raises(IntegrityError) as caught:
        build(planned(1), One(), None, PAYLOAD)
    said = str(caught.value)
    assert "trying version 1 with a request that was answered" in said
    assert "it broke" in said
    assert "the plan that held before still does" in said
    untold = build(planned(1), One(), None, None)
    assert untold.notes == ("version 1 did not answer made-up values: it broke",)
    assert untold.milliseconds == {"1": 0.0}
    nameless = build(planned(1), Source(), None, None)
    assert nameless.notes == ("version 1 has no signature and was not tried",)
    assert build(planned(1), Source(signature=named("x")), None, None).notes == ()


def test_a_champion_that_cannot_be_had_ends_the_plan() -> None:
    """Only the version to go back to may be missing."""
    gone = IntegrityError("loading", "its bytes are others", "do not use it")
    with pytest.raises(IntegrityError, match="its bytes are others"):
        build(planned(1, previous=arm("8")), Source({"1": gone}), None, None)


def swapped(running: Engine, version: str, model: Says) -> None:
    """Put a model in another one's place in the generation that holds."""
    running.generation.models[version] = model  # type: ignore[index]


def candidate() -> SegmentPlan:
    """Return a segment whose candidate answers everybody."""
    return segment(share=10_000)


def test_a_request_that_only_the_champion_takes_counts_against_the_candidate() -> None:
    """It is answered; after a few of them the candidate is not asked any more."""
    kept = Kept()
    running = engine(generation(1, candidate()), kept, failures=2, open_seconds=1000)
    unfit = RequestRefused("reading", "the model needs y", "send it", 400)
    swapped(running, "2", Refuses(arm("2"), unfit))
    roles = [running.answer(Ask(PAYLOAD, f"r{n}", "unit")).role for n in range(3)]
    assert roles == ["fallback"] * 3
    errors = [event.error for event in kept.events if isinstance(event, RequestEvent)]
    assert errors == ["the model needs y", "the model needs y", NOT_ASKED]
    assert running.breakers[arm("2").digest].opened == 1


def test_a_request_that_nobody_takes_is_no_fault_of_the_candidate() -> None:
    """The caller is told what the champion says, and the breaker stays closed."""
    running = engine(generation(1, candidate()), Kept(), failures=1, open_seconds=1000)
    unfit = RequestRefused("reading", "the model needs y", "send it", 400)
    for version in ("1", "2"):
        swapped(running, version, Refuses(arm(version), unfit))
    for _ in range(3):
        with pytest.raises(RequestRefused, match="the model needs y"):
            running.answer(Ask(PAYLOAD, "r", "unit"))
    assert running.breakers[arm("2").digest].opened == 0


def test_a_breaker_that_closes_while_a_request_waits_lets_it_through() -> None:
    """Two requests at a half open breaker: the second sees what the first has found."""
    running = engine(generation(1, candidate()), Kept(), failures=1, open_seconds=10)
    breaker = running.breakers[arm("2").digest]
    breaker.went(0.0, well=False)
    assert breaker.state(5.0) == "open"
    assert not breaker.allows(5.0)
    assert breaker.state(11.0) == "half_open"
    assert breaker.allows(11.0)
    assert not breaker.allows(11.0)
    real = breaker._lock

    class Awaited:
        """Lets somebody else be faster."""

        def __enter__(self) -> None:
            breaker._lock = real
            breaker.went(11.5, well=True)
            real.acquire()

        def __exit__(self, *_: object) -> None:
            real.release()

    breaker._lock = Awaited()  # type: ignore[assignment]
    assert breaker.allows(12.0)
    assert breaker.state(12.0) == "closed"


def test_rows_without_named_columns_are_hashed_by_their_body() -> None:
    """A form that only the model can take apart, and more answers than rows, have one hash."""
    kept = Kept()
    running = engine(generation(1, segment()), kept)
    lists = read_invocation(b'{"inputs": {"a": [1, 2], "b": [1]}}', "application/json")
    one = read_invocation(b'{"inputs": {"a": 1}}', "application/json")

    class Two(Says):
        def answer(self, payload: Payload) -> Answer:
            return Answer([1, 2], [1.0, 2.0])

    swapped(running, "1", Two(arm("1")))
    for payload in (lists, one):
        kept.events.clear()
        running.answer(Ask(payload, "r"))
        events = [event for event in kept.events if isinstance(event, RequestEvent)]
        assert [event.request_id for event in events] == ["r/0", "r/1"]
        assert len({event.features_hash for event in events}) == 1
        assert {event.features for event in events} == {""}


def test_exposures_that_are_forgotten_keep_their_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process remembers so many units; what it writes twice the log takes once, by its id."""
    monkeypatch.setattr("promotion_assets.serving.recorder.REMEMBERED_UNITS", 2)
    kept = Kept()
    running = engine(generation(1, candidate()), kept)
    for unit in ("a", "a", "b", "c", "a"):
        running.answer(Ask(PAYLOAD, "r", unit))
    ids = [e.event_id for e in kept.events if e.event_id.startswith("exposure-")]
    assert len(ids) == 4
    assert ids[3] == ids[0]
    assert len(set(ids)) == 3


def test_a_follower_that_was_never_started_is_closed_all_the_same(made: Made) -> None:
    """What waits is written, its thread ends, and the log knows that the process has ended."""
    made.follower.close(1)
    assert made.store.left == ["host:1"]
    assert not made.follower.writer._thread.is_alive()
