"""Versions that cannot be had or cannot answer, and whose fault a failing request is."""

from __future__ import annotations

import pytest

from promotion_assets.errors import IntegrityError, RequestRefused
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column
from promotion_assets.serving.engine import NOT_ASKED, Ask, Engine
from promotion_assets.serving.events import RequestEvent
from promotion_assets.serving.generation import build
from promotion_assets.serving.model import Answer, ModelFailed
from promotion_assets.serving.payload import Payload, read_invocation
from promotion_assets.serving.plan import Arm, SegmentPlan
from promotion_assets_tests.serving.engines import PAYLOAD, Kept, Says, engine, generation
from promotion_assets_tests.serving.followers import Source, planned
from promotion_assets_tests.serving.plans import arm, segment


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
