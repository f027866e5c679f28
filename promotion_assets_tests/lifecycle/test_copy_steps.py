"""The steps of a copy, with a target and a courier in memory that lose or change what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle import copy_identity
from promotion_assets.lifecycle.copy_identity import Identity
from promotion_assets.lifecycle.copy_values import (
    COPY_TAG,
    DatasetUse,
    Held,
    MetricPoint,
    ModelRecord,
    RunRecord,
    SourceVersion,
    differences,
)
from promotion_assets.lifecycle.copying import (
    STEPS,
    CopyPlan,
    NewVersion,
    Placed,
    Proven,
    TargetVersion,
    check_copyable,
    copy_version,
)
from promotion_assets.lifecycle.events import ReviewDecided, VersionCopied
from promotion_assets.lifecycle.fold import fold
from promotion_assets_tests import evidence as made
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, digest, evaluated

RUN = RunRecord(
    params={f"p{n}": str(n) for n in range(7)},
    tags={"team": "risk"},
    metrics=(
        MetricPoint(key="auc", value=0.8, timestamp=1, step=0, of_model=True),
        MetricPoint(key="nan", value=float("nan"), timestamp=1, step=0),
    ),
    datasets=(DatasetUse(name="d", digest="1", source_type="local", source="{}"),),
)
SOURCE = SourceVersion(
    model=MODEL,
    version="3",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    description="the third",
    tags={"ticket": "R-1", "promotion.stage": "Production"},
    run_id="r1",
    run=RUN,
    logged=ModelRecord(params={"depth": "3"}, tags={"kind": "tree"}),
    later={"r9": (MetricPoint(key="brier", value=0.1, timestamp=2, step=0),)},
)
PROVEN = Proven(
    target_digest="1" * 64,
    attestation_digest="2" * 64,
    decision_digest="3" * 64,
    keyid="k" * 64,
    statement="{}",
)


@dataclass
class Registries:
    """Source and target at once, and who packs for them: everything that a copy speaks to.

    Attributes:
        held: what the target says that it holds, where it is not what was written.
        changed: whether the courier finds other bytes there than were sent.
    """

    finished: bool = False
    held: Held | None = None
    changed: bool = False
    versions: dict[str, TargetVersion] = field(default_factory=dict)
    registered: list[NewVersion] = field(default_factory=list)
    marked: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    run_tags: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, copy: str) -> TargetVersion | None:
        return self.versions.get(copy)

    def make_run(self, source: SourceVersion, copy: str, tags: Mapping[str, str]) -> str:
        self.calls.append("make_run")
        self.run_tags = tags
        return "r2"

    def make_model(self, source: SourceVersion, copy: str, run_id: str) -> Placed:
        self.calls.append("make_model")
        return Placed(run_id=run_id, model_id="m-2", artifact_path="a", finished=self.finished)

    def write_records(self, source: SourceVersion, copy: str, placed: Placed) -> None:
        self.calls.append("write_records")
        self.held = self.held or Held(run=source.run, logged=source.logged, later=source.later)

    def read_records(self, copy: str, placed: Placed) -> Held:
        assert self.held is not None
        return self.held

    def upload(self, placed: Placed, folder: Path) -> None:
        self.calls.append(f"upload {folder}")
        self.finished = True

    def attach(self, placed: Placed, folder: Path) -> None:
        self.calls.append(f"attach {folder}")

    def download(self, placed: Placed, folder: Path) -> None:
        self.calls.append(f"download {folder.name}")

    def download_attached(self, placed: Placed, folder: Path) -> None:
        self.calls.append(f"download {folder.name}")

    def register(self, new: NewVersion, copy: str) -> str:
        self.calls.append("register")
        self.registered.append(new)
        self.versions[copy] = TargetVersion(version="7", placed=new.placed)
        return "7"

    def mark(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        self.calls.append("mark")
        self.marked |= tags

    def pack_artifact(self, plan: CopyPlan, placed: Placed) -> Path:
        return Path("packed")

    def pack_attestation(self, plan: CopyPlan, placed: Placed) -> Path:
        return Path("proof")

    def verify(self, plan: CopyPlan, placed: Placed, artifact: Path, attached: Path) -> Proven:
        if self.changed:
            raise IntegrityError(plan.doing(), "other bytes", "find out who")
        return PROVEN


class Died(Exception):
    """The process ended."""


def carry(
    world: Registries,
    ledger: DatabaseLedger,
    die_at: str | None = None,
    passed: list[str] | None = None,
    actor: str = "ana",
) -> VersionCopied:
    """Copy version 3, or what is left of it."""
    decision = evaluated("3", Clock())
    plan = CopyPlan(
        copy="c" * 64,
        source_uri="http://test",
        target_uri="http://live",
        name="credit",
        source=SOURCE,
        manifest=made.manifest({"MLmodel": b"x"}).model_copy(update={"digest": digest("3")}),
        decision=decision,
        work=Path("work"),
        actor=actor,
    )

    def _reach(point: str) -> None:
        if passed is not None:
            passed.append(point)
        if point == die_at:
            raise Died(point)

    return copy_version(plan, world, world, world, ledger, _reach)


@pytest.fixture
def judged_ledger(ledger: DatabaseLedger, clock: Clock) -> DatabaseLedger:
    """A ledger in which version 3 is approved."""
    ledger.append([evaluated("3", clock)])
    return ledger


def test_a_copy_goes_through_its_steps_in_order_and_registers_last(
    judged_ledger: DatabaseLedger,
) -> None:
    """What is registered says where it came from, and what is marked where it went."""
    world, passed = Registries(), list[str]()
    event = carry(world, judged_ledger, passed=passed)
    assert passed == [f"{side} {step}" for step in STEPS for side in ("before", "after")]
    assert world.calls == [
        *("make_run", "make_model", "write_records", "upload packed", "attach proof"),
        *("download artifact", "download attached", "register", "mark"),
    ]
    (new,) = world.registered
    assert (new.name, new.description) == ("credit", "the third")
    assert new.tags["ticket"] == "R-1"
    assert "promotion.stage" not in new.tags
    assert new.tags["promoted_from_version"] == "3"
    assert new.tags[COPY_TAG] == "c" * 64
    assert new.tags["promotion.digest"] == PROVEN.target_digest
    assert world.run_tags["source_run_id"] == "r1"
    assert world.marked["promoted_to_version"] == "7"
    assert judged_ledger.state(MODEL).copies == {"3": (event,)}
    assert (event.target_version, event.actor) == ("7", "ana")


@pytest.mark.parametrize(
    "point", [f"{side} {step}" for step in STEPS for side in ("before", "after")]
)
def test_a_copy_that_died_anywhere_is_gone_on_with_and_recorded_once(
    judged_ledger: DatabaseLedger, point: str
) -> None:
    """One version at the target, one entry in the ledger; files go there once."""
    world = Registries()
    with pytest.raises(Died, match=point):
        carry(world, judged_ledger, die_at=point)
    event = carry(world, judged_ledger, actor="bo")
    again = carry(world, judged_ledger, actor="cy")
    assert event.target_version == again.target_version == "7"
    assert len(world.registered) == 1
    assert world.calls.count("upload packed") == 1
    (held,) = judged_ledger.state(MODEL).copies["3"]
    assert held.actor == ("ana" if point == "after ledger" else "bo")


def test_other_bytes_at_the_target_are_neither_registered_nor_recorded(
    judged_ledger: DatabaseLedger,
) -> None:
    """The step is not passed, and nothing after it is begun."""
    world, passed = Registries(changed=True), list[str]()
    with pytest.raises(IntegrityError, match="other bytes"):
        carry(world, judged_ledger, passed=passed)
    assert passed[-1] == "before verification"
    assert (world.registered, world.marked) == ([], {})
    assert judged_ledger.state(MODEL).copies == {}


@pytest.mark.parametrize(("lost", "more"), [(range(2), ""), (range(7), " and 2 more")])
def test_a_target_that_lost_records_is_refused_with_the_first_of_them(
    judged_ledger: DatabaseLedger, lost: range, more: str
) -> None:
    """Five are named and the others counted; the run to delete is named too."""
    left = {k: v for k, v in RUN.params.items() if int(k[1:]) not in lost}
    run = RUN.model_copy(update={"params": left})
    world = Registries(held=Held(run=run, logged=SOURCE.logged, later=SOURCE.later))
    with pytest.raises(IntegrityError) as caught:
        carry(world, judged_ledger)
    named = "; ".join(f"parameter 'p{n}' is absent and not '{n}'" for n in list(lost)[:5])
    assert caught.value.problem == f"the target does not hold what the source does: {named}{more}"
    assert "find out who changed run r2 there" in caught.value.next_step
    assert world.registered == []


def test_long_values_are_cut_in_what_is_said_of_them() -> None:
    """A message stays readable, and says how long each value was."""
    long = SOURCE.model_copy(update={"run": RUN.model_copy(update={"params": {"q": "x" * 6001}})})
    cut = Held(
        run=RUN.model_copy(update={"params": {"q": "x" * 6000}}),
        logged=SOURCE.logged,
        later=SOURCE.later,
    )
    (said,) = differences(long, cut)
    assert said == (
        f"parameter 'q' is '{'x' * 60}'… (6000 characters) and not '{'x' * 60}'… (6001 characters)"
    )


def test_a_later_approval_or_another_versions_rejection_lets_a_version_go(clock: Clock) -> None:
    """Only what a person said last, and of this version, speaks against a copy."""

    def _said(version: str, verdict: Any) -> ReviewDecided:
        return ReviewDecided(
            model=MODEL,
            version=version,
            actor="cy",
            verdict=verdict,
            reviewed_at=clock(),
            evidence={},
            comment="not now",
        )

    history = [evaluated("3", clock), _said("2", "rejected"), _said("3", "approved")]
    state = fold(MODEL, history)
    assert check_copyable(state, "3", digest("3"), "copy it").version == "3"


def test_an_mlmodel_that_does_not_say_where_it_belongs_is_refused() -> None:
    """The word that it lacks is named."""
    with pytest.raises(IntegrityError, match="it has no run_id"):
        copy_identity.identity_of(b"model_id: m\nartifact_path: a\n")


def test_an_mlmodel_that_would_be_written_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where YAML does not give back what it was given, nothing is rewritten."""
    there = Identity(model_id="m", run_id="r", artifact_path="a")
    dump = copy_identity.yaml.safe_dump

    def _lossy(said: dict[str, Any], **options: Any) -> str:
        return dump({k: v for k, v in said.items() if k != "flavors" or not options}, **options)

    monkeypatch.setattr(copy_identity.yaml, "safe_dump", _lossy)
    with pytest.raises(IntegrityError, match="it does not survive being written again"):
        copy_identity.rewritten(b"flavors: {}\n", there)


def test_an_artifact_without_an_mlmodel_is_refused(tmp_path: Path) -> None:
    """It says why the file cannot be read."""
    with pytest.raises(IntegrityError, match="it cannot be read \\(No such file or directory\\)"):
        copy_identity.read(tmp_path)
    (tmp_path / "MLmodel").write_bytes(b"run_id: r\n")
    assert copy_identity.read(tmp_path) == b"run_id: r\n"
