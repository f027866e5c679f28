"""Plans that change while requests run, and what of them may be seen from outside."""

from __future__ import annotations

import sys
import threading
import time
from typing import NamedTuple

from promotion_assets.policy.serving import Breaker, ShadowWorker
from promotion_assets.serving.breaker import CandidateBreaker
from promotion_assets.serving.engine import Ask, Reply
from promotion_assets.serving.events import RequestEvent, ShadowEvent
from promotion_assets.serving.shadow import Copy, ShadowLine
from promotion_assets_tests.serving.engines import (
    PAYLOAD,
    Kept,
    Nobody,
    Says,
    engine,
    generation,
    line,
)
from promotion_assets_tests.serving.plans import MODEL, arm, segment

CHANGES = 1000


class Seen(NamedTuple):
    """One answer, and the generations that held when it was asked and when it came."""

    before: int
    reply: Reply
    after: int


def test_a_thousand_plan_changes_cost_no_request_and_show_no_mixture() -> None:
    """Each answer is from the version that the plan of its moment names, whatever else happens."""
    kept = Kept()
    plans = {1: segment(stable=arm("1"))}
    for number in range(2, CHANGES + 2):
        version = str(number % 50 + 1)
        other = str(number % 50 + 51)
        plans[number] = segment(
            stable=arm(version), candidate=arm(other), share=5000, salt=f"s{number % 7}"
        )
    generations = {number: generation(number, only) for number, only in plans.items()}
    running = engine(generations[1], kept)
    seen: list[Seen] = []
    over = threading.Event()

    def _ask() -> None:
        number = 0
        while not over.is_set():
            number += 1
            before = running.generation.plan.generation
            reply = running.answer(Ask(PAYLOAD, f"r{number}", f"unit-{number}"))
            seen.append(Seen(before, reply, running.generation.plan.generation))

    # Threads that are interrupted often meet each other half way more often.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=_ask) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for number in range(2, CHANGES + 2):
            running.swap(generations[number])
            time.sleep(0.0002)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(usual)
    assert len({one.reply.generation for one in seen}) > 100
    for before, reply, after in seen:
        assert before <= reply.generation <= after
        held = plans[reply.generation]
        named = held.candidate if reply.role == "candidate" else held.stable
        assert reply.arm == named
        assert reply.predictions == [reply.arm.version]
    requests = [event for event in kept.events if isinstance(event, RequestEvent)]
    assert len(requests) == len(seen)


def test_sampled_is_written_plus_dropped_when_the_shadow_is_ten_times_too_slow() -> None:
    """At any overload nothing waits and every copied row is either written or counted."""
    kept = Kept()
    slow = line(kept, Nobody(seconds=0.002), queue=50)
    copy = Copy(
        "csv",
        b"x",
        ("a", "b"),
        "default",
        "",
        "1",
        ("1", "1"),
        (1.0, 1.0),
        1.0,
        ("f",) * 2,
        ("",) * 2,
    )
    taken = sum(slow.offer(copy) for _ in range(2000))
    slow.close(0.05)
    written = [event for event in kept.events if isinstance(event, ShadowEvent)]
    assert slow.sampled == 4000
    assert 0 < len(written) < 4000
    assert len(written) + sum(drop.number for drop in kept.drops) == 4000
    assert taken < 2000
    assert {(drop.kind, drop.arm) for drop in kept.drops} == {("shadow", "9")}


def test_a_copy_too_large_is_dropped_and_counted() -> None:
    """What would hold up a pipe is not copied."""
    kept = Kept()
    small = line(kept, Nobody(), payload_bytes=1024)
    body = b"x" * 1025
    assert not small.offer(
        Copy("csv", body, ("a",), "default", "", "1", ("1",), (1.0,), 1.0, ("f",), ("",))
    )
    small.close(5)
    assert [(drop.arm, drop.number) for drop in kept.drops] == [("9", 1)]


def test_a_shadow_that_ends_is_started_anew_and_every_copy_accounted_for() -> None:
    """The copy that it ended on is an event, and those behind it go to the next process."""
    kept = Kept()
    processes = iter([Nobody(lives=2), Nobody()])
    numbers = iter(range(1000))
    mortal = ShadowLine(
        MODEL,
        arm("9"),
        ShadowWorker(),
        lambda: next(processes),
        kept,
        lambda: 0,
        lambda: str(next(numbers)),
    )
    for n in range(6):
        mortal.offer(Copy("csv", b"", (f"r{n}",), "s", "", "1", ("1",), (1.0,), 1.0, ("f",), ("",)))
    deadline = time.monotonic() + 30
    while len(kept.events) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    mortal.close(5)
    outcomes = [(e.request_id, e.outcome) for e in kept.events if isinstance(e, ShadowEvent)]
    assert outcomes == [
        ("r0", "answered"),
        ("r1", "answered"),
        ("r2", "crashed"),
        ("r3", "answered"),
        ("r4", "answered"),
        ("r5", "answered"),
    ]
    assert mortal.restarts == 1


def test_the_breaker_opens_tries_one_and_closes() -> None:
    """Enough failures within the window open it; after a while one request tries the candidate."""
    breaker = CandidateBreaker(Breaker(failures=2, window_seconds=10, open_seconds=5))
    breaker.went(0, well=False)
    breaker.went(11, well=False)
    assert breaker.state(11) == "closed"
    breaker.went(12, well=False)
    assert (breaker.state(12), breaker.allows(16.9)) == ("open", False)
    assert (breaker.state(17), breaker.allows(17)) == ("half_open", True)
    assert not breaker.allows(17)
    breaker.went(17, well=False)
    assert (breaker.allows(21.9), breaker.allows(22)) == (False, True)
    breaker.went(22, well=True)
    assert (breaker.state(22), breaker.opened) == ("closed", 2)


def test_a_candidate_that_recovers_is_asked_again() -> None:
    """While its breaker is open the champion answers; then the candidate gets its units back."""
    kept = Kept()
    held = generation(1, segment(share=10_000))
    running = engine(held, kept, failures=1, open_seconds=0.05)
    candidate = held.models["2"]
    assert isinstance(candidate, Says)
    candidate.fails = True
    roles = [running.answer(Ask(PAYLOAD, "r", "u")).role for _ in range(2)]
    candidate.fails = False
    time.sleep(0.06)
    roles.append(running.answer(Ask(PAYLOAD, "r", "u")).role)
    assert roles == ["fallback", "fallback", "candidate"]
