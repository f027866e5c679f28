"""Any number of writers, in any order, with a registry that fails and a clock that jumps."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import (
    IntegrityError,
    PromotionError,
    Refusal,
    RegistryUnreachable,
)
from promotion_assets.lifecycle.events import (
    ReviewDecided,
    Stage,
    StageChanged,
    TrafficPlanned,
)
from promotion_assets.lifecycle.fold import check_whole, fold
from promotion_assets.lifecycle.mirror import aliases_of
from promotion_assets.lifecycle.ports import MirroredVersion
from promotion_assets.lifecycle.promotion import adopt, complete_rollout, promote
from promotion_assets.lifecycle.reconcile import reconcile
from promotion_assets.lifecycle.rollback import clear_latch, rollback
from promotion_assets.lifecycle.rollouts import segment_plan, standing, step_events
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import Facts, Request, evidence_of
from promotion_assets.serving.plan import SegmentPlan
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, evaluated, facts, new_ledger, request, shadow
from promotion_assets_tests.lifecycle.history import check_history

NAMES = [str(number) for number in range(1, 9)]
VERSIONS = st.sampled_from(NAMES)
SEGMENTS = st.sampled_from(["default", "eu"])
WRITERS = 3


class Writers(RuleBasedStateMachine):
    """Several processes' worth of ledgers on one database, and one registry."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.registry = FakeRegistry(versions={v: MirroredVersion() for v in NAMES})
        self.bytes = dict.fromkeys(NAMES, 0)
        self.ledgers: list[DatabaseLedger] = []
        self.stale: list[ModelState] = []

    @initialize(established=st.booleans())
    def open(self, established: bool) -> None:
        """Open the ledgers, half of the time on a model with a champion and a predecessor."""
        self.ledgers = [new_ledger(Path(self.folder.name), self.clock) for _ in range(WRITERS)]
        self.stale = [ModelState(MODEL)] * WRITERS
        if established:
            self.adopt(0, "1", "default")
            self.release("default")

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        self.folder.cleanup()

    def facts(self, version: str, segment: str = "default") -> Facts:
        """What is true now; an artifact's digest follows its bytes."""
        state = self.ledgers[0].state(MODEL)
        champion = state.champions.get(segment)
        return facts(
            version,
            model_digest=f"{version}{self.bytes[version]}" * 32,
            champion_digest=None if champion is None else state.digests[champion],
        )

    @rule(version=VERSIONS, segment=SEGMENTS, verdict=st.sampled_from(["approved", "rejected"]))
    def evaluate(self, version: str, segment: str, verdict: str) -> None:
        now = self.facts(version, segment)
        digest = f"{self.ledgers[0].head().size:04}" * 16
        self.ledgers[0].append(
            [
                evaluated(
                    version,
                    self.clock,
                    segment=segment,
                    verdict=verdict,
                    model_digest=now.model_digest,
                    decision_digest=digest,
                    tags={},
                )
            ]
        )

    @rule(version=VERSIONS, segment=SEGMENTS, passed=st.booleans())
    def shadow(self, version: str, segment: str, passed: bool) -> None:
        found = self.facts(version)
        self.ledgers[0].append(
            [
                shadow(
                    version,
                    segment=segment,
                    passed=passed,
                    model_digest=found.model_digest,
                    report_digest=f"{self.ledgers[0].head().size:04}" * 16,
                )
            ]
        )

    @rule(
        version=VERSIONS,
        segment=SEGMENTS,
        verdict=st.sampled_from(["approved", "approved", "rejected"]),
    )
    def review(self, version: str, segment: str, verdict: str) -> None:
        asked = request(version, Stage.PRODUCTION, segment=segment)
        state = self.ledgers[0].state(MODEL)
        self.ledgers[0].append(
            [
                ReviewDecided.model_validate(
                    {
                        "model": MODEL,
                        "version": version,
                        "segment": segment,
                        "actor": "bo",
                        "verdict": verdict,
                        "reviewed_at": self.clock(),
                        "evidence": evidence_of(state, asked, self.facts(version, segment)),
                    }
                )
            ]
        )

    @rule(
        writer=st.integers(0, WRITERS - 1),
        version=VERSIONS,
        segment=SEGMENTS,
        to=st.sampled_from(Stage),
        fails=st.sampled_from([0, 0, 0, 1, -1]),
    )
    def promote(self, writer: int, version: str, segment: str, to: Stage, fails: int) -> None:
        cause = "withdrawn" if to is Stage.ARCHIVED else "promotion"
        asked = request(version, to, segment=segment, cause=cause)
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal, RegistryUnreachable):
            promote(
                self.ledgers[writer],
                self.registry,
                asked,
                self.facts(version, segment),
                self.clock(),
            )
        self.registry.fail_at = set()

    @rule(version=VERSIONS, segment=SEGMENTS)
    def the_whole_way(self, version: str, segment: str) -> None:
        """Random calls hardly ever reach Production; this one does where it is allowed."""
        self.evaluate(version, segment, "approved")
        self.promote(0, version, segment, Stage.STAGING, 0)
        self.shadow(version, segment, True)
        self.review(version, segment, "approved")
        self.promote(1, version, segment, Stage.PRODUCTION, 0)

    @rule(segment=SEGMENTS, fails=st.sampled_from([0, 1, -1]))
    def release(self, segment: str, fails: int = 0) -> None:
        """Bring the next version above the champion into its role."""
        champion = self.ledgers[0].state(MODEL).champions.get(segment, "0")
        above = [version for version in NAMES if version > champion]
        if above:
            self.the_whole_way(above[0], segment)
            self.complete(2, segment, fails)

    @rule(segment=SEGMENTS, completed=st.booleans(), fails=st.sampled_from([0, 1, -1]))
    def regret(self, segment: str, completed: bool, fails: int) -> None:
        """Go back from the newest version, in its rollout or after it, and once more for fear."""
        if completed:
            self.release(segment)
        else:
            self.the_whole_way(NAMES[-1], segment)
        self.roll_back(1, segment, None, fails)
        self.roll_back(0, segment, None, 0)

    @rule(alias=st.sampled_from(["champion", "shadow-eu", "challenger"]), version=VERSIONS)
    def move_an_alias_by_hand(self, alias: str, version: str) -> None:
        self.registry.aliases[alias] = version

    @rule(version=VERSIONS, stage=st.sampled_from(Stage))
    def move_a_stage_by_hand(self, version: str, stage: Stage) -> None:
        shown = self.registry.versions[version]
        self.registry.versions[version] = MirroredVersion(shown.stage, str(stage), shown.tags)

    @rule(writer=st.integers(0, WRITERS - 1), version=VERSIONS, segment=SEGMENTS)
    def adopt(self, writer: int, version: str, segment: str) -> None:
        with contextlib.suppress(Refusal):
            adopt(
                self.ledgers[writer],
                self.registry,
                MODEL,
                version,
                model_digest=self.facts(version).model_digest,
                actor="ana",
                reason="has been serving since 2024",
                segment=segment,
            )

    @rule(
        writer=st.integers(0, WRITERS - 1), segment=SEGMENTS, fails=st.sampled_from([0, 0, 1, -1])
    )
    def complete(self, writer: int, segment: str, fails: int) -> None:
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal, RegistryUnreachable):
            complete_rollout(
                self.ledgers[writer],
                self.registry,
                MODEL,
                actor="ana",
                reason="baked",
                segment=segment,
            )
        self.registry.fail_at = set()

    @rule(
        writer=st.integers(0, WRITERS - 1),
        segment=SEGMENTS,
        to=st.sampled_from([None] * 12 + NAMES[:3]),
        fails=st.sampled_from([0, 1, -1]),
    )
    def roll_back(self, writer: int, segment: str, to: str | None, fails: int) -> None:
        self.registry.fail_at = {fails} - {0}
        with contextlib.suppress(Refusal):
            rollback(
                self.ledgers[writer],
                self.registry,
                MODEL,
                actor="ana",
                reason="wrong prices",
                segment=segment,
                to=to,
            )
        self.registry.fail_at = set()

    @rule(
        writer=st.integers(0, WRITERS - 1),
        segment=SEGMENTS,
        share=st.sampled_from([500, 2500, 9800]),
    )
    def step(self, writer: int, segment: str, share: int) -> None:
        """A tick gives what is rolling out another share, unless its artifact is latched."""
        ledger = self.ledgers[writer]
        state = ledger.state(MODEL)
        if segment not in state.rolling or state.digests[state.rolling[segment]] in state.latches:
            return
        events = step_events(
            state,
            segment,
            "advance",
            step=1,
            share=share,
            actor="promotion",
            reason="every guardrail is content",
            at=self.clock(),
            statistics={},
        )
        ledger.append(events, expect_sequence=state.sequence)
        after = ledger.state(MODEL)
        assert segment_plan(after, segment).share == share
        stood = standing(after, segment)
        assert stood is not None
        assert (stood.version, stood.step) == (state.rolling[segment], 1)

    @rule(segment=SEGMENTS, version=VERSIONS, share=st.sampled_from([500, 10_000]))
    def plan_what_does_not_fit(self, segment: str, version: str, share: int) -> None:
        """A defective caller plans a candidate that is not rolling out, or is latched."""
        state = self.ledgers[0].state(MODEL)
        if state.traffic is None or segment not in state.champions:
            return
        planned = segment_plan(state, segment)
        digest = state.digests.get(version, "f" * 64)
        if planned.candidate is not None and planned.candidate.version == version:
            if digest not in state.latches:
                return
        elif version == planned.stable.version:
            return
        changes = {"candidate": {"version": version, "digest": digest}, "share": share}
        wrong = SegmentPlan.model_validate({**planned.model_dump(), "salt": "x", **changes})
        event = TrafficPlanned(
            model=MODEL,
            plan=state.traffic.with_segment(wrong),
            cause="rollout",
            reason="because I can",
        )
        with pytest.raises(IntegrityError):
            self.ledgers[0].append([event])

    @rule()
    def clear(self) -> None:
        for digest in list(self.ledgers[0].state(MODEL).latches):
            clear_latch(self.ledgers[0], MODEL, digest, actor="bo", reason="looked into it")

    @rule(version=VERSIONS)
    def change_bytes(self, version: str) -> None:
        self.bytes[version] = 1 - self.bytes[version]

    @rule(hours=st.integers(-48, 48))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    @rule(writer=st.integers(0, WRITERS - 1))
    def fall_asleep(self, writer: int) -> None:
        """A writer reads the state, and acts on it after everybody else."""
        self.stale[writer] = self.ledgers[writer].state(MODEL)

    @rule(writer=st.integers(0, WRITERS - 1), version=VERSIONS)
    def wake_up(self, writer: int, version: str) -> None:
        asked = request(version)
        before = self.ledgers[0].state(MODEL)
        with contextlib.suppress(Refusal):
            promote(
                self.ledgers[writer],
                self.registry,
                asked,
                self.facts(version),
                self.clock(),
                expect_sequence=self.stale[writer].sequence,
            )
            assert before.sequence == self.stale[writer].sequence

    @rule(data=st.data())
    def forget_the_rules(self, data: st.DataObject) -> None:
        """A defective caller appends whatever stage change it likes."""
        event = StageChanged.model_validate(
            {
                "model_name": MODEL,
                "model_version": data.draw(VERSIONS),
                "segment": data.draw(SEGMENTS),
                "promoted_from": data.draw(st.sampled_from(Stage)),
                "promoted_to": data.draw(st.sampled_from(Stage)),
                "cause": data.draw(st.sampled_from(["promotion", "rollback", "adoption"])),
                "reason": "because I can",
                "approved": True,
            }
        )
        before = self.ledgers[0].state(MODEL)
        with contextlib.suppress(PromotionError):
            self.ledgers[0].append([event])
            if event.promoted_to is Stage.PRODUCTION:
                assert before.stage(event.version, event.segment) is not Stage.NONE

    @rule(writer=st.integers(0, WRITERS - 1))
    def reconcile(self, writer: int) -> None:
        def facts_of(asked: Request) -> Facts:
            return self.facts(asked.version, asked.segment)

        ledger = self.ledgers[writer]
        reconcile(ledger, self.registry, MODEL, facts_of, self.clock(), on_bypass="revert")
        state = ledger.state(MODEL)
        assert state.intent is None
        if state.lines:
            assert self.registry.aliases == aliases_of(state)
        for version in state.versions():
            assert self.registry.versions[version].stage == str(state.stage_anywhere(version))

    @invariant()
    def one_champion_and_at_most_one_rollout_a_segment(self) -> None:
        if not self.ledgers:
            return
        state = self.ledgers[0].state(MODEL)
        check_whole(state)
        for segment in state.stages:
            live = state.in_stage(Stage.PRODUCTION, segment)
            assert len(live) <= 2
            assert sorted(live) == sorted(
                {state.champions.get(segment), state.rolling.get(segment)} - {None}  # type: ignore[type-var]
            )

    @invariant()
    def the_plan_fits_the_stages(self) -> None:
        """Who answers is champion or rolling out, and nobody latched gets a share."""
        if not self.ledgers:
            return
        state = self.ledgers[0].state(MODEL)
        planned = {s.name: s for s in state.traffic.segments} if state.traffic else {}
        assert planned.keys() == state.champions.keys()
        for segment, plan in planned.items():
            assert plan.stable.version == state.champions[segment]
            candidate = plan.candidate.version if plan.candidate else None
            assert candidate == state.rolling.get(segment)
            assert all(arm.digest == state.digests[arm.version] for arm in plan.arms())
            if plan.share:
                assert plan.candidate is not None
                assert plan.candidate.digest not in state.latches

    @invariant()
    def all_writers_see_the_same(self) -> None:
        states = [ledger.state(MODEL) for ledger in self.ledgers]
        assert all(state == states[0] for state in states)

    @invariant()
    def the_history_is_one_that_the_rules_allow(self) -> None:
        if self.ledgers:
            check_history([recorded.event for recorded in self.ledgers[0].events(MODEL)])


TestWriters = Writers.TestCase
TestWriters.settings = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_the_machine_can_reach_every_stage(tmp_path: Path) -> None:
    """The random walk is not vacuous: its own steps lead into Production, out and back."""
    machine = Writers()
    machine.open(established=False)
    machine.adopt(0, "1", "default")
    machine.the_whole_way("2", "default")
    state = machine.ledgers[0].state(MODEL)
    assert (state.champions, state.rolling) == ({"default": "1"}, {"default": "2"})
    machine.complete(2, "default", 1)
    machine.reconcile(1)
    assert machine.ledgers[0].state(MODEL).champions == {"default": "2"}
    machine.roll_back(0, "default", None, -1)
    machine.reconcile(1)
    assert machine.ledgers[0].state(MODEL).champions == {"default": "1"}
    machine.the_history_is_one_that_the_rules_allow()
    machine.teardown()


@pytest.mark.parametrize("step", ["None-Production", "two champions"])
def test_the_walk_over_a_history_would_notice(step: str, clock: Clock) -> None:
    """The independent check is able to fail."""
    moves = {
        "None-Production": [(Stage.NONE, Stage.PRODUCTION)],
        "two champions": [(Stage.STAGING, Stage.PRODUCTION)],
    }[step]
    events: list[object] = [
        StageChanged(
            model_name=MODEL,
            model_version="1",
            promoted_from=source,
            promoted_to=to,
            cause="promotion",
            reason="because I can",
            approved=True,
        )
        for source, to in moves
    ]
    with pytest.raises((AssertionError, KeyError)):
        check_history(events)
    assert fold(MODEL, []).sequence == 0
