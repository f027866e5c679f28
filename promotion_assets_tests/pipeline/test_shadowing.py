"""When a shadow begins and ends, and which of its reports the ledger keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import EvidenceMissing, IntegrityError
from promotion_assets.lifecycle.events import ShadowReported, Stage, TrafficPlanned
from promotion_assets.lifecycle.promotion import promote
from promotion_assets.lifecycle.transitions import check_transition, shadow_problems
from promotion_assets.pipeline.shadow_reporting import (
    keep_report,
    make_report,
    recorded_report,
    report_path,
    shadow_status,
)
from promotion_assets.pipeline.shadowing import keep_shadows
from promotion_assets.policy.model import Group
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.serving.plan import SegmentPlan
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, digest, facts, new_ledger, request, stage
from promotion_assets_tests.rollout.shadows import (
    FakeLog,
    microseconds,
    outcome_frame,
    shadow_frame,
)


class NoCheckpoints:
    """Publishes nothing."""

    def publish(self) -> None:
        """Do nothing."""


@dataclass
class Stanza:
    """The part of a model's policy that shadows are judged by."""

    shadow: ShadowPolicy
    task: str = "binary"
    groups: tuple[Group, ...] = ()


@dataclass
class World:
    """A real ledger with champion 1, a clock, a policy and a log in memory."""

    home: Path
    clock: Clock = field(default_factory=Clock)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    checkpointer: NoCheckpoints = field(default_factory=NoCheckpoints)
    log: FakeLog = field(default_factory=FakeLog)
    policy: Stanza = field(
        default_factory=lambda: Stanza(ShadowPolicy(sampling=0.25, label_delay_days=1))
    )
    champion: bool = True
    ledger: DatabaseLedger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = new_ledger(self.home, self.clock)
        if self.champion:
            adopted(self.ledger, self.registry)

    @property
    def store(self) -> Path:
        return self.home / "store"

    def policy_of(self, model: str) -> Stanza:
        assert model == MODEL
        return self.policy

    def change(self, **stanza: Any) -> None:
        """Change the policy on shadows."""
        held = self.policy.shadow.model_dump()
        self.policy = Stanza(ShadowPolicy.model_validate({**held, **stanza}))

    def stage(self, version: str) -> None:
        """Bring a version to Staging, and keep the shadows."""
        stage(self.ledger, self.registry, version, self.clock)
        self.keep()

    def keep(self) -> tuple[str, ...]:
        """Begin and end shadows."""
        return keep_shadows(self, MODEL)  # type: ignore[arg-type]

    def withdraw(self, version: str) -> None:
        """Archive a version from Staging."""
        asked = request(version, Stage.ARCHIVED, cause="withdrawn", reason="not any more")
        promote(self.ledger, self.registry, asked, facts(version), self.clock())

    @property
    def segment(self) -> SegmentPlan:
        """The default segment's plan."""
        plan = self.ledger.state(MODEL).traffic
        assert plan is not None
        return plan.segments[0]

    def pairs(self, n: int = 1500, *, seed: int = 1, noise: float = 0.02, **columns: Any) -> None:
        """Let three days of pairs of version 2 be logged, ending now."""
        rng = np.random.default_rng(seed)
        one = rng.beta(2, 5, n)
        two = np.clip(one + rng.normal(0, noise, n), 0, 1)
        before = self.log.frames.get("shadow")
        begin = 0 if before is None else len(before)
        now = microseconds(self.clock.now)
        times = (now - np.linspace(72, 0.01, n) * 3.6e9).astype(np.int64)
        frame = shadow_frame(
            one, two, begin=begin, time_us=times, shadow_digest=digest("2"), **columns
        )
        self.log.frames["shadow"] = frame if before is None else pd.concat([before, frame])

    def report(self) -> ShadowReported | None:
        """Make the report of version 2 and keep it."""
        made = make_report(self, self.log, MODEL, "2")  # type: ignore[arg-type]
        return keep_report(self, made)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose ledger is closed in the end."""
    made = World(tmp_path)
    yield made
    made.ledger.close()


def test_a_version_in_staging_becomes_the_shadow_once(world: World) -> None:
    """It is planned with the policy's share and a salt of its own; again changes nothing."""
    world.stage("2")
    planned = world.segment
    assert planned.shadow is not None
    assert (planned.shadow.version, planned.shadow.digest) == ("2", digest("2"))
    assert planned.shadow_share == 2500
    assert planned.shadow_salt.startswith("shadow:credit-risk:default:2@")
    before = world.ledger.state(MODEL).sequence
    assert world.keep() == ()
    assert world.ledger.state(MODEL).sequence == before


def test_the_newest_version_is_the_shadow_and_the_displaced_one_is_told(world: World) -> None:
    """Another version in Staging takes the place, under another salt, and the plan says so."""
    world.stage("2")
    salt = world.segment.shadow_salt
    stage(world.ledger, world.registry, "3", world.clock)
    (said,) = world.keep()
    assert "version 3 is the shadow of 25 %" in said
    assert "in the place of version 2" in said
    assert world.segment.shadow_salt != salt
    last = [r.event for r in world.ledger.events(MODEL)][-1]
    assert isinstance(last, TrafficPlanned)
    assert (last.cause, last.reason) == ("shadow", said)


def test_a_shadow_ends_with_its_stage_and_the_next_newest_follows(world: World) -> None:
    """Archived it is gone from the plan at once; what is left in Staging comes back."""
    world.stage("2")
    world.stage("3")
    world.withdraw("3")
    assert world.segment.shadow is None
    world.keep()
    assert world.segment.shadow is not None
    assert world.segment.shadow.version == "2"


def test_a_policy_that_waives_the_shadow_ends_it(world: World) -> None:
    """With a reason in the policy nothing is copied any more, and the plan gives the reason."""
    world.stage("2")
    world.change(waive="there is no live traffic to copy")
    (said,) = world.keep()
    assert said.endswith("the policy waives it: there is no live traffic to copy")
    assert (world.segment.shadow, world.segment.shadow_share) == (None, 0)
    assert shadow_status(world, MODEL) == ()  # type: ignore[arg-type]


def test_another_share_keeps_the_shadow_and_its_salt(world: World) -> None:
    """More copies of the same sample: those that were copied before still are."""
    world.stage("2")
    salt = world.segment.shadow_salt
    world.change(sampling=1.0)
    assert "copies of 100 % of the requests" in world.keep()[0]
    assert (world.segment.shadow_share, world.segment.shadow_salt) == (10_000, salt)


def test_without_a_champion_there_is_nothing_to_copy(tmp_path: Path) -> None:
    """A model that nobody serves has no plan, and a report says what is missing."""
    made = World(tmp_path, champion=False)
    made.stage("2")
    assert made.ledger.state(MODEL).traffic is None
    with pytest.raises(EvidenceMissing, match="has no champion"):
        made.report()
    made.ledger.close()


def test_a_report_that_passed_is_recorded_once_and_opens_the_way(world: World) -> None:
    """Recorded with its digest; the same verdict again is none; Production asks for no more."""
    world.stage("2")
    world.clock.advance(days=4)
    world.pairs()
    asked = request("2", Stage.PRODUCTION)
    found = facts("2", champion_digest=digest("1"), shadow_rules=world.policy.shadow.rules_digest)
    assert list(shadow_problems(world.ledger.state(MODEL), asked, found)) == [
        "no shadow report is recorded, and the policy does not waive it"
    ]
    recorded = world.report()
    assert recorded is not None
    assert (recorded.passed, recorded.outcome, recorded.pairs) == (True, "passed", 1500)
    assert list(shadow_problems(world.ledger.state(MODEL), asked, found)) == []
    world.pairs(seed=2)
    assert world.report() is None


def test_what_is_kept_is_what_was_recorded(world: World) -> None:
    """The kept report has the ledger's digest; a lost one is read from the ledger; edits show."""
    world.stage("2")
    world.clock.advance(days=4)
    world.pairs()
    recorded = world.report()
    assert recorded is not None
    found = recorded_report(world, recorded)  # type: ignore[arg-type]
    assert found is not None
    assert found.digest == recorded.report_digest
    path = report_path(world, recorded.report_digest)  # type: ignore[arg-type]
    kept = path.read_text()
    path.unlink()
    short = world.ledger.state(MODEL).shadows[("default", "2")]
    assert short.report == {}
    assert recorded_report(world, short) == found  # type: ignore[arg-type]
    path.write_text(kept.replace('"pairs": 1500', '"pairs": 9999'))
    with pytest.raises(IntegrityError, match="not what the ledger recorded"):
        recorded_report(world, recorded)  # type: ignore[arg-type]


def test_until_there_is_a_verdict_nothing_is_recorded(world: World) -> None:
    """No traffic and too little time leave the ledger alone; harm is recorded when it shows."""
    world.stage("2")
    assert world.report() is None
    world.pairs(100)
    assert world.report() is None
    world.pairs(3000, noise=0.5)
    recorded = world.report()
    assert recorded is not None
    assert (recorded.passed, recorded.outcome) == (False, "failed")


def test_a_report_that_saw_less_takes_nothing_away(world: World) -> None:
    """A clock that went back, or a log that was pruned, leaves the recorded report standing."""
    world.stage("2")
    world.clock.advance(days=4)
    world.pairs()
    assert world.report() is not None
    world.clock.advance(days=-3)
    assert world.report() is None
    world.clock.advance(days=3)
    world.log.frames.clear()
    assert world.report() is None
    assert world.ledger.state(MODEL).shadows[("default", "2")].passed


def test_another_policy_or_champion_voids_what_was_recorded(world: World) -> None:
    """A report by other rules, or against another champion, opens no way until it is made anew."""
    world.stage("2")
    world.clock.advance(days=4)
    world.pairs()
    assert world.report() is not None
    asked = request("2", Stage.PRODUCTION)
    state = world.ledger.state(MODEL)
    world.change(minimum_pairs=5000)
    rules = world.policy.shadow.rules_digest
    found = facts("2", champion_digest=digest("1"), shadow_rules=rules)
    assert list(shadow_problems(state, asked, found)) == [
        "the policy asks something else of a shadow by now"
    ]
    moved = facts("2", champion_digest=digest("7"), shadow_rules=rules)
    assert list(shadow_problems(state, asked, moved)) == [
        "its shadow report holds it against another champion"
    ]
    with pytest.raises(Exception, match="asks something else of a shadow"):
        check_transition(state, asked, found, world.clock())
    again = world.report()
    assert again is not None
    assert not again.passed


def test_labels_are_joined_when_they_have_matured(world: World) -> None:
    """Outcomes that the log holds are part of the report, by the policy's delay."""
    world.stage("2")
    world.clock.advance(days=4)
    world.pairs()
    frame = world.log.frames["shadow"]
    labels = np.random.default_rng(4).random(len(frame)) < frame["production_score"]
    world.log.frames["outcome"] = outcome_frame(frame, labels, after_days=0.2)
    made = make_report(world, world.log, MODEL, "2")  # type: ignore[arg-type]
    (counted,) = [m for m in made.result.measurements if m.name == "labelled_pairs"]
    old = frame["time_us"] <= microseconds(world.clock.now - timedelta(days=1))
    assert counted.observed == counted.sample_size == int(old.sum())


def test_groups_come_from_the_features_that_are_logged(world: World) -> None:
    """A group of the policy that events carry is judged; one that they do not is named."""
    world.policy = Stanza(
        world.policy.shadow,
        groups=(Group(column="EDUCATION", name="education"), Group(column="SEX", name="sex")),
    )
    world.stage("2")
    world.clock.advance(days=4)
    features = [json.dumps({"EDUCATION": 1 + i % 2}) for i in range(1500)]
    world.pairs(features=features)
    made = make_report(world, world.log, MODEL, "2")  # type: ignore[arg-type]
    subjects = {m.subject for m in made.result.measurements if m.name == "group_shift"}
    assert subjects == {"education=1", "education=2"}
    assert made.result.details["groups not logged"] == "sex"


def test_status_says_who_runs_and_what_is_recorded(world: World) -> None:
    """A row a running shadow, with the verdict that the ledger has."""
    world.stage("2")
    (row,) = shadow_status(world, MODEL)  # type: ignore[arg-type]
    assert (row.version, row.share, row.outcome) == ("2", 2500, "")
    world.clock.advance(days=4)
    world.pairs()
    world.report()
    (row,) = shadow_status(world, MODEL)  # type: ignore[arg-type]
    assert row.outcome == "passed"
    assert row.summary.startswith("1,500 pairs over 72 h")
