"""What the fold keeps of a history, and the traffic plan and the rollout that follow from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.drill_events import is_journal, journal_of
from promotion_assets.lifecycle.events import (
    AnyEvent,
    DeploymentConfirmed,
    Deviation,
    DigestLatched,
    RegistryRestored,
    RegistryTampered,
    ReviewReminded,
    ReviewRequested,
    RolloutCompleted,
    Stage,
)
from promotion_assets.lifecycle.fold import check_whole, fold
from promotion_assets.lifecycle.rollouts import standing, steps_of
from promotion_assets.lifecycle.stages import ModelState, version_key
from promotion_assets.lifecycle.traffic import arm_of, fitting_plan, new_salt, plan_event
from promotion_assets.lifecycle.transitions import evidence_of
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, digest, evaluated, facts, request, shadow
from promotion_assets_tests.lifecycle.events import adoption, live, moved, planned, staged, step


def test_whoever_is_in_production_has_a_role_and_the_plan_fits(clock: Clock) -> None:
    """Between changes there is one champion, at most one beside it, and the plan says the same."""
    whole = fold(MODEL, planned([*live("1", clock), *live("2", clock)]))
    check_whole(whole)
    check_whole(ModelState(MODEL))
    assert whole.traffic is not None
    for broken in (
        replace(whole, champions={}),
        replace(whole, champions={"default": "2"}),
        replace(whole, rolling={}),
        replace(whole, rolling={"default": "1"}),
        replace(whole, stages={"default": {"1": Stage.PRODUCTION}}),
    ):
        with pytest.raises(IntegrityError, match="segment 'default' would have versions"):
            check_whole(broken)
    stale = whole.traffic.with_segment(whole.traffic.segments[0].model_copy(update={"share": 0}))
    other = stale.segments[0].model_copy(update={"candidate": None, "salt": ""})
    with pytest.raises(IntegrityError, match="generation 3 of its traffic plan does not fit"):
        check_whole(replace(whole, traffic=stale.with_segment(other)))


def test_the_plan_keeps_what_it_can_and_drops_what_has_left(clock: Clock) -> None:
    """A rolling version keeps share and salt, and loses its share when it is latched."""
    events = [*live("1", clock), *live("2", clock)]
    state = fold(MODEL, planned(events))
    assert plan_event(state, actor="a", reason="") == ()
    assert plan_event(ModelState(MODEL), actor="a", reason="") == ()
    assert state.traffic is not None
    segment = state.traffic.segments[0]
    assert segment.salt == new_salt(fold(MODEL, events), "default", "2", "rollout")
    moving = state.traffic.with_segment(segment.model_copy(update={"share": 500}))
    going = replace(state, traffic=moving)
    assert fitting_plan(going) == moving
    latch = DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="")
    kept = fitting_plan(replace(going, latches={digest("2"): latch}))
    assert kept is not None
    assert (kept.generation, kept.segments[0].share, kept.segments[0].salt) == (
        moving.generation + 1,
        0,
        segment.salt,
    )
    done = [*events, RolloutCompleted(model=MODEL, version="2", reason="")]
    after = fitting_plan(replace(fold(MODEL, [*done, moved("1", Stage.ARCHIVED)]), traffic=moving))
    assert after is not None
    (only,) = after.segments
    assert (only.stable.version, only.candidate, only.share) == ("2", None, 0)
    assert only.previous is not None
    assert only.previous.version == "1"


def test_segments_keep_their_order_and_new_ones_come_by_name(clock: Clock) -> None:
    """A segment called default is the default; without one the first is, and stays it."""
    first = fold(MODEL, [adoption("1", segment="us"), adoption("1", segment="eu")])
    plan = fitting_plan(first)
    assert plan is not None
    assert ([s.name for s in plan.segments], plan.default) == (["eu", "us"], "eu")
    turned = plan.model_copy(update={"segments": plan.segments[::-1], "default": "us"})
    more = replace(first, traffic=turned, champions={**first.champions, "asia": "1"})
    wider = fitting_plan(more)
    assert wider is not None
    assert ([s.name for s in wider.segments], wider.default) == (["us", "eu", "asia"], "us")
    named = fitting_plan(fold(MODEL, [adoption("1", segment="asia"), adoption("1")]))
    assert named is not None
    assert named.default == "default"


def test_a_rollout_stands_where_its_own_steps_have_left_it(clock: Clock) -> None:
    """Steps of a version before, and of an earlier attempt, count for nothing."""
    start = clock()
    events = [*live("1", clock), *live("2", clock)]
    assert standing(fold(MODEL, live("1", clock)), "default") is None

    def _stands(*steps: AnyEvent) -> tuple[object, ...]:
        found = standing(fold(MODEL, [*events, *steps]), "default")
        assert found is not None
        return found.step, found.since, found.paused, found.held

    assert _stands() == (None, None, None, None)
    assert _stands(step("pause", clock)) == (None, None, "pause now", None)
    assert _stands(step("pause", clock), step("resume", clock)) == (None, None, None, None)
    begun = step("start", clock)
    assert _stands(begun) == (0, start, None, None)
    assert _stands(begun, step("hold", clock)) == (0, start, None, "hold now")
    clock.advance(hours=1)
    resumed = step("resume", clock)
    assert _stands(begun, step("hold", clock), resumed) == (0, clock(), None, None)
    assert _stands(begun, step("pause", clock), step("skip", clock, 1)) == (1, clock(), None, None)
    assert _stands(begun, step("abort", clock)) == (None, None, None, None)
    other = step("start", clock, version="9")
    assert _stands(other) == (None, None, None, None)
    again = fold(MODEL, [*events, begun, step("roll_back", clock), step("pause", clock)])
    assert [s.action for s in steps_of(again, "default")] == ["pause"]


def test_a_rollout_knows_its_latch_and_its_deployment(clock: Clock) -> None:
    """Only the last report on production counts, and both its answers must be good."""
    events = [*live("1", clock), *live("2", clock)]

    def _report(**changes: Any) -> DeploymentConfirmed:
        values: dict[str, Any] = {
            "version": "2",
            "notification": "n",
            "smoke_test": "passed",
            "health": "healthy",
            "reported_at": clock(),
            **changes,
        }
        return DeploymentConfirmed(model=MODEL, **values)

    def _deployed(*reports: AnyEvent) -> str:
        found = standing(fold(MODEL, [*events, *reports]), "default")
        assert found is not None
        return found.deployment

    assert _deployed() == "none"
    assert _deployed(_report()) == "good"
    assert _deployed(_report(smoke_test="failed")) == "bad"
    assert _deployed(_report(health="unhealthy"), _report()) == "good"
    assert _deployed(_report(), _report(health="unhealthy")) == "bad"
    assert _deployed(_report(environment="test")) == "none"
    assert _deployed(_report(version="1")) == "none"
    latch = DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="it lied")
    found = standing(fold(MODEL, [*events, latch]), "default")
    assert found is not None
    assert found.latched == "it lied"


def test_requests_reminders_and_deviations_are_kept_as_they_came(clock: Clock) -> None:
    """Everybody who was ever assigned, in order; the last deviations until they are put back."""
    asked = [
        ReviewRequested(model=MODEL, version="2", request_id=name, assigned=people)
        for name, people in (("r1", ("bo", "cy")), ("r2", ("bo",)))
    ]
    told = [
        ReviewReminded(model=MODEL, version="2", request_id="r1", what=what)  # type: ignore[arg-type]
        for what in ("reminder", "expired")
    ]
    state = fold(MODEL, [*asked, *told])
    assert state.assignments == ("bo", "cy", "bo")
    assert state.requested == 2
    assert state.requests == {("default", "2"): asked[1]}
    assert state.reminders == {"r1": ("reminder", "expired")}
    onward = fold(MODEL, [asked[0]], state)
    assert (onward.requested, onward.assignments[-2:]) == (3, ("bo", "cy"))
    assert onward.sequence == 5
    found = (Deviation(subject="alias", name="champion", expected="1", found="2"),)
    tampered = fold(MODEL, [RegistryTampered(model=MODEL, deviations=found)])
    assert tampered.deviations == found
    restored = RegistryRestored(model=MODEL, deviations=found)
    assert fold(MODEL, [restored], tampered).deviations == ()


def test_tags_of_earlier_evaluations_are_kept_where_they_differ(clock: Clock) -> None:
    """The mirror takes away what the last evaluation no longer says."""
    first = evaluated("2", clock, tags={"a": "1"}, decision={"big": 1})
    same, other = first, evaluated("2", clock, tags={"b": "1"})
    state = fold(MODEL, [first, same, other])
    assert state.past_tags == {"2": ({"a": "1"},)}
    assert state.decisions["2"].decision == {}
    assert state.stage_anywhere("2") is Stage.NONE
    assert state.versions() == ("2",)


def test_versions_are_in_order_of_their_numbers(clock: Clock) -> None:
    """10 comes after 9; the stage nearest to traffic counts; what is no number comes last."""
    assert sorted(["10", "x", "9", "2"], key=version_key) == ["2", "9", "10", "x"]
    events = [e for v in ("10", "9") for e in staged(v, clock)]
    state = fold(MODEL, [*events, adoption("9", segment="eu"), adoption("1", segment="us")])
    assert state.in_stage(Stage.STAGING) == ("9", "10")
    assert state.versions() == ("1", "9", "10")
    assert state.stage_anywhere("9") is Stage.PRODUCTION
    assert state.stage_anywhere("10") is Stage.STAGING
    assert [state.had_production(s) for s in ("default", "eu")] == [False, True]


def test_evidence_names_what_there_is_and_nothing_else(clock: Clock) -> None:
    """A digest that is not there is no evidence; the champion's is always named."""
    asked = request("2", Stage.PRODUCTION)
    bare = evidence_of(ModelState(MODEL), asked, facts("2"))
    assert set(bare) == {"model", "dataset", "policy", "champion"}
    assert bare["champion"] == ""
    state = fold(MODEL, [evaluated("2", clock), shadow("2", report_digest="")])
    assert set(evidence_of(state, asked, facts("2"))) == {*bare, "decision"}
    full = fold(MODEL, [evaluated("2", clock), shadow("2")])
    found = facts("2", review_digest="r", review_ttl=timedelta(days=1), champion_digest="c")
    assert evidence_of(full, asked, found) == {
        **bare,
        "champion": "c",
        "decision": digest("2"),
        "shadow": "5" * 64,
        "review": "r",
    }


def test_a_journal_of_drills_is_told_from_a_model() -> None:
    """By its name alone, which no model can have."""
    assert is_journal(journal_of(MODEL))
    assert not is_journal(MODEL)


def test_a_digest_that_is_none_stops_a_plan_by_name() -> None:
    """A ledger that holds one is to be verified, whoever wrote it."""
    state = ModelState(model=MODEL, digests={"1": "0001?"})
    with pytest.raises(IntegrityError, match=r"'0001\?' for the digest of version 1"):
        arm_of(state, "1")
