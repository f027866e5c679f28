"""Delivering to receivers that fail in every way, over real sockets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from promotion_assets.notification.dispatch import LEASE_SECONDS, Dispatcher
from promotion_assets.policy.notifications import Notifications
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.receivers import Receiver, receiver
from promotion_assets_tests.notification.worlds import OTHER, World


def versions(hook: Receiver, model: str = MODEL) -> list[str]:
    """The versions that a receiver was told of, in order."""
    told = [post.json["data"] for post in hook.posts]
    return [about["version"] for about in told if about["model"] == model]


def until_done(world: World, hours: float = 1.0, most: int = 60) -> int:
    """Deliver until nothing is pending, letting time pass; return how many rounds it took."""
    for number in range(1, most):
        world.deliver()
        depth = world.notifier().outbox.depth()
        if not depth.unshared and not depth.pending:
            return number
        world.clock.advance(hours=hours)
    raise AssertionError("something is pending for ever")


def test_everything_arrives_in_order_and_once(world: World, hook: Receiver) -> None:
    """In the order of the ledger, under ids that are all different."""
    world.subscribe("ops", hook.url)
    for n in range(1, 11):
        world.judge(str(n), model=OTHER if n % 3 == 0 else MODEL)
    assert world.deliver().delivered == 10
    assert [post.json["data"]["version"] for post in hook.posts] == [str(n) for n in range(1, 11)]
    assert len(set(hook.ids())) == 10
    assert world.deliver().delivered == 0
    assert len(hook.posts) == 10


@pytest.mark.parametrize("failure", [500, 503, 429, "close"])
def test_what_fails_is_tried_again_later_under_the_same_id(
    world: World, hook: Receiver, failure: int | str
) -> None:
    """Not before its time; what is behind it waits, so that the order stays."""
    world.subscribe("ops", hook.url)
    hook.answers = [failure, failure, 200]
    world.judge("1", "2")
    assert len(world.deliver().problems) == 1
    assert world.deliver().turns == ()
    world.clock.advance(seconds=5)
    assert len(world.deliver().problems) == 1
    world.clock.advance(seconds=5)
    assert world.deliver().turns == ()
    world.clock.advance(seconds=5)
    assert world.deliver().delivered == 2
    assert versions(hook) == ["1", "1", "1", "2"]
    assert len(set(hook.ids())) == 2


def test_a_closed_port_is_tried_again(world: World) -> None:
    """Nobody listens; when somebody does, everything comes."""
    with receiver() as gone:
        url, port = gone.url, gone.port
    world.subscribe("ops", url)
    world.judge("1")
    assert world.deliver().problems == (
        "ops: the connection to 127.0.0.1 failed (ConnectionRefusedError)",
    )
    with receiver() as back:
        world.policy["subscriptions"][0]["url"] = back.url
        assert back.port != port
        world.clock.advance(minutes=1)
        assert world.deliver().delivered == 1


def test_a_receiver_that_hangs_delays_nobody(world: World, hook: Receiver) -> None:
    """Neither a transition meanwhile, nor other receivers, nor the round beyond its limit."""
    world.policy["timeout_seconds"] = 2.0
    with receiver() as hanging:
        hanging.answers = ["hang"]
        world.subscribe("a-hanging", hanging.url)
        world.subscribe("b-quick", hook.url)
        world.judge(*map(str, range(1, 9)))
        arrived = threading.Event()
        hanging.on_post = lambda _: arrived.set()
        began = time.monotonic()
        round_ = threading.Thread(target=world.deliver)
        round_.start()
        assert arrived.wait(10)
        writing = time.monotonic()
        world.judge("9")
        assert time.monotonic() - writing < 1.5
        round_.join(20)
        took = time.monotonic() - began
        assert took < 8
        assert versions(hook)[:8] == [str(n) for n in range(1, 9)]
        assert len(hanging.posts) == 1


def test_a_poisoned_receiver_ends_in_dead_letters_and_blocks_no_other(
    world: World, hook: Receiver
) -> None:
    """After the policy's limit it is given up, visibly; the other one has everything."""
    world.policy["max_attempts"] = 4
    with receiver() as poisoned:
        poisoned.answers = [500]
        world.subscribe("poisoned", poisoned.url)
        world.subscribe("sound", hook.url)
        world.judge("1", "2")
        until_done(world)
        depth = world.notifier().outbox.depth()
        assert (depth.dead, depth.delivered) == ({"poisoned": 2}, {"sound": 2})
        assert versions(poisoned) == ["1"] * 4 + ["2"] * 4
        dead = world.notifier().outbox.deliveries(state="dead")
        assert {letter.problem for letter in dead} == {"127.0.0.1 answered 500"}
        poisoned.answers = [200]
        assert world.notifier().outbox.revive("poisoned") == 2
        assert world.deliver().delivered == 2


def test_one_message_that_is_refused_holds_up_its_model_shortly(
    world: World, hook: Receiver
) -> None:
    """A 400 is tried five times and not for a day; other models go on at once."""
    world.subscribe("ops", hook.url)
    world.judge("1", "2")
    world.judge("7", model=OTHER)
    hook.answers = [400]
    world.deliver()
    world.deliver()
    assert versions(hook) == ["1"]
    assert versions(hook, OTHER) == ["7"]
    assert until_done(world, hours=0.1) < 20
    assert world.notifier().outbox.depth().dead == {"ops": 3}
    assert versions(hook) == ["1"] * 5 + ["2"] * 5


def test_a_receiver_may_ask_for_time(world: World, hook: Receiver) -> None:
    """Retry-After is heeded, up to the policy's longest wait."""
    world.subscribe("ops", hook.url)
    hook.answers = [429, 200]
    hook.headers = {"Retry-After": "600"}
    world.judge("1")
    world.deliver()
    world.clock.advance(seconds=599)
    assert world.deliver().turns == ()
    world.clock.advance(seconds=1)
    assert world.deliver().delivered == 1


def test_a_clock_that_is_set_back_holds_nothing_up(world: World, hook: Receiver) -> None:
    """A wait and a lease that began in the future do not count; ids stay, nothing is lost."""
    world.subscribe("ops", hook.url)
    hook.answers = [500, 200]
    world.judge("1")
    world.deliver()
    world.notifier().outbox.lease(
        "ops", "a dispatcher that died", world.clock(), world.clock.now.replace(year=2030)
    )
    world.clock.advance(days=-30)
    world.judge("2")
    assert world.deliver().delivered == 2
    assert versions(hook) == ["1", "1", "2"]
    assert len(set(hook.ids())) == 2


def test_several_dispatchers_at_once_send_nothing_twice(world: World, hook: Receiver) -> None:
    """Four at a time over one subscription: each id once, in order."""
    world.subscribe("ops", hook.url)
    world.judge(*map(str, range(1, 31)))
    together = threading.Barrier(4)

    def deliver() -> None:
        notifier = world.notifier()
        together.wait(10)
        notifier.deliver()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    world.deliver()
    assert versions(hook) == [str(n) for n in range(1, 31)]
    assert len(set(hook.ids())) == len(hook.posts)


def test_a_round_ends_when_its_time_is_over(world: World, hook: Receiver) -> None:
    """A sensor's tick is limited: what is left is for the next one."""
    world.subscribe("ops", hook.url)
    world.judge("1", "2", "3")
    left = iter([True, True, False])
    assert world.notifier().deliver(lambda: next(left)).delivered == 2
    assert world.deliver().delivered == 1


def test_a_defect_of_the_sender_stops_nobody_else(world: World) -> None:
    """Whatever is raised for one subscription, the others are served, and it is told shortly."""
    world.subscribe("a-broken", "https://hooks.example.org/")
    world.subscribe("b-sound", "https://hooks.example.org/")
    world.judge("1")
    sent: list[str] = []

    def send(subscription: Any, _event: Any) -> None:
        if subscription.name == "a-broken":
            raise RuntimeError("planted-detail")
        sent.append(subscription.name)

    notifier = world.notifier()
    dispatcher = Dispatcher(
        outbox=notifier.outbox,
        limits=Notifications(),
        send=send,
        clock=world.clock,
        chance=lambda: 0.5,
        holder="a test",
    )
    done = dispatcher.round(notifier.subscriptions())
    assert sent == ["b-sound"]
    assert done.problems == ("a-broken: a defect of the sender (RuntimeError)",)


def dispatching(world: World, send: Callable[[], None]) -> Dispatcher:
    """A dispatcher of the world's outbox that sends by calling ``send``."""
    return Dispatcher(
        outbox=world.notifier().outbox,
        limits=Notifications(),
        send=lambda _subscription, _event: send(),
        clock=world.clock,
        chance=lambda: 0.5,
        holder="slow",
    )


def lease_by_another(world: World) -> bool:
    """Whether another dispatcher may now deliver to the subscription."""
    until = world.clock() + timedelta(seconds=LEASE_SECONDS)
    return world.notifier().outbox.lease("ops", "another", world.clock(), until)


def test_a_slow_turn_stays_the_only_one_at_its_subscription(world: World) -> None:
    """A turn that outlasts its lease renews it in time, and gives it back at the end."""
    world.subscribe("ops", "https://hooks.example.org/")
    world.judge("1", "2", "3", "4")
    let_in: list[bool] = []

    def send() -> None:
        world.clock.advance(seconds=LEASE_SECONDS / 2)
        let_in.append(lease_by_another(world))

    done = dispatching(world, send).round(world.notifier().subscriptions())
    assert done.delivered == 4
    assert let_in == [False] * 4
    assert lease_by_another(world)


def test_a_dispatcher_that_was_held_up_leaves_the_rest_to_its_successor(world: World) -> None:
    """What it sent counts; another has taken over meanwhile, so nothing is sent by both."""
    world.subscribe("ops", "https://hooks.example.org/")
    world.judge("1", "2", "3")

    def send() -> None:
        world.clock.advance(seconds=LEASE_SECONDS + 1)
        assert lease_by_another(world)

    done = dispatching(world, send).round(world.notifier().subscriptions())
    assert (done.delivered, done.problems) == (1, ())
    outbox = world.notifier().outbox
    assert outbox.depth().pending == {"ops": 2}
    until = world.clock() + timedelta(seconds=LEASE_SECONDS)
    assert not outbox.lease("ops", "a third one", world.clock(), until)
