"""Any number of writers, in any order, with a registry that fails and a clock that jumps."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from promotion_assets.errors import IntegrityError, PromotionError
from promotion_assets.lifecycle.events import Stage, StageChanged, TrafficPlanned
from promotion_assets.lifecycle.fold import check_whole, fold
from promotion_assets.lifecycle.ports import MirroredVersion
from promotion_assets.lifecycle.rollouts import segment_plan
from promotion_assets.serving.plan import SegmentPlan
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.lifecycle.history import check_history
from promotion_assets_tests.lifecycle.writers import SEGMENTS, VERSIONS, Writers


class Unruly(Writers):
    """What hands and defects do besides, and what holds whatever happens."""

    @rule(alias=st.sampled_from(["champion", "shadow-eu", "challenger"]), version=VERSIONS)
    def move_an_alias_by_hand(self, alias: str, version: str) -> None:
        self.registry.aliases[alias] = version

    @rule(version=VERSIONS, stage=st.sampled_from(Stage))
    def move_a_stage_by_hand(self, version: str, stage: Stage) -> None:
        shown = self.registry.versions[version]
        self.registry.versions[version] = MirroredVersion(shown.stage, str(stage), shown.tags)

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

    @rule(version=VERSIONS)
    def change_bytes(self, version: str) -> None:
        self.bytes[version] = 1 - self.bytes[version]

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


TestWriters = Unruly.TestCase
TestWriters.settings = settings(
    max_examples=10,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_the_machine_can_reach_every_stage(tmp_path: Path) -> None:
    """The random walk is not vacuous: its own steps lead into Production, out and back."""
    machine = Unruly()
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
