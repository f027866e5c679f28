"""Others who write to the same model at the same moment: who waits, who is told, who finishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.decision.decide import Decision, Pins
from promotion_assets.errors import Conflict, IntegrityError
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.lifecycle.events import (
    AnyEvent,
    IntentAbandoned,
    IntentRecorded,
    Recorded,
    Stage,
)
from promotion_assets.lifecycle.intents import finish
from promotion_assets.lifecycle.ports import MirroredVersion
from promotion_assets.lifecycle.promotion import complete_rollout, promote
from promotion_assets.lifecycle.reconcile import reconcile
from promotion_assets.lifecycle.record import record_evaluation
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    DATASET,
    MODEL,
    POLICY,
    adopted,
    digest,
    evaluated,
    facts,
    go_live,
    request,
)


@dataclass
class Busy:
    """A ledger that others write to just before us.

    Attributes:
        first: what they do before each of our coming appends.
        always: what they do before every one of them.
    """

    inner: DatabaseLedger
    first: list[Callable[[], Any]] = field(default_factory=list)
    always: Callable[[], Any] = lambda: None

    def state(self, model: str) -> ModelState:
        return self.inner.state(model)

    def events(self, model: str) -> Any:
        return self.inner.events(model)

    def append(
        self, events: Sequence[AnyEvent], *, expect_sequence: int | None = None
    ) -> Sequence[Recorded]:
        if self.first:
            self.first.pop(0)()
        self.always()
        return self.inner.append(events, expect_sequence=expect_sequence)


def nothing() -> None:
    """Nobody comes first."""


@pytest.fixture
def others(ledger: DatabaseLedger, clock: Clock) -> Callable[[], Any]:
    """Evaluations of other versions, one after the other."""
    numbers = count(100)
    return lambda: ledger.append([evaluated(str(next(numbers)), clock)])


def decision(clock: Clock, **changes: Any) -> Decision:
    """A decision on version 2 with one gate in it."""
    measured = (
        Measurement(name="auc", observed=0.8, baseline=0.7, outcome=Outcome.PASSED),
        Measurement(name="auc", subject="sex=f", observed=0.6, baseline=0.5),
        Measurement(name="brier", observed=0.1),
    )
    values: dict[str, Any] = {
        "model": MODEL,
        "version": "2",
        "verdict": "approved",
        "deciding_gates": (),
        "reason": "all gates let it through",
        "pins": Pins(
            model_digest=digest("2"), dataset_digest=DATASET, policy_digest=POLICY, code_version="1"
        ),
        "decided_at": clock(),
        "results": (
            GateResult(
                gate="accuracy", outcome=Outcome.PASSED, reason="AUC", measurements=measured
            ),
        ),
        **changes,
    }
    return Decision(**values)


def test_a_promotion_waits_out_what_changes_no_stage(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """An evaluation before the intent, and one before it is closed: the registry is asked once."""
    ledger.append([evaluated("2", clock)])
    busy = Busy(ledger, [others, nothing, others])
    after = promote(busy, registry, request("2"), facts("2"), clock())
    assert after.stage("2") is Stage.STAGING
    busy = Busy(ledger, [nothing, others, others])
    ledger.append([evaluated("3", clock)])
    promote(busy, registry, request("3"), facts("3"), clock())
    assert ledger.state(MODEL).stage("3") is Stage.STAGING
    # The third gains the alias that the second loses.
    assert registry.calls == [(MODEL, "2"), (MODEL, "3"), (MODEL, "2")]


def test_an_adoption_waits_and_a_completion_is_decided_again_by_who_asked(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """What a rollout has shown is told with its end, and holds for what was seen alone."""
    adopted(Busy(ledger, [others]), registry)  # type: ignore[arg-type]
    go_live(ledger, registry, "2", clock)
    with pytest.raises(Conflict, match="run the command again"):
        complete_rollout(Busy(ledger, [others]), registry, MODEL, actor="ana", reason="it held")
    assert ledger.state(MODEL).champions == {"default": "1"}
    after = complete_rollout(ledger, registry, MODEL, actor="ana", reason="it held")
    assert after.champions == {"default": "2"}


def test_of_two_changes_the_later_one_is_told_that_it_came_too_late(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Whether it is a promotion, an adoption or a completion; nothing of it is recorded."""
    ledger.append([evaluated("2", clock), evaluated("3", clock)])

    def _other(version: str) -> Callable[[], Any]:
        return lambda: promote(ledger, registry, request(version), facts(version), clock())

    with pytest.raises(Conflict, match="another change of this model was first"):
        promote(Busy(ledger, [_other("3")]), registry, request("2"), facts("2"), clock())
    with pytest.raises(Conflict, match="another change of this model was first"):
        adopted(Busy(ledger, [_other("2")]), registry)  # type: ignore[arg-type]
    assert {v: str(ledger.state(MODEL).stage(v)) for v in "123"} == {
        **{"1": "None", "2": "Staging"},
        "3": "Staging",
    }


def test_whoever_is_always_second_gives_up_and_says_what_to_do(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """An open intent stays for the reconciler; a rollback and a verdict are asked for again."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    with pytest.raises(Conflict, match="others kept appending to the ledger"):
        rollback(Busy(ledger, always=others), registry, MODEL, actor="ana", reason="errors")
    assert ledger.state(MODEL).rolling == {"default": "2"}
    with pytest.raises(Conflict):
        record_evaluation(Busy(ledger, always=others), registry, decision(clock))
    assert ledger.state(MODEL).decisions["2"].decision_digest != decision(clock).digest
    ledger.append([evaluated("3", clock)])
    busy = Busy(ledger, [nothing])
    busy.first.append(lambda: setattr(busy, "always", others))
    with pytest.raises(Conflict, match="others appended to the ledger each time, 50 times") as told:
        promote(busy, registry, request("3"), facts("3"), clock())
    assert "promotion reconcile" in told.value.next_step
    assert ledger.state(MODEL).intent is not None


def test_a_rollback_waits_out_one_other_writer(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """It is decided again; one that is bound to a rollout which has ended changes nothing."""
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    before = ledger.state(MODEL).sequence
    same = rollback(ledger, registry, MODEL, actor="guard", reason="late", rolling="7")
    assert same.sequence == before
    after = rollback(Busy(ledger, [others]), registry, MODEL, actor="ana", reason="errors")
    assert (after.stage("2"), after.champions) == (Stage.ARCHIVED, {"default": "1"})


def test_reconciling_looks_again_where_others_write_and_gives_up_in_the_end(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """What was seen before another's entry may be wrong by then."""
    adopted(ledger, registry)
    registry.aliases["champion"] = "9"

    def _look(busy: Busy) -> Any:
        return reconcile(busy, registry, MODEL, lambda asked: facts(asked.version), clock())

    with pytest.raises(Conflict, match="others kept changing it meanwhile"):
        _look(Busy(ledger, always=others))
    assert ledger.state(MODEL).deviations == ()
    found = _look(Busy(ledger, [others]))
    assert found.deviations == ledger.state(MODEL).deviations != ()


def opened(ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock) -> IntentRecorded:
    """A promotion of version 2 to Staging that stopped before the registry was written."""
    ledger.append([evaluated("2", clock)])
    registry.fail_at = {1}
    with pytest.raises(Exception, match="no answer"):
        promote(ledger, registry, request("2"), facts("2"), clock())
    intent = ledger.state(MODEL).intent
    assert intent is not None
    return intent


def test_a_change_that_another_has_finished_is_done(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Nothing more is written to registry or ledger."""
    intent = opened(ledger, registry, clock)
    done = finish(ledger, registry, intent, finished_by="reconciler")
    calls = list(registry.calls)
    assert finish(ledger, registry, intent).sequence == done.sequence
    assert registry.calls == calls


def test_a_change_that_another_has_abandoned_is_not_done(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """The stages are not those that it announced, and whoever announced it is told."""
    intent = opened(ledger, registry, clock)
    ledger.append([IntentAbandoned(model=MODEL, intent_id=intent.intent_id, reason="too old")])
    with pytest.raises(Conflict, match="somebody else has closed it in the meantime"):
        finish(ledger, registry, intent)


def test_an_open_adoption_is_finished_and_needs_no_facts(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What has served since before the ledger began is verified by nobody again."""
    registry.fail_at = {1}
    with pytest.raises(Exception, match="no answer"):
        adopted(ledger, registry)
    registry.versions["1"] = MirroredVersion()

    def _never(asked: Any) -> Any:
        raise AssertionError(asked)

    found = reconcile(ledger, registry, MODEL, _never, clock())
    assert found.finished is not None
    assert ledger.state(MODEL).champions == {"default": "1"}


def test_a_verdict_is_recorded_with_its_headlines_and_outlasts_a_silent_registry(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock, others: Callable[[], Any]
) -> None:
    """Numbers of all rows, each beside the champion's where it has one; tags come later."""
    registry.fail_at = {1}
    entry = record_evaluation(Busy(ledger, [others]), registry, decision(clock))
    event: Any = entry.event
    assert dict(event.metrics) == {"auc": 0.8, "brier": 0.1}
    assert dict(event.champion_metrics) == {"auc": 0.7}
    assert event.tags["gate.accuracy.passed"] == "true"
    assert event.tags["gate.accuracy.reason"] == "AUC"
    assert registry.versions == {}
    ledger.append([evaluated("2", clock, segment="eu")])
    assert record_evaluation(ledger, registry, decision(clock)) == entry
    assert registry.versions["2"].tags["promotion.decision"] == "approved"


def test_a_state_whose_decision_no_entry_holds_is_no_ledger(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Nothing is recorded a second time over it; the ledger is to be verified."""
    record_evaluation(ledger, registry, decision(clock))

    class Forgetful(Busy):
        def events(self, model: str) -> Any:
            return []

    with pytest.raises(IntegrityError, match="no entry holds it") as caught:
        record_evaluation(Forgetful(ledger), registry, decision(clock))
    assert "promotion audit verify" in caught.value.next_step
