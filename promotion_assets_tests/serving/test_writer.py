"""The background writer: offered = written + dropped, whatever fails."""

from __future__ import annotations

import time

from promotion_assets.serving.events import Drop
from promotion_assets.serving.writer import BackgroundWriter
from promotion_assets_tests.serving.events import MODEL, outcome, request, shadow
from promotion_assets_tests.serving.followers import Store
from promotion_assets_tests.waiting import until


def begun(store: Store, **limits: int) -> BackgroundWriter:
    """Return a writer in front of the store."""
    return BackgroundWriter(store, lambda: 0, **limits)  # type: ignore[arg-type]


def test_what_is_offered_is_written_in_order() -> None:
    """Everything that waits is written, at the end too."""
    store = Store()
    writer = begun(store)
    events = [request(n) for n in range(2000)]
    assert all(writer.offer(event) for event in events)
    writer.close()
    assert store.events == events
    assert writer.written == 2000


def test_beyond_its_limits_events_are_dropped_and_counted_by_arm() -> None:
    """A store that is away keeps the queue at its limit; what it kept is written afterwards."""
    store = Store()
    store.there = False
    writer = begun(store, limit=10)
    taken = [writer.offer(request(n, version="7")) for n in range(30)]
    taken += [writer.offer(shadow(n)) for n in range(5)]
    store.tried.wait(10)
    store.there = True
    writer.close()
    assert len(store.events) == sum(taken)
    counted = {(d.kind, d.arm): d.number for d in store.drops}
    assert sum(counted.values()) == taken.count(False)
    assert set(counted) <= {("request", "7"), ("shadow", "2")}
    assert sum(writer.total_drops.values()) == taken.count(False)


def test_large_events_are_bounded_by_their_text() -> None:
    """What bounds the memory is not only how many events wait."""
    store = Store()
    store.there = False
    writer = begun(store, characters=1000)
    taken = [writer.offer(request(n, features="x" * 300)) for n in range(6)]
    assert taken[:3] == [True] * 3
    assert False in taken
    assert writer.offer(outcome(1))
    store.there = True
    writer.close()
    assert len(store.events) == sum(taken) + 1


def test_a_store_that_never_comes_back_is_given_up_at_the_end() -> None:
    """Closing ends in time, and what was not written is counted."""
    store = Store()
    store.there = False
    writer = begun(store)
    for n in range(20):
        writer.offer(request(n))
    until(lambda: writer.problem, "the store is missed")
    began = time.monotonic()
    writer.close(0.3)
    assert time.monotonic() - began < 10
    assert writer.total_drops[(MODEL, "request", "1")] == 20
    assert not writer.offer(request(99))


def test_counts_of_others_are_written_too() -> None:
    """What a shadow's queue had no room for is counted in the log."""
    store = Store()
    writer = begun(store)
    writer.dropped(Drop("", 0, MODEL, "shadow", "7", 3))
    writer.close()
    assert [(d.kind, d.arm, d.number) for d in store.drops] == [("shadow", "7", 3)]
