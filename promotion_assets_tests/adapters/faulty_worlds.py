"""A model of its own for each call to MLflow that fails: made, moved, and looked at afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.audit.verify import verify
from promotion_assets.errors import Unreachable
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
from promotion_assets.pipeline.promoting import adopt, promote, record_decision
from promotion_assets.pipeline.reconciling import reconcile_model
from promotion_assets.pipeline.watching import Watch, look_for_versions
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.faulty import Faulty, Plan
from promotion_assets_tests.ledgers import approval, evaluated, request, shadow
from promotion_assets_tests.small_models import MODEL, POLICY, Logged, register

NAMES = count()


@dataclass(frozen=True)
class Base:
    """What all attempts share: a server, a line to it, a logged model, an empty home."""

    uri: str
    line: Faulty
    logged: Logged
    folder: Path
    kept: dict[str, World] = field(default_factory=dict)
    found: dict[str, Facts] = field(default_factory=dict)


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
