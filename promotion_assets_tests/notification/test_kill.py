"""Dispatchers that are killed: real processes, a real receiver, and nothing lost or renamed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from promotion_assets.pipeline.workspace import utc_now
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.notification.receivers import Post, Receiver
from promotion_assets_tests.notification.worlds import KEY, World


@pytest.fixture
def world(tmp_path: Path, hook: Receiver) -> World:
    """A home at today's time, with three events to tell of."""
    found = World(tmp_path / "world", Clock(utc_now()))
    found.subscribe("ops", hook.url)
    found.judge("1", "2", "3")
    return found


def dispatcher(world: World, hook: Receiver, point: str = "") -> subprocess.Popen[str]:
    """Start a dispatcher in a process of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    command = [sys.executable, "-m", "promotion_assets_tests.notification.killing"]
    return subprocess.Popen(
        [*command, world.workspace().database_url, hook.url, point],
        env=kept | {"HOOK_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process; return its code and what it said."""
    said, problems = process.communicate(timeout=60)
    return process.returncode, said + problems


def lease_is_over(world: World) -> None:
    """Let the dead dispatcher's lease end, which takes a minute and a half otherwise."""
    with closing(sqlite3.connect(world.root / "home" / "ledger.db")) as connection:
        ended = connection.execute(
            "UPDATE notification_leases SET until = since WHERE subscription = 'ops'"
        )
        connection.commit()
    assert ended.rowcount == 1


def test_killed_between_sending_and_noting_it_comes_twice_under_one_id(
    world: World, hook: Receiver
) -> None:
    """At least once: the receiver knows the second one by its id."""
    assert ended(dispatcher(world, hook, "sent"))[0] == -signal.SIGKILL
    assert len(hook.posts) == 1
    # Nobody else takes over while the dead one may still be at it.
    assert ended(dispatcher(world, hook)) == (0, "0\n")
    lease_is_over(world)
    assert ended(dispatcher(world, hook)) == (0, "3\n")
    first, again, *rest = hook.ids()
    assert first == again
    assert len({first, *rest}) == 3
    assert hook.posts[0].body == hook.posts[1].body


def test_killed_while_the_receiver_is_at_it_nothing_is_lost(world: World, hook: Receiver) -> None:
    """The receiver itself pulls the plug, before it answers."""
    process = dispatcher(world, hook)

    def kill(_: Post) -> None:
        hook.on_post = lambda _: None
        os.kill(process.pid, signal.SIGKILL)

    hook.on_post = kill
    assert ended(process)[0] == -signal.SIGKILL
    lease_is_over(world)
    assert ended(dispatcher(world, hook)) == (0, "3\n")
    assert len(hook.ids()) == 4
    assert len(set(hook.ids())) == 3


def test_killed_after_noting_nothing_comes_twice(world: World, hook: Receiver) -> None:
    """What is noted is not sent again."""
    assert ended(dispatcher(world, hook, "noted"))[0] == -signal.SIGKILL
    lease_is_over(world)
    assert ended(dispatcher(world, hook)) == (0, "2\n")
    assert len(hook.ids()) == len(set(hook.ids())) == 3
