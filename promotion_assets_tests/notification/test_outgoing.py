"""What the outside is told of each ledger entry."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.lifecycle.drill_events import DrillOpened, DrillReminded, journal_of
from promotion_assets.lifecycle.events import (
    AnyEvent,
    ChampionFailed,
    DeploymentConfirmed,
    Deviation,
    Recorded,
    RegistryTampered,
    ReviewDecided,
    ReviewReminded,
    ReviewRequested,
    RolloutStepped,
    ShadowReported,
    Stage,
    StageChanged,
)
from promotion_assets.notification.outgoing import OutgoingEvent, outgoing
from promotion_assets.notification.text import sentence
from promotion_assets.policy.notifications import EVENT_NAMES
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, adopted, evaluated, go_live
from promotion_assets_tests.notification.worlds import rolled_back


def told(ledger: DatabaseLedger) -> list[OutgoingEvent]:
    """Everything the outside is told of a ledger."""
    return [event for recorded in ledger.events() for event in outgoing(recorded)]


def test_the_way_to_production_is_told_step_by_step(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Each change of stage twice, once under its stage's name; decision, tags and vote by name."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    names = [(event.type, event.version) for event in told(ledger)]
    assert names == [
        ("MODEL_VERSION_TRANSITIONED_STAGE", "1"),
        ("MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "1"),
        ("EVALUATION_FINISHED", "2"),
        ("MODEL_VERSION_TAG_SET", "2"),
        ("MODEL_VERSION_TRANSITIONED_STAGE", "2"),
        ("MODEL_VERSION_TRANSITIONED_TO_STAGING", "2"),
        ("REVIEW_DECIDED", "2"),
        ("MODEL_VERSION_TRANSITIONED_STAGE", "2"),
        ("MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "2"),
    ]
    assert {name for name, _ in names} <= set(EVENT_NAMES)


def test_ids_are_of_the_entry_and_differ(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The same entry gives the same id whoever asks; no two events share one."""
    adopted(ledger, registry)
    ledger.append([evaluated("2", clock)])
    first, again = told(ledger), told(ledger)
    assert [event.id for event in first] == [event.id for event in again]
    assert len({event.id for event in first}) == len(first) == 4


def test_answers_decisions_and_evidence_stay_in_the_ledger(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What a reviewer answered, a decision's full text and tags' values beyond ours go nowhere."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    ledger.append([evaluated("3", clock, decision={"results": [{"gate": "planted-in-decision"}]})])
    bodies = b"".join(event.body() for event in told(ledger))
    stored = "".join(str(recorded.event) for recorded in ledger.events())
    for planted in ("Ana, until Friday", "planted-in-decision"):
        assert planted in stored
        assert planted.encode() not in bodies


@pytest.mark.parametrize(
    ("event", "name", "said"),
    [
        (rolled_back(), "ROLLED_BACK", "from version 2 to 1: errors tripled"),
        (
            RegistryTampered(
                model=MODEL,
                deviations=(Deviation(subject="alias", name="champion", expected="1", found="9"),),
            ),
            "REGISTRY_TAMPERED",
            "alias champion is '9' and should be '1'",
        ),
        (
            RolloutStepped(
                model=MODEL,
                version="2",
                action="advance",
                step=1,
                share_from=500,
                share_to=2500,
                generation=4,
                at=Clock()(),
                reason="as safe as can be told",
            ),
            "ROLLOUT_STEP",
            "advance, now 25 %: as safe as can be told",
        ),
        (
            ReviewRequested(model=MODEL, version="2", assigned=("ana", "bo")),
            "REVIEW_REQUESTED",
            "it is the turn of ana, bo",
        ),
        (
            ReviewDecided(
                model=MODEL,
                version="2",
                actor="ana",
                verdict="rejected",
                reviewed_at=Clock()(),
                evidence={},
                comment="loses customers",
            ),
            "REVIEW_DECIDED",
            "ana rejected credit-risk version 2: loses customers",
        ),
        (
            ReviewReminded(model=MODEL, version="2", request_id="r1", what="expired"),
            "REVIEW_REMINDED",
            "the review of credit-risk version 2 expired without a decision",
        ),
        (
            evaluated("2", Clock()),
            "MODEL_VERSION_TAG_SET",
            "credit-risk version 2 was tagged: gate.accuracy.passed, promotion.decision",
        ),
        (
            DeploymentConfirmed(
                model=MODEL,
                version="2",
                actor="ci",
                notification="evt_1",
                reported_at=Clock()(),
                smoke_test="passed",
                health="unhealthy",
            ),
            "DEPLOYMENT_CONFIRMED",
            "credit-risk version 2 was deployed to production: smoke test passed, unhealthy",
        ),
        (
            ChampionFailed(model=MODEL, version="1", reason="AUC fell", decision_digest="d" * 64),
            "CHAMPION_FAILED",
            "champion credit-risk version 1 would not be let through today: AUC fell",
        ),
        (
            StageChanged(
                model=MODEL,
                version="2",
                promoted_from=Stage.STAGING,
                promoted_to=Stage.ARCHIVED,
                cause="withdrawn",
                reason="superseded in the lab",
                approved=False,
            ),
            "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
            "went from Staging to Archived (withdrawn): superseded in the lab",
        ),
    ],
)
def test_each_event_has_its_name_and_a_sentence(event: AnyEvent, name: str, said: str) -> None:
    """Names are those of the contract; people get a sentence, programs the fields."""
    found = [each for each in outgoing(recorded(event)) if each.type == name]
    assert len(found) == 1
    assert said in sentence(found[0])
    assert json.loads(found[0].body())["data"]["model"] == MODEL


DRILL = {"model": journal_of(MODEL), "version": "2", "request_id": "r1", "assigned": ("ana", "bo")}
ASKED = {"evidence": {}, "requested_at": Clock()(), "expires_at": Clock()()}


@pytest.mark.parametrize(
    ("drill", "real"),
    [
        (
            DrillOpened.model_validate(
                {
                    **DRILL,
                    **ASKED,
                    "source_version": "1",
                    "defect": "harmed group",
                    "told": ("high school loses",),
                    "case_digest": "c" * 64,
                    "after_requests": 3,
                }
            ),
            ReviewRequested.model_validate({**DRILL, **ASKED, "model": MODEL}),
        ),
        (
            DrillReminded.model_validate(DRILL),
            ReviewReminded.model_validate({**DRILL, "model": MODEL, "what": "reminder"}),
        ),
    ],
    ids=["opened", "reminded"],
)
def test_a_drill_is_told_as_a_real_review_would_be(drill: AnyEvent, real: AnyEvent) -> None:
    """Byte for byte, but for the id: who could tell them apart would not be put to a test."""
    (told_of_it,), (genuine,) = outgoing(recorded(drill)), outgoing(recorded(real))
    assert told_of_it.body() == genuine.body()
    assert sentence(told_of_it) == sentence(genuine)


def test_steps_of_the_machinery_are_told_to_nobody() -> None:
    """Shadow reports, intents and the like have no outgoing event."""
    quiet = ShadowReported(
        model=MODEL, version="2", passed=True, model_digest="0" * 64, summary="alike"
    )
    assert outgoing(recorded(quiet)) == ()
    kinds = {kind.model_fields["kind"].default for kind in get_args(AnyEvent)}
    own = {*EVENT_NAMES} & kinds
    assert own == {
        "REVIEW_REQUESTED",
        "REVIEW_REMINDED",
        "REVIEW_DECIDED",
        "ROLLOUT_STEP",
        "ROLLED_BACK",
        "REGISTRY_TAMPERED",
        "EVALUATION_FINISHED",
        "CHAMPION_FAILED",
        "DEPLOYMENT_CONFIRMED",
    }


def recorded(event: AnyEvent) -> Recorded:
    """An event as the ledger gives it back."""
    return Recorded(1, 1, Clock()(), "a" * 64, event)
