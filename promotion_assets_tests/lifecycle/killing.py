"""Kill promotions and rollbacks at every point, on real databases, and bring them back.

Run as a process of its own: it forks a child for every kill, and a fork wants a process without
threads. Points are named after what comes next or was just done: each SQL statement and commit
of the ledger, each call of the MLflow client.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.adapters.registry_mirror import MirroringRegistry
from promotion_assets.audit.verify import verify
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.fold import check_whole
from promotion_assets.lifecycle.mirror import write_mirror
from promotion_assets.lifecycle.promotion import adopt, complete_rollout, promote
from promotion_assets.lifecycle.reconcile import Reconciliation, reconcile
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import (
    MODEL,
    SIGNER,
    approval,
    digest,
    evaluated,
    facts,
    new_ledger,
    request,
    shadow,
)

VERSIONS = 8
MLFLOW_CALLS = (
    "get_registered_model",
    "get_model_version",
    "search_model_versions",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
    "transition_model_version_stage",
)
Step = Callable[["World"], ModelState]
Chosen = Callable[[str, bool], bool]


@dataclass
class World:
    """A ledger and an MLflow registry, both SQLite, in one folder."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.ledger: DatabaseLedger = new_ledger(self.folder, self.clock)
        self.registry = MirroringRegistry(f"sqlite:///{self.folder}/mlflow.db")

    def register(self) -> None:
        """Register the versions that the steps move."""
        self.registry.client.create_registered_model(MODEL)
        for _ in range(VERSIONS):
            self.registry.client.create_model_version(MODEL, source=str(self.folder))

    def let_go(self) -> None:
        """Close every connection, so that a fork inherits none."""
        self.ledger.close()
        self.registry.client._get_registry_client().store.engine.dispose()

    def save(self, name: str) -> None:
        """Keep both databases under a name."""
        for file in ("ledger.db", "mlflow.db"):
            _copy(self.folder / file, self.folder / f"{name}.{file}")

    def restore(self, name: str) -> None:
        """Bring both databases back to how they were saved."""
        for file in ("ledger.db", "mlflow.db"):
            _copy(self.folder / f"{name}.{file}", self.folder / file)
        self.ledger.close()
        self.ledger = new_ledger(self.folder, self.clock)

    def facts(self, version: str) -> Facts:
        """What is true of a version: nothing of it ever changes here."""
        champion = self.ledger.state(MODEL).champions.get("default")
        return facts(version, champion_digest=digest(champion) if champion else None)

    def promote(self, version: str, to: Stage) -> ModelState:
        """Promote a version."""
        return promote(
            self.ledger, self.registry, request(version, to), self.facts(version), self.clock()
        )

    def evaluate(self, version: str) -> None:
        """Record an approving evaluation."""
        self.ledger.append([evaluated(version, self.clock)])
        write_mirror(self.registry, self.ledger.state(MODEL), [version])

    def approve(self, version: str) -> None:
        """Record a shadow report and an approval."""
        self.ledger.append([shadow(version)])
        state = self.ledger.state(MODEL)
        self.ledger.append([approval(state, version, self.clock, found=self.facts(version))])

    def reconcile(self) -> Reconciliation:
        """Reconcile ledger and registry."""

        def _facts_of(asked: Request) -> Facts:
            return self.facts(asked.version)

        return reconcile(self.ledger, self.registry, MODEL, _facts_of, self.clock())


def to_staging(world: World) -> ModelState:
    """None to Staging."""
    return world.promote("3", Stage.STAGING)


def to_production(world: World) -> ModelState:
    """Staging to Production, beside the champion."""
    return world.promote("3", Stage.PRODUCTION)


def complete(world: World) -> ModelState:
    """The end of a rollout."""
    return complete_rollout(world.ledger, world.registry, MODEL, actor="ana", reason="baked")


def back_from_rollout(world: World) -> ModelState:
    """A rollback while the new version rolls out."""
    return rollback(world.ledger, world.registry, MODEL, actor="ana", reason="wrong prices")


def back_to_predecessor(world: World) -> ModelState:
    """A rollback after the rollout."""
    return rollback(world.ledger, world.registry, MODEL, actor="ana", reason="wrong prices")


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (to_staging, to_production, complete, back_from_rollout, back_to_predecessor)
}


def prepare(world: World) -> None:
    """Save the state before each step: version 2 is the champion, version 3 comes up."""
    adopt(
        world.ledger,
        world.registry,
        MODEL,
        "1",
        model_digest=digest("1"),
        actor="ana",
        reason="has been serving since 2024",
    )
    for version in ("2", "3"):
        world.evaluate(version)
        world.save("to_staging")
        world.promote(version, Stage.STAGING)
        world.approve(version)
        world.save("to_production")
        world.promote(version, Stage.PRODUCTION)
        world.save("complete")
        world.save("back_from_rollout")
        complete(world)
        world.save("back_to_predecessor")


class Points:
    """Counts the points that a step passes, and kills the process at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at

    def reach(self, name: str) -> None:
        """Pass a point, or die there."""
        self.names.append(name)
        if self._kill_at == len(self.names):
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, label: Callable[..., str]) -> None:
        """Put one point before and one after every call of a method."""
        inner = getattr(owner, name)

        def _outer(*args: Any, **kwargs: Any) -> Any:
            said = label(*args)
            self.reach(f"before {said}")
            result = inner(*args, **kwargs)
            self.reach(f"after {said}")
            return result

        setattr(owner, name, _outer)

    def watch(self, world: World) -> None:
        """Put points around the ledger's statements and commits and the client's calls."""
        dialect = world.ledger.engine.dialect
        for name in ("do_execute", "do_execute_no_params", "do_executemany"):
            self.around(dialect, name, lambda cursor, sql, *_: f"ledger {sql.split()[0]}")
        self.around(dialect, "do_commit", lambda *_: "ledger COMMIT")
        for name in MLFLOW_CALLS:
            self.around(world.registry.client, name, lambda *_, name=name: f"mlflow {name}")


def in_child(world: World, run: Callable[[], None], delay: float | None = None) -> int:
    """Run in a forked child, killed after ``delay`` if given; return how it ended."""
    world.let_go()
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def recover(world: World, before: list[str]) -> Reconciliation:
    """Start again after a death, and check all that must hold then."""
    found = world.reconcile()
    state = world.ledger.state(MODEL)
    assert state.intent is None, "an intent is still open"
    check_whole(state)
    assert list(state.champions) == ["default"], "no champion, or one too many"
    hashes = [entry.hash for entry in world.ledger.entries()]
    assert hashes[: len(before)] == before, "an event was lost"
    assert verify(world.ledger.entries(), [SIGNER.public_key]).valid, "the ledger is damaged"
    again = world.reconcile()
    assert not again.did_something, f"MLflow does not agree: {again}"
    return found


def at_every_point(world: World, name: str, chosen: Chosen) -> dict[str, Any]:
    """Kill one step at every chosen point that it passes; return what was counted."""
    step = STEPS[name]
    world.restore(name)
    source = world.ledger.state(MODEL)
    before = [entry.hash for entry in world.ledger.entries()]
    out = world.folder / "names.json"

    def _dry() -> None:
        points = Points(None)
        points.watch(world)
        step(world)
        out.write_text(json.dumps(points.names))

    assert in_child(world, _dry) == 0
    names: list[str] = json.loads(out.read_text())
    target = world.ledger.state(MODEL)
    assert target.stages != source.stages, f"{name} changes nothing"
    had_to_do = killed = 0
    for at, point in enumerate(names, start=1):
        if not chosen(point, at == len(names)):
            continue
        killed += 1
        world.restore(name)

        def _die(at: int = at) -> None:
            points = Points(at)
            points.watch(world)
            step(world)

        ended = in_child(world, _die)
        assert ended == -signal.SIGKILL, f"{name} did not die at {point} but ended with {ended}"
        try:
            found = recover(world, before)
            state = world.ledger.state(MODEL)
            assert state.stages in (source.stages, target.stages), "half a stage"
            assert not found.deviations, "our own half-done change is called tampering"
            if state.stages == source.stages:
                step(world)
            assert world.ledger.state(MODEL).stages == target.stages, "it cannot be done again"
        except AssertionError as error:
            raise AssertionError(f"{name} killed at point {at}, {point}: {error}") from error
        had_to_do += found.did_something
    return {"points": len(names), "kills": killed, "recoveries_with_work": had_to_do}


def every_point(name: str, last: bool) -> bool:
    """Choose all points."""
    return True


def every_state(name: str, last: bool) -> bool:
    """Choose one point for each state that a death can leave on the disk.

    Nothing is written between one call's end and the next one's beginning, so a death there
    leaves the same whichever of both points it was.
    """
    return last or name.startswith("before")


def at_random(world: World, kills: int, seed: int) -> dict[str, Any]:
    """Kill a process that promotes and rolls back without end at random moments."""
    random_ = random.Random(seed)
    had_to_do = killed = events = 0
    pace = _seconds_of_a_step(world)
    while killed < kills:
        world.restore("back_to_predecessor")
        for _ in range(5):
            before = [entry.hash for entry in world.ledger.entries()]
            delay = random_.uniform(0.3, 4.0) * pace
            ended = in_child(world, lambda: wander(world, random_.random()), delay)
            assert ended == -signal.SIGKILL, f"it ended by itself with {ended}"
            killed += 1
            had_to_do += recover(world, before).did_something
            events += len(list(world.ledger.entries())) - len(before)
    return {"kills": killed, "recoveries_with_work": had_to_do, "events": events}


def _seconds_of_a_step(world: World) -> float:
    """Return how long a step takes in a child: a slow machine needs more time to get anywhere."""
    took = []

    def _once() -> None:
        back_to_predecessor(world)

    for _ in range(3):
        world.restore("back_to_predecessor")
        began = time.monotonic()
        assert in_child(world, _once) == 0
        took.append(time.monotonic() - began)
    return sorted(took)[1]


def wander(world: World, seed: float) -> None:
    """Bring up version after version, and go back from some."""
    random_ = random.Random(seed)
    while True:
        state = world.ledger.state(MODEL)
        if "default" in state.rolling:
            (complete if random_.random() < 0.7 else back_from_rollout)(world)
            continue
        staged = state.in_stage(Stage.STAGING)
        if staged:
            world.approve(staged[-1])
            world.promote(staged[-1], Stage.PRODUCTION)
            continue
        champion = int(state.champions["default"])
        fresh = [
            str(number)
            for number in range(champion + 1, VERSIONS + 1)
            if state.stage(str(number)) is Stage.NONE
        ]
        if not fresh:
            time.sleep(60)
        world.evaluate(fresh[0])
        world.promote(fresh[0], Stage.STAGING)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        new.execute("PRAGMA synchronous = OFF")
        old.backup(new)


def main(folder: Path, kills: int, chosen: Chosen) -> None:
    """Do all of it and print the counts as one line of JSON."""
    warnings.simplefilter("ignore")
    world = World(folder)
    world.register()
    prepare(world)
    counted: dict[str, Any] = {name: at_every_point(world, name, chosen) for name in STEPS}
    counted["random"] = at_random(world, kills, seed=7)
    print(json.dumps(counted))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), {"points": every_point}.get(sys.argv[3], every_state))
