"""Drills in a real queue: like any other request, told after the vote, never in Production."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from promotion_assets.errors import PromotionError, ReviewNotAllowed
from promotion_assets.lifecycle.drill_events import DrillOpened, DrillRefused, journal_of
from promotion_assets.lifecycle.events import (
    Adopted,
    ReviewRefused,
    ReviewRequested,
    Stage,
    StageChanged,
)
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.notification.outgoing import outgoing
from promotion_assets.pipeline.drilling import next_drill
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.past_drills import all_drills
from promotion_assets.pipeline.promoting import adopt, promote, to_staging
from promotion_assets.review.case import Ballot
from promotion_assets.review.defects import FAILING, HARMED, LIMITATION, REPLAYED
from promotion_assets.review.drills import Drill
from promotion_assets.review.ports import Shown
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import (
    CHALLENGER,
    INCIDENT,
    World,
    csrf_of,
    form,
    serving,
    signed_in,
)

T = 60


def with_drill(world: World, *, seed: int = 1) -> Drill:
    """Switch drills on; one is opened at once."""
    stanza = f"      drill: {{enabled: true, per_requests: 1, seed: {seed}}}\n"
    world.change_policy("    review:\n", f"    review:\n{stanza}")
    assert world.keep().problems == []
    (drill,) = all_drills(world.workspace, MODEL)
    return drill


@pytest.fixture
def drill(world: World) -> Drill:
    """A drill in the queue of the world."""
    return with_drill(world)


def read(world: World, drill: Drill, by: str) -> tuple[Shown, Ballot]:
    """Read a drill as carefully as any request; give the approval of it."""
    place = (MODEL, drill.opened.version, "default", by)
    shown = world.desk.show(*place)
    for part in shown.case.slices:
        world.desk.open_slice(*place, part.id)
    world.clock.advance(seconds=90)
    return shown, world.ballot(shown, by).model_copy(update={"version": drill.opened.version})


def approve(world: World, drill: Drill, by: str) -> None:
    """Approve a drill, as one should not."""
    _, ballot = read(world, drill, by)
    world.desk.vote(ballot, by, "page")


def test_off_unless_the_policy_wants_it(world: World) -> None:
    """Housekeeping of a policy without the stanza opens none."""
    world.keep()
    assert all_drills(world.workspace, MODEL) == ()


def test_waits_in_the_queue_like_the_others(world: World, drill: Drill) -> None:
    """It has a number that nobody has, two people assigned, and the form of its neighbour."""
    real, drilled = world.desk.queue()
    assert (real.version, drilled.version) == (CHALLENGER, drill.opened.version)
    assert drilled.model == MODEL
    assert world.workspace.registry.find(MODEL, drilled.version) is None
    assert len(drilled.assigned) == 2
    assert "tomas" not in drilled.assigned
    assert len(drilled.request_id) == len(real.request_id)
    assert world.keep().approved == []


def test_page_gives_nothing_away_until_the_vote(world: World, drill: Drill) -> None:
    """No page says drill before the vote; after it the voter is told what was wrong, alone."""
    version = drill.opened.version
    place = f"/models/{MODEL}/versions/{version}"
    with serving(world) as url:
        ana, bo = signed_in(world, url, "ana"), signed_in(world, url, "bo")
        shown, ballot = read(world, drill, "ana")
        paths = ["/", "/figures", place, f"{place}/try"]
        paths += [f"{place}/slices/{part.id}" for part in shown.case.slices]
        for path in paths:
            page = ana.get(f"{url}{path}", timeout=T)
            assert page.status_code == 200, path
            assert "drill" not in page.text.lower(), path
        for png in shown.pictures.values():
            assert png.startswith(b"\x89PNG")
        assert "accuracy roc" in shown.pictures
        answer = post(ana, url, place, ballot)
        assert "This one should have been rejected" in answer
        assert f"there is no version {version}" in answer
        assert "What is wrong with it" in answer
        assert "It was a drill" in ana.get(f"{url}{place}", timeout=T).text
        assert "drill" not in bo.get(f"{url}{place}", timeout=T).text.lower()
        rejected = Ballot(model=MODEL, version=version, verdict="rejected", comment="it harms many")
        assert "Well caught" in post(bo, url, place, rejected)
        figures = bo.get(f"{url}/figures", timeout=T).text
    assert "Catch rate" in figures
    assert "100 %" in figures
    assert [item.version for item in world.desk.queue()] == [CHALLENGER]
    assert world.workspace.ledger.state(MODEL).reviews == {}


def post(session: requests.Session, url: str, place: str, ballot: Ballot) -> str:
    """Hand a ballot in at the page; return what is answered."""
    data = form(ballot, csrf_of(session, url))
    answer = session.post(f"{url}{place}/vote", data=dict(data), timeout=T)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_same_rules_hold_and_refusals_are_recorded_apart(world: World, drill: Drill) -> None:
    """Too fast is refused as anywhere; the refusal stands among drills, not with the model."""
    shown = world.desk.show(MODEL, drill.opened.version, "default", "ana")
    ballot = world.ballot(shown, "ana").model_copy(update={"version": drill.opened.version})
    with pytest.raises(ReviewNotAllowed, match="nobody reads it in less than 30"):
        world.desk.vote(ballot, "ana", "cli")
    assert len(world.events(DrillRefused, journal_of(MODEL))) == 1
    assert world.events(ReviewRefused) == []


def test_announced_as_any_request_is(world: World, drill: Drill) -> None:
    """What goes to Slack and webhooks has the type, the model and the fields of a real one."""
    ledger = world.workspace.ledger
    real = next(r for r in ledger.events(MODEL) if isinstance(r.event, ReviewRequested))
    drilled = next(r for r in ledger.events(journal_of(MODEL)) if isinstance(r.event, DrillOpened))
    (first,), (second,) = outgoing(real), outgoing(drilled)
    assert (second.type, second.model) == (first.type, first.model)
    assert second.version == drill.opened.version
    assert second.data.keys() == first.data.keys()


Way = Callable[[World, Drill], object]


def ways() -> dict[str, Way]:
    """Every way into Production that there is, and some that there must not be."""

    def to(stage: Stage, model: str = MODEL) -> Way:
        return lambda w, d: promote(
            Evaluator(w.workspace, model), d.opened.version, stage, actor="x", reason="drilled"
        )

    def rolled(world: World, drill: Drill) -> object:
        return rollback(
            world.workspace.ledger,
            world.workspace.registry,
            MODEL,
            to=drill.opened.version,
            actor="x",
            reason="back to the drill",
        )

    def moved(model: str) -> Way:
        return lambda w, d: w.workspace.ledger.append(
            [
                StageChanged(
                    model_name=model,
                    model_version=d.opened.version,
                    promoted_from=Stage.STAGING,
                    promoted_to=Stage.PRODUCTION,
                    cause="promotion",
                    reason="written past every check",
                    approved=True,
                    model_digest=d.opened.evidence["model"],
                )
            ]
        )

    def adopted(model: str) -> Way:
        return lambda w, d: w.workspace.ledger.append(
            [Adopted(model=model, version=d.opened.version, reason="x" * 10, model_digest="a" * 64)]
        )

    return {
        "promote to Production": to(Stage.PRODUCTION),
        "promote to Staging": to(Stage.STAGING),
        "by the journal's name": to(Stage.PRODUCTION, journal_of(MODEL)),
        "the staging step": lambda w, d: to_staging(
            Evaluator(w.workspace, MODEL), d.opened.version, actor="x"
        ),
        "adopt": lambda w, d: adopt(
            Evaluator(w.workspace, MODEL), d.opened.version, actor="x", reason="it serves already"
        ),
        "adopt where there is no champion": lambda w, d: adopt(
            Evaluator(w.workspace, MODEL, "eu"), d.opened.version, actor="x", reason="it serves"
        ),
        "roll back to it": rolled,
        "a stage change in the ledger": moved(MODEL),
        "a stage change in the journal": moved(journal_of(MODEL)),
        "an adoption in the ledger": adopted(MODEL),
        "an adoption in the journal": adopted(journal_of(MODEL)),
        "its votes moved over to the model": votes_moved_over,
    }


def votes_moved_over(world: World, drill: Drill) -> object:
    """Write the drill's approvals into the model's own history, and ask for Production."""
    (now,) = all_drills(world.workspace, MODEL)
    assert len(now.votes) == 2
    world.workspace.ledger.append(list(now.votes))
    evaluator = Evaluator(world.workspace, MODEL)
    return promote(evaluator, drill.opened.version, Stage.PRODUCTION, actor="x", reason="approved")


def test_no_way_leads_into_production(world: World, drill: Drill) -> None:
    """Approved by a quorum it is missed; whatever is tried then leaves every stage as it was."""
    approve(world, drill, "ana")
    approve(world, drill, "bo")
    (over,) = all_drills(world.workspace, MODEL)
    assert over.ended is not None
    assert over.ended.outcome == "missed"
    assert world.keep().approved == []
    before = world.workspace.ledger.state(MODEL)
    for name, way in ways().items():
        with pytest.raises(PromotionError):
            way(world, drill)
        after = world.workspace.ledger.state(MODEL)
        assert (after.stages, after.champions, after.rolling) == (
            before.stages,
            before.champions,
            before.rolling,
        ), name
        assert after.stage_anywhere(drill.opened.version) is Stage.NONE, name
        view = world.workspace.registry.read_mirror(MODEL)
        assert drill.opened.version not in view.versions, name
        assert drill.opened.version not in view.aliases.values(), name
    assert world.workspace.ledger.state(journal_of(MODEL)).stages == {}


def test_its_digest_is_no_artifacts(world: World, drill: Drill) -> None:
    """Even were its votes a real version's, they would be on another artifact."""
    state = world.workspace.ledger.state(MODEL)
    real = {decision.model_digest for decision in state.decisions.values()}
    assert drill.opened.evidence["model"] not in real | set(state.digests.values())


def test_withdrawn_when_what_it_was_made_of_changes(world: World, drill: Drill) -> None:
    """Other rules of the review, or drills switched off, end it without a verdict on anybody."""
    world.change_policy("      drill:", "      min_text: 25\n      drill:")
    world.keep()
    first = all_drills(world.workspace, MODEL)[0]
    assert first.ended is not None
    assert (first.ended.outcome, first.ended.reason) == ("withdrawn", "changed since: review")
    assert drill.opened.request_id == first.opened.request_id
    assert world.desk.figures().drills.drills == 0


def test_a_real_version_of_its_number_takes_the_place(world: World, drill: Drill) -> None:
    """Once the registry gives the number out, the drill ends and the real one is what is shown."""
    registry = world.workspace.registry
    source = str(world.root / "evaluation.parquet")
    while registry.find(MODEL, drill.opened.version) is None:
        registry.client.create_model_version(MODEL, source)
    world.keep()
    (over,) = all_drills(world.workspace, MODEL)
    assert over.ended is not None
    assert over.ended.outcome == "withdrawn"
    assert "was registered" in over.ended.reason
    with pytest.raises(PromotionError, match="no decision on it is recorded"):
        world.desk.show(MODEL, drill.opened.version, "default", "ana")


def test_expires_like_a_request(world: World, drill: Drill) -> None:
    """A reminder after two days, the end after fourteen; nobody has caught or missed it."""
    world.clock.advance(days=2, minutes=1)
    world.keep()
    (reminded,) = all_drills(world.workspace, MODEL)
    assert reminded.reminded
    world.clock.advance(days=13)
    assert drill.opened.version not in [item.version for item in world.desk.queue()]
    world.keep()
    over = all_drills(world.workspace, MODEL)[0]
    assert over.ended is not None
    assert over.ended.outcome == "expired"
    assert world.desk.figures().drills.catch_rate is None


def test_seeds_give_every_kind_of_defect(world: World) -> None:
    """The rejected incident comes again, and a sound version with each kind of defect."""
    stanza = "      drill: {enabled: true, per_requests: 1, seed: 0}\n"
    world.change_policy("    review:\n", f"    review:\n{stanza}")
    found = {}
    for seed in range(1, 40):
        world.change_policy(f"seed: {seed - 1}}}", f"seed: {seed}}}")
        drill = next_drill(world.workspace, MODEL, (), world.clock())
        assert drill is not None
        found[drill.defect] = drill
        if len(found) == 4:
            break
    assert found.keys() == {HARMED, FAILING, LIMITATION, REPLAYED}
    assert "high school" in " ".join(found[REPLAYED].told)
    assert {drill.source_version for drill in found.values()} == {CHALLENGER, INCIDENT}
