"""The outbox: written with the ledger, shared out once, in both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from promotion_assets.adapters.outbox_store import DatabaseOutbox
from promotion_assets.errors import Conflict, IntegrityError, LedgerUnreachable
from promotion_assets.lifecycle.events import RolloutCompleted
from promotion_assets.notification.outgoing import outgoing
from promotion_assets.policy.notifications import Subscription
from promotion_assets_tests.ledgers import MODEL, evaluated
from promotion_assets_tests.notification.receivers import Receiver
from promotion_assets_tests.notification.worlds import OTHER, World
from promotion_assets_tests.postgres import Server, running

NAMES = count()
ALL = Subscription(name="all", url="https://hooks.example.org/", secret_env="HOOK_KEY")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server for this file."""
    with running("-F") as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def each(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A home on either database; on PostgreSQL as a role that owns nothing."""
    world = World(tmp_path / "world")
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("server")
        name = f"outbox_{next(NAMES)}"
        world.database = server.new_database(name)
        world.notifier().outbox.close()
        server.run(f"CREATE ROLE {name} LOGIN IN ROLE promotion_writer")
        world.database = server.url(name, name)
    return world


@pytest.fixture
def outbox(each: World) -> Iterator[DatabaseOutbox]:
    """Its outbox."""
    found = each.notifier().outbox
    yield found
    found.close()


def test_events_are_written_with_their_entries(each: World, outbox: DatabaseOutbox) -> None:
    """Every outgoing event of every entry is there as soon as the entry is, and no other."""
    each.adopt()
    each.judge("2", "3")
    told = [e for recorded in each.workspace().ledger.events() for e in outgoing(recorded)]
    assert outbox.depth().unshared == len(told) == 4
    assert [outbox.event(event.id) for event in told] == told


@pytest.mark.parametrize("reason", ["conflict", "impossible"])
def test_what_is_not_recorded_is_told_to_nobody(
    each: World, outbox: DatabaseOutbox, reason: str
) -> None:
    """A transaction that is refused leaves no event behind."""
    each.judge("1")
    event = evaluated("2", each.clock)
    ledger = each.workspace().ledger
    if reason == "conflict":
        with pytest.raises(Conflict):
            ledger.append([event], expect_sequence=0)
    else:
        with pytest.raises(IntegrityError):
            ledger.append([event, RolloutCompleted(model=MODEL, version="2", reason="?")])
    assert outbox.depth().unshared == 1


def test_an_event_that_cannot_be_written_takes_its_entry_with_it(world: World) -> None:
    """One transaction: a ledger entry without its notification is as impossible as the reverse."""
    world.judge("1")
    path = world.root / "home" / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON notification_events "
            "BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        connection.commit()
    with pytest.raises(LedgerUnreachable, match="full"):
        world.judge("2")
    assert world.workspace().ledger.head().size == 1


def test_events_are_shared_out_once(each: World, outbox: DatabaseOutbox) -> None:
    """Repeating it, or two dispatchers at once, makes no second delivery."""
    each.judge("1", "2")
    now = each.clock()
    assert outbox.share([ALL], now) == 2
    assert outbox.share([ALL], now) == 0
    with outbox.engine.connect() as connection:
        connection.execute(sa.text("UPDATE notification_events SET shared_at = NULL"))
        connection.commit()
    assert outbox.share([ALL], now) == 2
    assert outbox.depth().pending == {"all": 2}


def test_who_subscribes_later_is_told_of_what_comes_then(
    each: World, outbox: DatabaseOutbox
) -> None:
    """History is not sent to a new receiver."""
    each.judge("1")
    outbox.share([], each.clock())
    each.judge("2")
    outbox.share([ALL], each.clock())
    assert [d.event.version for d in outbox.heads("all")] == ["2"]


def test_one_dispatcher_at_a_time_serves_a_subscription(
    each: World, outbox: DatabaseOutbox
) -> None:
    """Until the lease ends, is given back, or its clock turns out to have been ahead."""
    now = each.clock()
    until = now + timedelta(minutes=1)
    assert outbox.lease("all", "first", now, until)
    assert outbox.lease("all", "first", now, until)
    assert not outbox.lease("all", "second", now, until)
    assert outbox.lease("other", "second", now, until)
    assert outbox.lease("all", "second", until, until + timedelta(minutes=1))
    assert not outbox.lease("all", "first", until, until + timedelta(minutes=1))
    outbox.release("all", "first")
    assert not outbox.lease("all", "first", until, until)
    outbox.release("all", "second")
    assert outbox.lease("all", "first", until, until + timedelta(minutes=1))
    assert outbox.lease("all", "third", now - timedelta(days=1), now)


def test_only_the_oldest_of_each_model_can_be_sent(each: World, outbox: DatabaseOutbox) -> None:
    """Order is kept within a model; one model does not wait for another."""
    each.judge("1", "2")
    each.judge("7", model=OTHER)
    outbox.share([ALL], each.clock())
    heads = outbox.heads("all")
    assert [(d.event.model, d.event.version) for d in heads] == [(MODEL, "1"), (OTHER, "7")]
    outbox.delivered(heads[0], each.clock())
    following = outbox.head("all", MODEL)
    assert following is not None
    assert following.event.version == "2"


def test_an_attempt_is_counted_once(each: World, outbox: DatabaseOutbox) -> None:
    """Two dispatchers that tried the same at once count one attempt; a delivery stays delivered."""
    each.judge("1")
    outbox.share([ALL], each.clock())
    (seen,) = outbox.heads("all")
    for _ in range(2):
        outbox.failed(seen, each.clock(), each.clock() + timedelta(seconds=5), "no answer")
    (again,) = outbox.heads("all")
    assert again.attempts == 1
    outbox.delivered(again, each.clock())
    outbox.failed(again, each.clock(), None, "too late")
    assert outbox.depth().delivered == {"all": 1}
    assert outbox.depth().dead == {}


def test_what_is_old_and_settled_is_forgotten(each: World, outbox: DatabaseOutbox) -> None:
    """What is pending is kept however old it is."""
    each.judge("1", "2")
    outbox.share([ALL], each.clock())
    (head,) = outbox.heads("all")
    outbox.delivered(head, each.clock())
    each.clock.advance(days=100)
    assert outbox.prune(each.clock() - timedelta(days=90)) == 1
    assert outbox.event(head.event.id) is None
    assert outbox.depth().pending == {"all": 1}


def test_depth_says_how_long_the_oldest_waits(each: World, outbox: DatabaseOutbox) -> None:
    """Shared out or not."""
    assert outbox.depth().oldest is None
    each.judge("1")
    first = each.clock()
    each.clock.advance(hours=1)
    each.judge("2")
    assert outbox.depth().oldest == first
    outbox.share([ALL], each.clock())
    (head,) = outbox.heads("all")
    outbox.delivered(head, each.clock())
    assert outbox.depth().oldest == each.clock()


def test_the_whole_way_on_postgresql(server: Server, tmp_path: Path, hook: Receiver) -> None:
    """Recorded, shared out and sent, in order."""
    world = World(tmp_path / "world", database=server.new_database(f"whole_{next(NAMES)}"))
    world.subscribe("ops", hook.url)
    world.judge(*map(str, range(1, 6)))
    assert world.deliver().delivered == 5
    assert [post.json["data"]["version"] for post in hook.posts] == list("12345")
