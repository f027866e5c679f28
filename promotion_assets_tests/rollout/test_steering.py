"""Persons, restarts, other segments and bad days: what a rollout does when things are not even."""

from __future__ import annotations

import pytest

from promotion_assets.errors import StorageUnreachable, TransitionRefused
from promotion_assets.lifecycle.events import DigestLatched, ReviewDecided, Stage
from promotion_assets.lifecycle.promotion import adopt, promote
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.rollouts import standing
from promotion_assets.lifecycle.transitions import Facts, evidence_of
from promotion_assets.pipeline import rollouts
from promotion_assets.pipeline.rollout_steering import abort, pause, resume, skip
from promotion_assets.pipeline.rollout_story import stories
from promotion_assets.pipeline.tally_files import tally_path
from promotion_assets_tests.ledgers import MODEL, digest, evaluated, facts, request, shadow
from promotion_assets_tests.rollout.test_rollouts import reach
from promotion_assets_tests.rollout.worlds import POLICY, World

BY = {"actor": "ana", "reason": "release of the app"}


def test_pause_keeps_the_share_and_guardrails_still_take_it_back(world: World) -> None:
    """A person's pause stops the way up, never the way back; who and why is recorded."""
    reach(world, 500)
    pause(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    world.traffic(30, 9000)
    assert "release of the app" in world.tick().sentence()
    assert world.share == 500
    assert (world.steps()[-1].actor, world.steps()[-1].action) == ("ana", "pause")
    with pytest.raises(TransitionRefused, match="paused"):
        pause(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    world.traffic(2, 4000, fails=lambda role: 0.3 if role == "candidate" else 0.0)
    world.tick()
    assert world.state.stage("2") is Stage.ARCHIVED


def test_hold_goes_on_only_when_a_person_resumes_it(world: World) -> None:
    """Its longest time over, it holds; resumed, the step's time begins anew."""
    world.tick()
    world.clock.advance(minutes=61)
    held = world.tick()
    assert held.done
    assert world.steps()[-1].action == "hold"
    assert not world.tick().done
    world.traffic(1, 9000)
    assert not world.tick().done
    with pytest.raises(TransitionRefused, match="no reason"):
        resume(world, MODEL, "default", actor="ana", reason=" ")  # type: ignore[arg-type]
    resume(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert "shortest time" in world.tick().sentence()
    world.traffic(11, 9000)
    world.tick()
    assert world.share == 2500


def test_rollout_goes_by_the_policy_of_its_start_until_it_is_resumed(world: World) -> None:
    """Nobody loosens guardrails under way; a person who resumes takes the policy of today."""
    world.tick()
    loose = POLICY.model_copy(update={"errors": POLICY.errors.model_copy(update={"max_rate": 0.9})})
    world.policy = loose
    assert world.tick().look.policy == POLICY
    pause(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    resume(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert world.tick().look.policy == loose


def test_skip_needs_an_artifact_that_served_a_short_time_ago(world: World) -> None:
    """A new candidate may not skip what watches it; one that was champion yesterday may."""
    reach(world, 500)
    with pytest.raises(TransitionRefused, match="never champion"):
        skip(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    abort(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    # The champion's own bytes, registered once more.
    found = facts("3", model_digest=digest("1"), champion_digest=digest("1"))
    world.ledger.append([evaluated("3", world.clock, model_digest=digest("1"))])
    promote(world.ledger, world.registry, request("3"), found, world.clock())
    world.ledger.append([shadow("3", model_digest=digest("1"))])
    world.ledger.append([_vote(world, "3", found)])
    promote(world.ledger, world.registry, request("3", Stage.PRODUCTION), found, world.clock())
    world.tick()
    skip(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert world.share == 9800
    assert world.steps()[-1].action == "skip"


def test_abort_is_a_rollback_with_its_story(world: World) -> None:
    """Everything back to the champion, the artifact latched; nothing to abort after it."""
    reach(world, 500)
    state = abort(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert not state.rolling
    assert digest("2") in state.latches
    assert [s.action for s in world.steps()] == ["start", "abort"]
    with pytest.raises(TransitionRefused, match="nothing is rolling out"):
        abort(world, MODEL, "default", **BY)  # type: ignore[arg-type]


def test_a_refused_step_names_the_version_and_the_command_that_helps(world: World) -> None:
    """Whoever is called at night reads which version it is about, and what to type."""
    with pytest.raises(TransitionRefused) as early:
        skip(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert early.value.problem.startswith("the rollout of version 2 has not begun")
    assert f"`promotion rollout status {MODEL}`" in early.value.next_step
    world.tick()
    with pytest.raises(TransitionRefused, match="version 2 is neither paused nor held"):
        resume(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    pause(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    with pytest.raises(TransitionRefused, match="version 2 is paused already: ") as twice:
        pause(world, MODEL, "default", **BY)  # type: ignore[arg-type]
    assert f"`promotion rollout resume {MODEL} " in twice.value.next_step


def test_lost_or_damaged_tally_is_made_again_from_the_log(world: World) -> None:
    """The file between two ticks only saves time: with it, without it, and with rubbish."""
    world.tick()
    world.traffic(5, 2000, fails=lambda role: 0.01)
    first = world.tick().look.statistics
    world.traffic(1, 500)
    kept = world.tick().look.statistics
    assert kept.requests("stable") > first.requests("stable")
    assert world.state.traffic is not None
    path = tally_path(world.home, world.state.traffic.segments[0].salt)
    for damage in (path.unlink, lambda: path.write_bytes(b"PK rubbish")):
        damage()
        assert world.tick().look.statistics == kept


def test_events_that_are_read_again_count_once(world: World) -> None:
    """Each tick reads back a little, for what came late: units and failures stay as they were."""
    world.tick()
    world.traffic(1, 3000, fails=lambda role: 0.02)
    told = world.tick().look.statistics
    again = world.tick().look.statistics
    assert again == told


def test_event_log_that_is_away_lets_shares_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No data is inconclusive: it waits, and its longest time still comes to an end."""
    reach(world, 500)

    def _away(*_: object, **__: object) -> None:
        raise StorageUnreachable("read the event log", "disk gone", "mount it")

    monkeypatch.setattr(world.events, "batches", _away)
    world.clock.advance(minutes=20)
    waiting = world.tick()
    assert not waiting.done
    assert "disk gone" in waiting.sentence()
    world.clock.advance(minutes=60)
    assert world.tick().done
    assert world.steps()[-1].action == "hold"
    assert world.share == 500


def test_lost_events_are_waited_for(world: World) -> None:
    """What was dropped may have been bad: no step, and no rollback either."""
    reach(world, 500)
    world.traffic(15, 9000, lost=200)
    assert "lost" in world.tick().sentence()
    assert world.share == 500


def test_two_ticks_at_once_record_one_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever appends first is recorded; the other sees it and records nothing."""
    look = rollouts.look_at

    def _slow(*given: object) -> object:
        seen = look(*given)  # type: ignore[arg-type]
        monkeypatch.setattr(rollouts, "look_at", look)
        assert world.tick().done
        return seen

    monkeypatch.setattr(rollouts, "look_at", _slow)
    late = world.tick()
    assert late.conflict is not None
    assert [s.action for s in world.steps()] == ["start"]


def test_latch_in_one_segment_stops_the_other(world: World) -> None:
    """Rejected in EU, the artifact gets nothing in the default segment, and goes at the tick."""
    reach(world, 2500)
    adopt(
        world.ledger,
        world.registry,
        MODEL,
        "1",
        model_digest=digest("1"),
        actor="ana",
        reason="has been serving since 2024",
        segment="eu",
    )
    found = facts("2", champion_digest=digest("1"))
    world.ledger.append([evaluated("2", world.clock, segment="eu")])
    promote(world.ledger, world.registry, request("2", segment="eu"), found, world.clock())
    world.ledger.append([shadow("2", segment="eu")])
    world.ledger.append([_vote(world, "2", found, segment="eu")])
    asked = request("2", Stage.PRODUCTION, segment="eu")
    promote(world.ledger, world.registry, asked, found, world.clock())
    rollback(world.ledger, world.registry, MODEL, actor="bo", reason="wrong in EU", segment="eu")
    assert world.share == 0
    stood = standing(world.state, "default")
    assert stood is not None
    assert stood.latched == "wrong in EU"
    world.tick()
    assert not world.state.rolling
    assert sum(isinstance(r.event, DigestLatched) for r in world.ledger.events(MODEL)) == 2


def test_ended_rollout_is_told_from_the_ledger_alone(world: World) -> None:
    """With the event log gone, the asset still shows why it went back."""
    reach(world, 500)
    world.traffic(5, 6000, fails=lambda role: 0.3 if role == "candidate" else 0.0)
    world.tick()
    world.events.engine.dispose()
    (story,) = stories(world, world.events, MODEL, "2")  # type: ignore[arg-type]
    assert "taken back" not in story.next_step()
    assert "roll back" in story.next_step()
    assert {f.guardrail for f in story.findings if f.verdict == "fail"} == {"errors"}


def _vote(world: World, version: str, found: Facts, segment: str = "default") -> ReviewDecided:
    asked = request(version, Stage.PRODUCTION, segment=segment)
    return ReviewDecided(
        model=MODEL,
        version=version,
        segment=segment,
        actor="bo",
        verdict="approved",
        reviewed_at=world.clock(),
        evidence=evidence_of(world.state, asked, found),
    )
