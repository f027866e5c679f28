"""Histories that no ledger may hold, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.lifecycle.champion_events import ChampionFailed, Moved
from promotion_assets.lifecycle.champions import champion_failed, unreported
from promotion_assets.lifecycle.drill_events import DrillOpened
from promotion_assets.lifecycle.events import (
    AnyEvent,
    DigestLatched,
    IntentAbandoned,
    IntentFinished,
    LatchCleared,
    Recorded,
    RolledBack,
    RolloutCompleted,
    Stage,
    TrafficPlanned,
    VersionCopied,
)
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.traffic import fitting_plan
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, digest, evaluated, shadow
from promotion_assets_tests.lifecycle.events import (
    adoption,
    impossible,
    intent,
    live,
    moved,
    planned,
    staged,
    vote,
)


def test_events_of_another_model_and_drills_do_not_mix(clock: Clock) -> None:
    """A model's history holds its own events, a journal of drills nothing but drills."""
    impossible([evaluated("2", clock, model="churn")], "an event of 'churn'")
    drill = DrillOpened(
        model=MODEL,
        version="2",
        request_id="r",
        evidence={},
        requested_at=clock(),
        expires_at=clock(),
        source_version="1",
        defect="leak",
        told=("it leaks",),
        case_digest="",
        after_requests=0,
    )
    impossible([drill], "DRILL_OPENED of version '2': drills are recorded in their journal")
    journal = f"drills:{MODEL}"
    fold(journal, [drill.model_copy(update={"model": journal})])
    with pytest.raises(IntegrityError, match="nothing else is"):
        fold(journal, [evaluated("2", clock, model=journal)])


def test_one_change_is_under_way_at_a_time() -> None:
    """An intent opens when none is open, and closes under its own name, once."""
    impossible([intent("a"), intent("b")], "intent b opens while a is open")
    for close in (
        IntentFinished(model=MODEL, intent_id="a"),
        IntentAbandoned(model=MODEL, intent_id="a", reason="x"),
    ):
        impossible([close], "intent a closes and was not open")
        impossible([intent("b"), close], "intent a closes and was not open")
        impossible([intent("a"), close, close], "intent a closes and was not open")


def test_no_stage_is_reached_from_another_than_the_one_held(clock: Clock) -> None:
    """Neither twice, nor past a stage, nor for a cause that no rule allows."""
    staging = moved("2", Stage.STAGING)
    impossible([*staged("2", clock), staging], "and was in Staging")
    impossible([*staged("2", clock), moved("3", Stage.PRODUCTION)], "and was in None")
    past = moved("2", Stage.PRODUCTION, promoted_from=Stage.NONE)
    impossible([evaluated("2", clock), past], "which no rule allows")
    wrong = moved("2", Stage.STAGING, cause="rollback")
    impossible([evaluated("2", clock), wrong], "which no rule allows")


@pytest.mark.parametrize(
    ("decision", "change"),
    [
        ({"verdict": "rejected"}, {}),
        ({"segment": "eu"}, {}),
        ({"version": "3"}, {}),
    ],
)
def test_staging_is_never_without_an_approved_decision(
    clock: Clock, decision: dict[str, str], change: dict[str, str]
) -> None:
    """Of this version, in this segment."""
    judged = evaluated("2", clock).model_copy(update=decision)
    impossible([judged, moved("2", Stage.STAGING, **change)], "without an approved decision")


@pytest.mark.parametrize(
    ("judged", "promoted"), [("e" * 64, digest("2")), (digest("2"), "e" * 64), ("", "")]
)
def test_a_promotion_is_of_the_artifact_that_was_judged(
    clock: Clock, judged: str, promoted: str
) -> None:
    """Two empty digests are no agreement."""
    events = [
        evaluated("2", clock, model_digest=judged),
        moved("2", Stage.STAGING, model_digest=promoted),
    ]
    impossible(events, "without a decision on this artifact")


def test_production_is_never_without_shadow_and_approval(clock: Clock) -> None:
    """A failed shadow, a rejection, and an approval on other bytes are none."""
    way, up = staged("2", clock), moved("2", Stage.PRODUCTION)
    impossible([*way, vote("2", clock), up], "without a shadow report that passed")
    failed = shadow("2", passed=False)
    impossible([*way, failed, vote("2", clock), up], "without a shadow report that passed")
    way += [shadow("2")]
    impossible([*way, up], "without an approval on this artifact")
    other = vote("2", clock, evidence={"model": "e" * 64})
    no = vote("2", clock, verdict="rejected")
    impossible([*way, other, no, up], "without an approval on this artifact")
    fold(MODEL, [*way, other, vote("2", clock), up])
    waived = up.model_copy(update={"shadow_waiver": "no traffic before the launch"})
    fold(MODEL, [*staged("2", clock), vote("2", clock), waived])


def test_two_beside_a_champion_are_one_too_many(clock: Clock) -> None:
    """The first takes the role, the second rolls out beside it, the third is refused."""
    one, two = live("1", clock), live("2", clock)
    assert fold(MODEL, one).champions == {"default": "1"}
    both = fold(MODEL, [*one, *two])
    assert (both.champions, both.rolling) == ({"default": "1"}, {"default": "2"})
    impossible(
        [*one, *two, *live("3", clock)],
        "version 3 enters Production of segment 'default' beside champion 1 and rollout 2",
    )


def test_nothing_comes_back_that_was_never_champion(clock: Clock) -> None:
    """A version that was archived out of its rollout cannot be rolled back to."""
    gone = moved("2", Stage.ARCHIVED, cause="rollback")
    back = moved("2", Stage.PRODUCTION, promoted_from=Stage.ARCHIVED, cause="rollback")
    impossible([*live("1", clock), *live("2", clock), gone, back], "has never been its champion")
    first = moved("1", Stage.ARCHIVED, cause="rollback")
    again = moved("1", Stage.PRODUCTION, promoted_from=Stage.ARCHIVED, cause="rollback")
    state = fold(MODEL, [*live("1", clock), first, again])
    assert state.lines == {"default": ("1", "1")}
    beside = [*live("1", clock), *live("2", clock)]
    beside += [RolloutCompleted(model=MODEL, version="2", reason=""), moved("1", Stage.ARCHIVED)]
    impossible([*beside, again], "enters Production of segment 'default' beside champion 2")


def test_adoption_is_the_first_thing_that_happens_to_a_segment(clock: Clock) -> None:
    """Not after a champion, not of a version that the platform has taken in; once a segment."""
    impossible([adoption("1"), adoption("2")], "which already had champion 1")
    impossible([*staged("2", clock), adoption("2")], "version 2 is adopted and had a stage")
    both = fold(MODEL, [adoption("1"), adoption("1", segment="eu")])
    assert both.champions == {"default": "1", "eu": "1"}
    assert both.digests == {"1": digest("1")}


def test_rollouts_end_latches_clear_and_segments_go_back_only_where_they_can(clock: Clock) -> None:
    """Each names what it ends, and that must be there."""
    done = RolloutCompleted(model=MODEL, version="2", reason="")
    impossible([*live("1", clock), done], "the rollout of version 2 ends unbegun")
    back = RolledBack(model=MODEL, from_version="1", to_version="2", reason="")
    impossible([*live("1", clock), back], "is rolled back to 2 in name")
    clear = LatchCleared(model=MODEL, digest=digest("2"), reason="")
    latch = DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="")
    impossible([clear], "is cleared that is not there")
    impossible([latch, clear, clear], "is cleared that is not there")
    assert fold(MODEL, [latch]).latches == {digest("2"): latch}


def test_a_copy_needs_an_approved_decision_on_its_artifact(clock: Clock) -> None:
    """What is copied on was judged here; copies of a version are kept in order."""
    copied = VersionCopied(
        model=MODEL,
        version="2",
        source_registry="a",
        target_registry="b",
        target_model=MODEL,
        target_version="1",
        target_run_id="r",
        model_digest=digest("2"),
        target_digest="",
        content_digest="",
        decision_digest="",
        attestation_digest="",
    )
    words = "version 2 is copied without an approved decision on its artifact"
    impossible([copied], words)
    impossible([evaluated("2", clock, verdict="rejected"), copied], words)
    impossible([evaluated("2", clock, model_digest="e" * 64), copied], words)
    again = copied.model_copy(update={"target_version": "2"})
    state = fold(MODEL, [evaluated("2", clock), copied, again])
    assert state.copies == {"2": (copied, again)}


def test_a_champions_failure_is_of_the_champion(clock: Clock) -> None:
    """Another version's is refused; the last report of a segment's champion is kept."""
    failed = ChampionFailed(model=MODEL, version="1", reason="AUC", decision_digest="5")
    impossible([failed], "version 1 fails as the champion, which it is not")
    later = failed.model_copy(update={"decision_digest": "6"})
    state = fold(MODEL, [*live("1", clock), failed, later])
    assert state.champion_failures == {("default", "1"): later}


def test_a_failing_champion_that_was_never_approved_here_has_no_before(clock: Clock) -> None:
    """An adopted one may fail at its first evaluation: nothing is made up to compare with."""
    bad = evaluated("1", clock, verdict="rejected", segment="eu", metrics={"roc_auc": None})
    state = fold(MODEL, [adoption("1"), bad])
    ((segment, last),) = unreported(state)
    assert (segment, last.segment) == ("default", "eu")
    history = [
        Recorded(sequence=n, model_sequence=n, recorded_at=clock(), hash="", event=event)
        for n, event in enumerate([adoption("1"), bad, evaluated("2", clock)], start=1)
    ]
    told = champion_failed(segment, last, history)
    assert (told.before_digest, told.inputs) == ("", ())
    assert [gate.sentence() for gate in told.gates] == ["accuracy none → passed"]
    assert Moved(name="AUC", before=0.78912, after="").sentence() == "AUC 0.7891 → none"


PLANS = [
    ({"generation": 3}, "generation 3 of the traffic plan of 'credit-risk' follows where 2 is due"),
    ({"generation": 1}, "follows where 2 is due"),
    ({"model": "churn", "generation": 2}, "of the traffic plan of 'churn' follows where 2 is due"),
]


@pytest.mark.parametrize(("changes", "words"), PLANS)
def test_plans_are_numbered_without_a_gap(
    clock: Clock, changes: dict[str, Any], words: str
) -> None:
    """A server that has seen a generation has seen all before it."""
    events = planned(live("1", clock))
    (*_, first) = events
    assert isinstance(first, TrafficPlanned)
    plan = first.plan.model_copy(update=changes)
    impossible([*events, first.model_copy(update={"plan": plan})], words)


def _with_arm(clock: Clock, extra: list[AnyEvent], **arms: Any) -> list[AnyEvent]:
    events = [*planned([*live("1", clock), *live("2", clock)]), *extra]
    planned_by = next(e for e in reversed(events) if isinstance(e, TrafficPlanned))
    segment = planned_by.plan.segments[0]
    plan = planned_by.plan.with_segment(segment.model_copy(update=arms))
    return [*events, planned_by.model_copy(update={"plan": plan})]


def test_a_latched_artifact_is_given_no_traffic_and_no_copies(clock: Clock) -> None:
    """As shadow, as the way back or with a share; loaded without a share it may stay."""
    latch = DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="")
    fold(MODEL, _with_arm(clock, [latch], share=0))
    impossible(_with_arm(clock, [latch], share=500), "version 2 is planned for 'default' and is")
    two = fitting_plan(fold(MODEL, [*live("1", clock), *live("2", clock)]))
    assert two is not None
    arm = two.segments[0].candidate
    impossible(_with_arm(clock, [latch], previous=arm), "version 2 is planned for 'default' and is")


def test_a_shadow_is_a_staged_version_with_the_bytes_that_were_staged(clock: Clock) -> None:
    """Neither a live one nor other bytes under its number get copies of requests."""
    two = fitting_plan(fold(MODEL, [*live("1", clock), *live("2", clock)]))
    assert two is not None
    arm = two.segments[0].candidate
    salted = {"shadow_share": 100, "shadow_salt": "s"}
    live_one = _with_arm(clock, [], shadow=arm, **salted)
    impossible(live_one, "version 2 is planned as shadow of 'default': it is Production")
    assert arm is not None
    three = arm.model_copy(update={"version": "3", "digest": digest("3")})
    fold(MODEL, _with_arm(clock, staged("3", clock), shadow=three, **salted))
    other = three.model_copy(update={"digest": "e" * 64})
    changed = _with_arm(clock, staged("3", clock), shadow=other, **salted)
    impossible(changed, "version 3 is planned as shadow of 'default': it is Staging")
