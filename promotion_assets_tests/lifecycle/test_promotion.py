from __future__ import annotations

from typing import Any

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import Conflict, IntegrityError, RegistryUnreachable, TransitionRefused
from promotion_assets.lifecycle.events import AnyEvent, Stage, StageChanged
from promotion_assets.lifecycle.intents import finish
from promotion_assets.lifecycle.promotion import adopt, complete_rollout, promote
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.rollouts import ending, segment_plan, standing, step_events
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    adopted,
    digest,
    evaluated,
    facts,
    go_live,
    request,
    stage,
)


def kinds(ledger: DatabaseLedger) -> list[str]:
    """Return what kinds of events the ledger holds, in order."""
    return [recorded.event.kind for recorded in ledger.events(MODEL)]


def test_a_promotion_is_announced_mirrored_and_recorded(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Intent, change and end are in the ledger in this order, and the registry shows the stage."""
    stage(ledger, registry, "2", clock)
    assert kinds(ledger) == [
        "EVALUATION_FINISHED",
        "INTENT_RECORDED",
        "MODEL_PROMOTION",
        "INTENT_FINISHED",
    ]
    assert registry.aliases == {"shadow": "2"}
    assert registry.versions["2"].stage == "Staging"
    assert registry.versions["2"].tags["gate.accuracy.passed"] == "true"


def test_the_promotion_event_carries_what_stood_behind_it(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The entry answers who, from where to where, on which gates, reviews, data and shadow."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    events = [r.event for r in ledger.events(MODEL) if isinstance(r.event, StageChanged)]
    last = events[-1].to_json()
    assert last["model_name"] == MODEL
    assert last["model_version"] == "2"
    assert (last["promoted_from"], last["promoted_to"]) == ("Staging", "Production")
    assert last["approved"] is True
    assert last["automated_gates"] == [
        {"gate": "accuracy", "outcome": "passed", "reason": "AUC .79"}
    ]
    assert last["human_reviewers"] == [
        {
            "reviewer": "bo",
            "approved_at": "2026-03-02T09:00:00Z",
            "answers": {"on-call cover": "Ana, until Friday"},
        }
    ]
    assert last["eval_dataset_version"] == "d" * 64
    assert last["champion_version"] == "1"
    assert last["champion_metrics"] == {"roc_auc": 0.72}
    assert last["shadow_results"]["summary"].startswith("2 % of decisions")  # type: ignore[index,call-overload,union-attr]
    assert last["pipeline_result_timestamp"] == "2026-03-02T09:00:00Z"


def test_promoting_twice_changes_nothing_more(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A repeated promotion is answered with the stage as it is."""
    stage(ledger, registry, "2", clock)
    before = kinds(ledger)
    state = promote(ledger, registry, request("2"), facts("2"), clock())
    assert state.stage("2") is Stage.STAGING
    assert kinds(ledger) == before


def test_a_refused_promotion_writes_nothing(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A refusal leaves neither an entry nor a trace in the registry."""
    ledger.append([evaluated("3", clock, verdict="rejected", deciding_gates=("fairness",))])
    with pytest.raises(TransitionRefused, match="fairness"):
        promote(ledger, registry, request("3"), facts("3"), clock())
    assert kinds(ledger) == ["EVALUATION_FINISHED"]
    assert registry.calls == []


@pytest.mark.parametrize("when", [1, -1])
def test_a_registry_that_fails_leaves_the_intent_open_and_loses_nothing(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, when: int
) -> None:
    """Whether it fails before or after its change, the announced change can be finished."""
    ledger.append([evaluated("2", clock)])
    registry.fail_at = {when}
    with pytest.raises(RegistryUnreachable):
        promote(ledger, registry, request("2"), facts("2"), clock())
    state = ledger.state(MODEL)
    assert state.stage("2") is Stage.NONE
    assert state.intent is not None
    with pytest.raises(Conflict, match="announced and not finished"):
        promote(ledger, registry, request("2"), facts("2"), clock())
    state = finish(ledger, registry, state.intent)
    assert state.stage("2") is Stage.STAGING
    assert state.intent is None
    assert registry.versions["2"].stage == "Staging"


def test_the_first_champion_takes_the_role_and_the_next_one_rolls_out_beside_it(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Production holds the champion and one rollout; at its end the role moves."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    state = ledger.state(MODEL)
    assert (state.champions, state.rolling) == ({"default": "1"}, {"default": "2"})
    assert registry.aliases == {"champion": "1", "challenger": "2"}

    state = complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked for 24 h")
    assert (state.champions, state.rolling) == ({"default": "2"}, {})
    assert state.stage("1") is Stage.ARCHIVED
    assert registry.aliases == {"champion": "2"}
    assert registry.versions["1"].stage == "Archived"
    assert state.lines["default"] == ("1", "2")


def test_a_second_rollout_is_refused_while_one_is_under_way(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A segment's Production never holds a third version."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    with pytest.raises(TransitionRefused, match="version 2 is already rolling out"):
        go_live(ledger, registry, "3", clock)


def test_completing_without_a_rollout_is_refused(
    ledger: DatabaseLedger, registry: FakeRegistry
) -> None:
    """There is nothing to complete where nothing rolls out."""
    adopted(ledger, registry)
    with pytest.raises(TransitionRefused, match="nothing is rolling out"):
        complete_rollout(ledger, registry, MODEL, actor="ana", reason="impatience")


def test_adoption_is_possible_once_and_repeating_it_changes_nothing(
    ledger: DatabaseLedger, registry: FakeRegistry
) -> None:
    """A model that already serves is taken in once; another one after it is refused."""
    adopted(ledger, registry)
    before = kinds(ledger)
    adopted(ledger, registry)
    assert kinds(ledger) == before
    assert before == ["INTENT_RECORDED", "ADOPTED", "INTENT_FINISHED", "TRAFFIC_PLANNED"]
    with pytest.raises(TransitionRefused, match="already knows version 1"):
        adopted(ledger, registry, "2")


def test_adoption_is_no_way_around_staging(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What the platform has already taken in is not adopted."""
    stage(ledger, registry, "2", clock)
    with pytest.raises(TransitionRefused, match="it is in stage Staging"):
        adopted(ledger, registry, "2")


def test_adoption_wants_a_reason_and_an_artifact(
    ledger: DatabaseLedger, registry: FakeRegistry
) -> None:
    """An adoption that says nothing, or is of nothing, is refused."""
    with pytest.raises(TransitionRefused, match="shorter than 10"):
        adopt(ledger, registry, MODEL, "1", model_digest="a", actor="ana", reason="because")
    with pytest.raises(TransitionRefused, match="no digest"):
        adopt(ledger, registry, MODEL, "1", model_digest="", actor="ana", reason="long in service")


def test_two_promotions_decided_on_one_sequence_have_one_winner(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Whoever asks on a state that has passed is told so."""
    ledger.append([evaluated("2", clock)])
    ledger.append([evaluated("3", clock)])
    seen = ledger.state(MODEL).sequence
    promote(ledger, registry, request("2"), facts("2"), clock(), expect_sequence=seen)
    with pytest.raises(Conflict, match="the request was made at 2"):
        promote(ledger, registry, request("3"), facts("3"), clock(), expect_sequence=seen)


def test_segments_have_champions_of_their_own(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A version may be live in one segment and staged in another; neither knows the other."""
    for segment, version in (("eu", "1"), ("us", "2")):
        adopt(
            ledger,
            registry,
            MODEL,
            version,
            model_digest=digest(version),
            actor="ana",
            reason="has been serving since 2024",
            segment=segment,
        )
    ledger.append([evaluated("2", clock, segment="eu")])
    state = promote(ledger, registry, request("2", segment="eu"), facts("2"), clock())
    assert state.champions == {"eu": "1", "us": "2"}
    assert (state.stage("2", "eu"), state.stage("2", "us")) == (Stage.STAGING, Stage.PRODUCTION)
    assert registry.aliases == {"champion-eu": "1", "champion-us": "2", "shadow-eu": "2"}
    assert registry.versions["2"].stage == "Production"
    assert registry.versions["2"].tags["promotion.stage.eu"] == "Staging"


def test_the_ledger_itself_refuses_an_impossible_stage_change(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """A caller that forgets the rules cannot record a version in Production from nowhere."""
    for source in (Stage.NONE, Stage.STAGING):
        with pytest.raises(IntegrityError, match="version 2 goes from"):
            ledger.append(
                [
                    StageChanged(
                        model_name=MODEL,
                        model_version="2",
                        promoted_from=source,
                        promoted_to=Stage.PRODUCTION,
                        cause="promotion",
                        reason="because I can",
                        approved=True,
                    )
                ]
            )
    assert ledger.head().size == 0


def test_the_steps_of_a_rollout_are_recorded_with_the_plan_that_they_change(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A hold keeps the plan and is one entry; an advance is two; the end tells the share left."""
    with pytest.raises(TransitionRefused, match="it has no champion, so nothing is planned"):
        segment_plan(ledger.state(MODEL), "default")
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)

    def _step(action: Any, share: int) -> list[AnyEvent]:
        return step_events(
            ledger.state(MODEL),
            "default",
            action,
            step=1,
            share=share,
            actor="ana",
            reason="so",
            at=clock(),
            statistics={},
        )

    share = segment_plan(ledger.state(MODEL), "default").share
    assert [event.kind for event in _step("hold", share)] == ["ROLLOUT_STEP"]
    planned, stepped = _step("advance", 2500)
    assert (planned.kind, stepped.kind) == ("TRAFFIC_PLANNED", "ROLLOUT_STEP")
    ledger.append([planned, stepped])
    before = ledger.state(MODEL)
    assert segment_plan(before, "default").share == 2500

    def _story(old: ModelState, new: ModelState) -> list[AnyEvent]:
        return ending(
            old,
            new,
            "default",
            "roll_back",
            actor="guard",
            reason="errors",
            at=clock(),
            statistics={},
        )

    after = rollback(ledger, registry, MODEL, actor="guard", reason="errors", story=_story)
    last: Any = after.rollout_steps["default"][-1]
    assert (last.action, last.share_from, last.share_to) == ("roll_back", 2500, 0)
    assert standing(after, "default") is None
