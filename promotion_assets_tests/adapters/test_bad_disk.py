"""A file system that is full or read-only, and a database that is locked: said, nothing lost."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.adapters import database
from promotion_assets.adapters.event_log import open_event_log
from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.adapters.outbox_store import open_outbox
from promotion_assets.audit.verify import verify
from promotion_assets.errors import Unreachable
from promotion_assets.evaluation.artifact import take_in
from promotion_assets.lifecycle.events import (
    EvaluationFinished,
    ReviewDecided,
    RolloutCompleted,
    Stage,
    StageChanged,
)
from promotion_assets.lifecycle.promotion import complete_rollout, promote
from promotion_assets.lifecycle.record import record_evaluation
from promotion_assets.pipeline.files import write_value
from promotion_assets.policy.notifications import Subscription
from promotion_assets_tests.decision.test_decide import all_passed, decided
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    SIGNER,
    adopted,
    approval,
    evaluated,
    facts,
    go_live,
    new_ledger,
    request,
    stage,
)
from promotion_assets_tests.serving.events import request as served

SUBSCRIPTION = Subscription(name="hook", url="https://example.org/hook", secret_env="HOOK_KEY")


@dataclass
class Desk:
    """Ledger, outbox, event log and store on one small file system."""

    disk: Path
    clock: Clock = field(default_factory=Clock)
    registry: Any = field(default_factory=FakeRegistry)

    @contextmanager
    def ledger(self) -> Iterator[DatabaseLedger]:
        """The ledger, as a process that has just started opens it."""
        opened = new_ledger(self.disk, self.clock)
        try:
            yield opened
        finally:
            opened.close()

    def events(self, kind: type) -> int:
        """How many events of a kind are recorded."""
        with self.ledger() as ledger:
            return sum(isinstance(recorded.event, kind) for recorded in ledger.events())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        reason = "no file system may be mounted here; run as root with CAP_SYS_ADMIN"
        if os.environ.get("PROMOTION_TEST_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits ten seconds for another writer here."""
    connect = database._connect
    monkeypatch.setattr(database, "_connect", lambda url, _: connect(url, 0.05))


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte is free."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    yield
    filler.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """The kernel has mounted it so, as after an error of the disk."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def locked(disk: Path) -> Iterator[None]:
    """Another process is in the middle of a write to every database."""
    others = [sqlite3.connect(path, isolation_level=None) for path in disk.glob("*.db")]
    for other in others:
        other.execute("BEGIN IMMEDIATE")
    yield
    for other in others:
        other.execute("ROLLBACK")
        other.close()


Step = Callable[[Desk], None]


def nothing(desk: Desk) -> None:
    """An empty ledger and an empty event log."""
    with desk.ledger() as ledger:
        ledger.head()
    with closing(open_event_log(f"sqlite:///{desk.disk}/events.db")) as log:
        log.write([served(9)])


def judged(desk: Desk) -> None:
    """Version 2 is approved."""
    with desk.ledger() as ledger:
        adopted(ledger, desk.registry)
        ledger.append([evaluated("2", desk.clock)])


def staged(desk: Desk) -> None:
    """Version 2 is in Staging."""
    with desk.ledger() as ledger:
        adopted(ledger, desk.registry)
        stage(ledger, desk.registry, "2", desk.clock)


def rolling(desk: Desk) -> None:
    """Version 2 rolls out beside version 1."""
    with desk.ledger() as ledger:
        adopted(ledger, desk.registry)
        go_live(ledger, desk.registry, "2", desk.clock)


def evaluate(desk: Desk) -> None:
    """Keep the evidence and record the decision."""
    decision = decided(all_passed())
    write_value(desk.disk / "evidence" / "decision.json", decision)
    with desk.ledger() as ledger:
        record_evaluation(ledger, desk.registry, decision)


def to_staging(desk: Desk) -> None:
    """Promote."""
    with desk.ledger() as ledger:
        promote(ledger, desk.registry, request("2"), facts("2"), desk.clock())


def vote(desk: Desk) -> None:
    """A reviewer approves."""
    with desk.ledger() as ledger:
        state = ledger.state(MODEL)
        ledger.append([approval(state, "2", desk.clock)], expect_sequence=state.sequence)


def complete(desk: Desk) -> None:
    """The last step of a rollout."""
    with desk.ledger() as ledger:
        complete_rollout(ledger, desk.registry, MODEL, actor="ana", reason="baked")


def tell(desk: Desk) -> None:
    """Give a receiver what is to be told."""
    with closing(open_outbox(f"sqlite:///{desk.disk}/ledger.db")) as outbox:
        outbox.share([SUBSCRIPTION], desk.clock() + timedelta(minutes=1))


def serve(desk: Desk) -> None:
    """Write down a request that was answered."""
    with closing(open_event_log(f"sqlite:///{desk.disk}/events.db", busy_seconds=0.05)) as log:
        log.write([served(1)])


def store(desk: Desk) -> None:
    """Take an artifact in."""
    source = desk.disk.parent / "artifact"
    source.mkdir(exist_ok=True)
    (source / "MLmodel").write_bytes(b"flavors: {}\n" + bytes(100_000))
    take_in(source, desk.disk / "store")


def is_evaluated(desk: Desk) -> None:
    """One decision."""
    assert desk.events(EvaluationFinished) == 1


def is_staged(desk: Desk) -> None:
    """In Staging, once."""
    with desk.ledger() as ledger:
        assert ledger.state(MODEL).stage("2") is Stage.STAGING
    assert desk.events(StageChanged) == 1


def is_voted(desk: Desk) -> None:
    """One vote."""
    assert desk.events(ReviewDecided) == 1


def is_complete(desk: Desk) -> None:
    """The new champion, once."""
    with desk.ledger() as ledger:
        assert ledger.state(MODEL).champions == {"default": "2"}
    assert desk.events(RolloutCompleted) == 1


def is_told(desk: Desk) -> None:
    """Everything is in the receiver's line once."""
    with closing(open_outbox(f"sqlite:///{desk.disk}/ledger.db")) as outbox:
        waiting = [d.event.id for d in outbox.deliveries(state="pending")]
    assert waiting
    assert len(waiting) == len(set(waiting))


def is_served(desk: Desk) -> None:
    """Both requests are there."""
    with closing(open_event_log(f"sqlite:///{desk.disk}/events.db")) as log:
        assert log.write([served(1), served(9)]) == 0


def is_stored(desk: Desk) -> None:
    """One artifact, and nothing half copied."""
    assert len(list((desk.disk / "store").iterdir())) == 1


STEPS: dict[str, tuple[Step, Step, Step]] = {
    "evaluation": (nothing, evaluate, is_evaluated),
    "promotion": (judged, to_staging, is_staged),
    "review vote": (staged, vote, is_voted),
    "rollout step": (rolling, complete, is_complete),
    "outbox": (judged, tell, is_told),
    "event log": (nothing, serve, is_served),
    "artifact": (nothing, store, is_stored),
}
HINTS = {
    "full": "space|room",
    "read-only": "permissions|writable|free space",
    "locked": "try again|check PROMOTION_EVENTS_URL",
}
BROKEN = {"full": full, "read-only": read_only, "locked": locked}
CASES = [(name, how) for name in STEPS for how in BROKEN if (name, how) != ("artifact", "locked")]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_a_disk_that_takes_nothing_is_told_and_loses_nothing(
    disk: Path, name: str, how: str
) -> None:
    """Exit code 3 in three parts, nothing recorded; once it is mended the same step is done."""
    prepare, step, is_done = STEPS[name]
    desk = Desk(disk)
    prepare(desk)
    with desk.ledger() as ledger:
        before = [entry.hash for entry in ledger.entries()]
    with BROKEN[how](disk), pytest.raises(Unreachable) as caught:
        step(desk)
    said = caught.value
    print(f"\n{name}, {how}: {said}")
    assert said.exit_code == 3
    assert all((said.doing, said.problem, said.next_step))
    assert re.search(HINTS[how], said.next_step), said
    with desk.ledger() as ledger:
        assert [entry.hash for entry in ledger.entries()] == before
    step(desk)
    is_done(desk)
    with desk.ledger() as ledger:
        assert verify(ledger.entries(), [SIGNER.public_key]).valid
