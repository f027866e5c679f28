"""The desk on a real home: requests open, votes are signed, and only a quorum goes live."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from promotion_assets.errors import PromotionError, ReviewNotAllowed, TransitionRefused
from promotion_assets.lifecycle.events import (
    ReviewDecided,
    ReviewReminded,
    ReviewRequested,
    Stage,
    StageChanged,
)
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.production_facts import readiness
from promotion_assets.pipeline.promoting import promote
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import CHALLENGER, INCIDENT, World


def to_production(world: World) -> Stage:
    """Ask for Production."""
    evaluator = Evaluator(world.workspace, MODEL)
    return promote(evaluator, CHALLENGER, Stage.PRODUCTION, actor="release", reason="approved")


def test_request_opens_by_itself_once(world: World) -> None:
    """Two people are asked, the author is not, and nobody twice."""
    world.keep()
    (request,) = world.events(ReviewRequested)
    assert isinstance(request, ReviewRequested)
    assert request.assigned == ("ana", "bo")
    assert [item.version for item in world.desk.queue()] == [CHALLENGER]


def test_a_long_reason_of_before_says_that_it_goes_on(world: World) -> None:
    """Earlier decisions are cut between words, and a cut is seen."""
    history = world.desk.show(MODEL, CHALLENGER, "default", "observer").view.history
    rejected = next(row.what for row in history if row.what.startswith(f"version {INCIDENT} "))
    assert "drop of" in rejected
    assert rejected.endswith(" …")
    whole = world.workspace.ledger.state(MODEL).decisions[INCIDENT].reason
    said = rejected.removeprefix(f"version {INCIDENT} rejected: ").removesuffix(" …")
    assert whole.startswith(f"{said} ")


def test_production_takes_a_quorum_and_then_succeeds(world: World) -> None:
    """With one approval it is refused by name, with two it goes; the record has both."""
    world.approve("ana")
    with pytest.raises(TransitionRefused, match="1 of 2 approvals"):
        to_production(world)
    world.approve("cy")
    assert world.keep().approved == [(CHALLENGER, "default")]
    assert to_production(world) is Stage.PRODUCTION
    change = world.events(StageChanged)[-1]
    assert isinstance(change, StageChanged)
    assert [r.reviewer for r in change.human_reviewers] == ["ana", "cy"]
    assert change.shadow_waiver == "There is no live traffic to be shadowed in a test."
    assert change.human_reviewers[0].answers["model_card"] == "yes"


def test_whoever_asks_for_production_has_not_approved_it(world: World) -> None:
    """With two approvals one of the two asks, and is told that hers does not count."""
    world.approve("ana")
    world.approve("cy")
    evaluator = Evaluator(world.workspace, MODEL)
    with pytest.raises(TransitionRefused, match=r"1 of 2 .*approval of ana does not count"):
        promote(evaluator, CHALLENGER, Stage.PRODUCTION, actor="Ana", reason="approved")
    state = world.workspace.ledger.state(MODEL)
    assert state.asked_by == {("default", CHALLENGER): "promotion"}
    assert state.stage(CHALLENGER) is Stage.STAGING


def test_vote_is_signed_over_what_was_shown(world: World) -> None:
    """The digest in the vote names a stored view, and the view has the evidence of the vote."""
    shown = world.read("ana")
    decided = world.desk.vote(world.ballot(shown, "ana"), "ana", "page")
    kept = world.workspace.store / "views" / f"{decided.view_digest}.json"
    view = json.loads(kept.read_text())
    assert decided.view_digest == shown.view_digest
    assert view["evidence"] == dict(decided.evidence)
    assert decided.seconds == 90
    assert decided.flags == ()


def test_a_fast_vote_is_flagged_and_shows_in_the_figures(world: World) -> None:
    """Forty seconds are accepted, flagged, and counted."""
    shown = world.read("cy", seconds=40)
    decided = world.desk.vote(world.ballot(shown, "cy"), "cy", "page")
    assert any("40 seconds" in flag for flag in decided.flags)
    figures = world.desk.figures()
    assert (figures.votes, figures.flagged, figures.median_seconds) == (1, 1.0, 40.0)
    assert figures.by_reviewer == {"cy": (1, 1, 0)}


def test_second_person_cannot_copy_the_first(world: World) -> None:
    """The answers of ana, handed in by bo, are refused word for word."""
    world.approve("ana")
    shown = world.read("bo")
    with pytest.raises(ReviewNotAllowed, match="word for word as ana"):
        world.desk.vote(world.ballot(shown, "ana"), "bo", "page")
    assert world.approvals() == ["ana"]


def test_freeze_refuses_approval_and_promotion(world: World) -> None:
    """On a Saturday neither a vote nor a promotion goes through; on Monday both do."""
    world.change_policy("    review:\n", "    review:\n      freeze: {weekends: true}\n")
    world.approve("ana")
    world.clock.advance(days=5)
    shown = world.read("bo")
    with pytest.raises(ReviewNotAllowed, match="it is Saturday"):
        world.desk.vote(world.ballot(shown, "bo"), "bo", "page")
    with pytest.raises(TransitionRefused, match="a freeze window is open: it is Saturday"):
        to_production(world)
    world.clock.advance(days=2)
    assert world.desk.vote(world.ballot(shown, "bo"), "bo", "page").verdict == "approved"


def test_policy_that_asks_otherwise_voids_approvals(world: World) -> None:
    """A changed rule of the review asks everybody again; a changed roster does not."""
    world.approve("ana")
    world.change_policy("{name: cy, role: operations}", "{name: dee}")
    assert world.desk.queue()[0].approvals == 1
    world.change_policy("    review:\n", "    review:\n      min_text: 25\n")
    world.keep()
    assert world.desk.queue()[0].approvals == 0
    with pytest.raises(TransitionRefused, match="changed since: review"):
        to_production(world)


def test_approval_of_somebody_who_left_does_not_count(world: World) -> None:
    """Whoever the policy no longer lists has not approved."""
    world.approve("ana")
    world.approve("cy")
    world.change_policy("        - {name: cy, role: operations}\n", "")
    with pytest.raises(TransitionRefused, match="1 of 2 approvals"):
        to_production(world)


def test_expired_approval_does_not_count(world: World) -> None:
    """After fourteen days the first approval is old, and the second alone is not enough."""
    world.approve("ana")
    world.clock.advance(days=14)
    world.keep()
    world.approve("bo")
    with pytest.raises(TransitionRefused, match="1 of 2 approvals"):
        to_production(world)


def test_rejection_archives_and_closes(world: World) -> None:
    """One rejection ends it: Archived, out of the queue, with its reason."""
    shown = world.desk.show(MODEL, CHALLENGER, "default", "bo")
    world.desk.vote(world.ballot(shown, "bo", "rejected"), "bo", "page")
    assert world.workspace.ledger.state(MODEL).stage(CHALLENGER) is Stage.ARCHIVED
    assert world.desk.queue() == ()
    change = world.events(StageChanged)[-1]
    assert isinstance(change, StageChanged)
    assert change.reason.startswith("rejected by bo: ")


def test_waiting_request_is_reminded_and_expires(world: World) -> None:
    """A reminder after two days; after fourteen the end, and the next in turn is asked."""
    world.clock.advance(days=2, minutes=1)
    world.keep()
    world.keep()
    world.clock.advance(days=13)
    world.keep()
    world.keep()
    said = [e.what for e in world.events(ReviewReminded) if isinstance(e, ReviewReminded)]
    assert said == ["reminder", "expired"]
    last = world.events(ReviewRequested)[-1]
    assert isinstance(last, ReviewRequested)
    assert last.assigned == ("cy", "ana")


def test_champion_that_does_not_load_blocks_production(world: World) -> None:
    """Without a way back there is no way forward; the champion's readiness is really tried."""
    evaluator = Evaluator(world.workspace, MODEL)
    assert readiness(evaluator) == "ready"
    record = world.workspace.home / "evaluations" / MODEL / "1" / "candidate.json"
    kept: Mapping[str, object] = json.loads(record.read_text())
    record.write_text(json.dumps({**kept, "artifact_dir": str(world.root / "gone")}))
    assert readiness(Evaluator(world.workspace, MODEL)) == "unproven"


def test_incident_has_no_request_and_takes_no_vote(world: World) -> None:
    """A rejected version is shown with its harmed group, and nobody can approve it."""
    shown = world.desk.show(MODEL, INCIDENT, "default", "ana")
    assert shown.view.groups[0].group == "education=3 (high school)"
    assert shown.closed is not None
    ballot = world.ballot(shown, "ana").model_copy(update={"version": INCIDENT})
    with pytest.raises(PromotionError):
        world.desk.vote(ballot, "ana", "page")
    assert world.events(ReviewDecided) == []
