"""Every single call to MLflow fails once, in some way: each operation is done or says why not."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.audit.verify import verify
from promotion_assets.errors import Conflict, Unreachable
from promotion_assets.lifecycle.copy_values import COPY_TAG
from promotion_assets.lifecycle.events import (
    Adopted,
    EvaluationFinished,
    RolledBack,
    Stage,
    StageChanged,
    VersionCopied,
)
from promotion_assets.lifecycle.promotion import adopt as adopt_version
from promotion_assets.lifecycle.promotion import complete_rollout
from promotion_assets.lifecycle.promotion import promote as move
from promotion_assets.lifecycle.reconcile import reconcile as reconciled
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.transitions import Facts
from promotion_assets.pipeline.copying import Order, copy_to
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import adopt, facts_now, promote, record_decision
from promotion_assets.pipeline.reconciling import reconcile_model
from promotion_assets.pipeline.watching import Watch, look_for_versions
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.faulty import Fault, Faulty, Plan
from promotion_assets_tests.ledgers import approval, evaluated, request, shadow
from promotion_assets_tests.registries import one_server
from promotion_assets_tests.small_models import (
    MODEL,
    POLICY,
    Logged,
    log_both,
    register,
    write_dataset,
)

# A call that was not carried out, and one that was and whose answer did not arrive.
REFUSED: tuple[Fault, ...] = ("500", "503", "429", "html")
LOST: tuple[Fault, ...] = ("dropped", "dropped", "slow")
NAMES = count()

# Of an operation with more calls the first of each kind fails, in one way each, unless all are
# asked for.
MANY = 12
EVERY_CALL = bool(os.environ.get("PROMOTION_TEST_EVERY_CALL"))


@dataclass(frozen=True)
class Base:
    """What all attempts share: a server, a line to it, a logged model, an empty home."""

    uri: str
    line: Faulty
    logged: Logged
    folder: Path
    kept: dict[str, World] = field(default_factory=dict)
    found: dict[str, Facts] = field(default_factory=dict)


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


@dataclass
class World:
    """A model of its own at the server, and a platform of its own that knows only this one."""

    base: Base
    folder: Path
    versions: int = 1
    like: World | None = None
    cursor: Watch = field(default_factory=Watch)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = self.like.model if self.like else f"model-{next(NAMES)}"
        self.copy = f"copy-{next(NAMES)}"
        self.folder.mkdir(parents=True)
        template = (self.like.folder if self.like else self.base.folder / "template") / "home"
        if template.exists():
            shutil.copytree(template, self.folder / "home")
        policy = POLICY.format(minimum=0.6, improvement=-0.5, staging="true")
        policy = policy.replace(f"  {MODEL}:", f"  {self.model}:")
        dataset = self.base.folder / "evaluation.parquet"
        config = self.folder / "promotion.yaml"
        config.write_text(policy.replace("evaluation.parquet", str(dataset)))
        self.workspace = Workspace.open(
            home=self.folder / "home",
            config=config,
            environ={"MLFLOW_TRACKING_URI": self.base.line.uri},
        )
        for _ in range(0 if self.like else self.versions):
            register(self.base.uri, self.base.logged, self.model)

    @property
    def evaluator(self) -> Evaluator:
        """A new evaluator, which remembers nothing."""
        return Evaluator(self.workspace, self.model)

    def facts(self, champion: bool = False) -> Facts:
        """What is true of every version here; that the champion answers was proven elsewhere."""
        found = self.base.found["first"]
        return found.model_copy(
            update={
                "policy_digest": self.workspace.policy_digests[self.model],
                "predecessor": "ready",
                "champion_digest": found.model_digest if champion else None,
            }
        )

    def approve(self, version: str) -> None:
        """Record an approving decision on what is true now."""
        now = self.facts()
        self.workspace.ledger.append(
            [
                evaluated(
                    version,
                    self.workspace.clock,
                    model=self.model,
                    model_digest=now.model_digest,
                    dataset_digest=now.dataset_digest,
                    policy_digest=now.policy_digest,
                )
            ]
        )

    def client(self) -> MlflowClient:
        """A client on which nothing goes wrong."""
        return MlflowClient(self.base.uri, self.base.uri)

    def aliases(self) -> dict[str, str]:
        """The aliases at the server."""
        found = self.client().get_registered_model(self.model).aliases
        return {str(alias): str(version) for alias, version in found.items()}

    def tags(self, version: str = "1") -> dict[str, str]:
        """The tags of a version at the server."""
        return dict(self.client().get_model_version(self.model, version).tags)

    def events(self, kind: type) -> list[object]:
        """What the ledger holds of one kind."""
        return [r.event for r in self.workspace.ledger.events() if isinstance(r.event, kind)]

    def whole(self) -> None:
        """Check what holds after everything: a sound ledger, which MLflow shows."""
        ledger = self.workspace.ledger
        registry, now = self.workspace.registry, self.workspace.clock()
        found = reconciled(ledger, registry, self.model, lambda _: self.facts(), now)
        assert found.agrees, found
        state = ledger.state(self.model)
        assert state.intent is None
        key = self.workspace.signer.public_key
        assert verify(ledger.entries(), [key]).valid
        champion = state.champions.get("default")
        assert self.aliases().get("champion") == champion
        for version in state.versions():
            assert self.tags(version).get("promotion.stage") == str(state.stage(version))


Make = Callable[[Base, Path], World]
Step = Callable[[World], None]


def plain(base: Base, folder: Path) -> World:
    """One registered version that nobody has looked at."""
    return World(base, folder)


def judged(base: Base, folder: Path) -> World:
    """One version that was taken in and decided on; the decision is not recorded."""
    world = World(base, folder)
    world.evaluator.take("1")
    world.evaluator.decide("1")
    return world


def approved(base: Base, folder: Path) -> World:
    """One version with an approving decision in the ledger."""
    world = World(base, folder)
    world.approve("1")
    return world


def proven(base: Base, folder: Path) -> World:
    """A home with a version that was really judged, and approved."""
    if "proven" not in base.kept:
        world = World(base, base.folder / "proven")
        evaluator = world.evaluator
        evaluator.take("1")
        evaluator.inputs.take_dataset()
        evaluator.score("1")
        for gate in evaluator.gates:
            evaluator.judge("1", gate)
        assert evaluator.decide("1").approved
        record(world)
        world.workspace.ledger.close()
        base.kept["proven"] = world
    return World(base, folder, like=base.kept["proven"])


def half_moved(base: Base, folder: Path) -> World:
    """One version whose promotion stopped when MLflow did not take its alias."""
    world = approved(base, folder)
    world.base.line.begin(Plan(on="registered-models/alias"))
    with pytest.raises(Unreachable):
        to_staging(world)
    assert world.workspace.ledger.state(world.model).intent is not None
    return world


def serving(base: Base, folder: Path) -> World:
    """Version 1 was adopted, version 2 came after it the whole way and is the champion."""
    world = reviewed(base, folder)
    to_production(world)
    ledger, registry = world.workspace.ledger, world.workspace.registry
    complete_rollout(ledger, registry, world.model, actor="ana", reason="baked")
    return world


def reviewed(base: Base, folder: Path) -> World:
    """Version 1 was adopted, version 2 is in Staging and approved by a person."""
    world = World(base, folder, versions=2)
    ledger, registry = world.workspace.ledger, world.workspace.registry
    digest, clock = world.facts().model_digest, world.workspace.clock
    take_in = {"model_digest": digest, "actor": "ana", "reason": "serves since 2024"}
    adopt_version(ledger, registry, world.model, "1", **take_in)
    world.approve("2")
    found = world.facts(champion=True)
    move(ledger, registry, request("2", model=world.model), found, clock())
    ledger.append([shadow("2", model=world.model, model_digest=digest)])
    vote = approval(ledger.state(world.model), "2", clock, found=found)
    ledger.append([vote.model_copy(update={"model": world.model})])
    return world


def take(world: World) -> None:
    """Take the version in."""
    taken = world.evaluator.take("1")
    assert taken.problems == ()
    assert taken.artifact is not None
    assert taken.signature is not None


def record(world: World) -> None:
    """Record the decision."""
    evaluator = world.evaluator
    record_decision(evaluator, evaluator.decision("1"))


def to_staging(world: World) -> None:
    """Move the version to Staging."""
    promote(world.evaluator, "1", Stage.STAGING, actor="ana")


def to_production(world: World) -> None:
    """Move version 2 to Production, where it rolls out."""
    workspace = world.workspace
    asked = request("2", Stage.PRODUCTION, model=world.model)
    found = world.facts(champion=True)
    move(workspace.ledger, workspace.registry, asked, found, workspace.clock())


def take_over(world: World) -> None:
    """Adopt version 1."""
    adopt(world.evaluator, "1", actor="ana", reason="has been serving since 2024")


def go_back(world: World) -> None:
    """Go back to the champion before."""
    workspace = world.workspace
    rollback(workspace.ledger, workspace.registry, world.model, actor="ana", reason="complaints")
    workspace.checkpointer.publish()


def reconcile(world: World) -> None:
    """Bring ledger and MLflow together."""
    reconcile_model(world.workspace, world.model)


def look(world: World) -> None:
    """Look for new versions, as the sensor does; its cursor moves only where it ends well."""
    found, world.cursor = look_for_versions(
        world.workspace, [world.model], world.cursor, lambda: (), most=25
    )
    world.asked += [question.version for question in found]


def copy(world: World) -> None:
    """Copy the version to another registry, which is the same server under another address."""
    target = MlflowCopyTarget(world.base.line.uri.replace("127.0.0.1", "localhost"))
    copy_to(world.workspace, target, Order(world.model, "1", target.uri, world.copy, "ana"))


def once(world: World, kind: type, version: str = "1") -> None:
    """Check that the ledger says it once of a version."""
    said = [event for event in world.events(kind) if vars(event)["version"] == version]
    assert len(said) == 1, said


def is_taken(world: World) -> None:
    """The version is known, whole."""
    candidate = world.evaluator.candidate("1")
    assert candidate.problems == ()
    assert candidate.digest == world.facts().model_digest


def is_recorded(world: World) -> None:
    """One decision, and its tags."""
    once(world, EvaluationFinished)
    assert world.tags()["promotion.decision"] == "rejected"


def is_staged(world: World) -> None:
    """In Staging, moved there once."""
    assert world.workspace.ledger.state(world.model).stage("1") is Stage.STAGING
    once(world, StageChanged)
    assert world.aliases()["shadow"] == "1"


def is_rolling(world: World) -> None:
    """Rolling out beside the champion, moved there once."""
    state = world.workspace.ledger.state(world.model)
    assert (state.champions, state.rolling) == ({"default": "1"}, {"default": "2"})
    assert world.aliases() == {"champion": "1", "challenger": "2"}
    moved = [vars(event) for event in world.events(StageChanged)]
    to = [event["promoted_to"] for event in moved if event["version"] == "2"]
    assert to == [Stage.STAGING, Stage.PRODUCTION]


def is_adopted(world: World) -> None:
    """The champion, adopted once."""
    assert world.workspace.ledger.state(world.model).champions == {"default": "1"}
    once(world, Adopted)
    (event,) = world.events(Adopted)
    assert vars(event)["model_digest"] == world.facts().model_digest


def is_back(world: World) -> None:
    """The champion before is the champion, gone back to once."""
    assert world.workspace.ledger.state(world.model).champions == {"default": "1"}
    assert len(world.events(RolledBack)) == 1


def is_asked(world: World) -> None:
    """One run was asked for."""
    assert world.asked == ["1"]


def is_copied(world: World) -> None:
    """One version and one run of it there, and one entry here."""
    client = world.client()
    (version,) = client.search_model_versions(f"name = '{world.copy}'")
    once(world, VersionCopied)
    experiment = client.get_run(version.run_id).info.experiment_id
    of = f"tags.source_version = '1' AND tags.`{COPY_TAG}` = '{version.tags[COPY_TAG]}'"
    assert len(client.search_runs([experiment], of)) == 1


CASES: dict[str, tuple[Make, Step, Step]] = {
    "evaluate: take in": (plain, take, is_taken),
    "evaluate: record": (judged, record, is_recorded),
    "promote to Staging": (approved, to_staging, is_staged),
    "promote to Production": (reviewed, to_production, is_rolling),
    "reconcile": (half_moved, reconcile, is_staged),
    "sensor tick": (plain, look, is_asked),
    "copy": (proven, copy, is_copied),
    "adopt": (plain, take_over, is_adopted),
    "rollback": (serving, go_back, is_back),
}


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
