"""Every single call to MLflow fails once, in some way: each operation is done or says why not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_assets.errors import Conflict, Unreachable
from promotion_assets.pipeline.promoting import facts_now
from promotion_assets_tests.adapters.faulty_worlds import CASES, Base, Step, World, reconcile
from promotion_assets_tests.faulty import Fault, Faulty, Plan
from promotion_assets_tests.registries import one_server
from promotion_assets_tests.small_models import log_both, write_dataset

# A call that was not carried out, and one that was and whose answer did not arrive.
REFUSED: tuple[Fault, ...] = ("500", "503", "429", "html")
LOST: tuple[Fault, ...] = ("dropped", "dropped", "slow")

# Of an operation with more calls the first of each kind fails, in one way each, unless all are
# asked for.
MANY = 12
EVERY_CALL = bool(os.environ.get("PROMOTION_TEST_EVERY_CALL"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """A server, and everything that need not be made for each attempt."""
    folder = tmp_path_factory.mktemp("faulty")
    with one_server(folder / "server") as uri:
        write_dataset(folder)
        made = Base(uri, Faulty(uri), log_both(uri)[0], folder)
        empty = World(made, folder / "template")
        assert empty.workspace.ledger.head().size == 0
        empty.workspace.ledger.close()
        yield made
        made.line.close()


@pytest.fixture(scope="module", autouse=True)
def _asked_once(base: Base) -> None:
    """Let MLflow's client ask what it asks once in a process, and learn what is true here."""
    base.found["first"] = facts_now(World(base, base.folder / "first").evaluator, "1")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is tried twice, so that one that fails has failed."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")


def kind_of(call: str, world: World) -> str:
    """Return what a call does: its method and path without names and numbers."""
    # One file of a folder stands for all of them.
    path = re.sub(r"(?<=/mlflow-artifacts/)(.*)/[^/]*$", r"\1/*", call.partition("?")[0])
    return re.sub(r"m-[0-9a-f]{32}|[0-9a-f]{32}", "*", path).replace(world.model, "*")


def chosen(calls: list[str], world: World) -> list[int]:
    """Return which calls fail: all, or where there are many the first of each kind."""
    if EVERY_CALL or len(calls) <= MANY:
        return list(range(1, len(calls) + 1))
    kinds: dict[str, list[int]] = {}
    for number, call in enumerate(calls, start=1):
        kinds.setdefault(kind_of(call, world), []).append(number)
    return sorted(found[0] for found in kinds.values())


def faults(number: int) -> tuple[Fault, ...]:
    """Return how a call fails: before or after it is carried out, in turns, or both if asked."""
    both = (REFUSED[number // 2 % len(REFUSED)], LOST[number // 2 % len(LOST)])
    return both if EVERY_CALL else both[number % 2 : number % 2 + 1]


@pytest.mark.parametrize("name", CASES)
def test_each_call_that_fails_leaves_it_done_or_refused_and_a_second_try_completes_it(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Exit code 3 in three parts, or done; the second try has the one effect that was wanted."""
    make, step, is_done = CASES[name]
    dry = make(base, tmp_path / "dry")
    calls = base.line.begin(Plan()).calls
    step(dry)
    numbers = chosen(list(calls), dry)
    is_done(dry)
    assert numbers
    refused = failed = 0
    for number in numbers:
        for fault in faults(number):
            base.line.begin(Plan())
            world = make(base, tmp_path / f"{number}-{fault}")
            plan = base.line.begin(Plan(at=number, fault=fault, slow_seconds=3))
            try:
                with monkeypatch.context() as waiting:
                    if fault == "slow":
                        # A loaded host may be late with other answers as well.
                        waiting.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
                    refused += attempt(world, step)
                # The count was seen to be one less than in the dry run, so that the last call may
                # not be made.
                assert len(plan.failed) == 1 or fault == "slow" or number > len(calls) - 3
                failed += len(plan.failed)
                base.line.begin(Plan())
                try_again(world, step)
                world.whole()
                is_done(world)
            except Exception as error:
                raise AssertionError(f"{name}: call {number}, {plan.failed}, {fault}") from error
            world.workspace.ledger.close()
    base.line.begin(Plan())
    assert failed >= len(numbers) - 2
    print(f"\n{name}: {len(calls)} calls, {len(numbers)} of them failed, {refused} refusals")


def try_again(world: World, step: Step) -> None:
    """Do it again; where the change is announced already, as the refusal says what to do then."""
    if world.workspace.ledger.state(world.model).intent is not None and step is not reconcile:
        try:
            step(world)
        except Conflict as error:
            told = error.next_step
        else:
            return
        assert "promotion reconcile" in told
        reconcile(world)
    step(world)


def attempt(world: World, step: Step) -> bool:
    """Do it while a call fails; return whether it was refused, and check what it says."""
    try:
        step(world)
    except Unreachable as error:
        said = error
    else:
        return False
    assert said.exit_code == 3
    assert all((said.doing, said.problem, said.next_step))
    return True
