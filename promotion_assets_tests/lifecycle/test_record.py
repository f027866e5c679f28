"""A verdict is recorded once: the same decision always, the same question where a run asks so."""

from __future__ import annotations

import threading
from datetime import timedelta

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.decision.decide import Decision, Pins
from promotion_assets.lifecycle.champions import champion_failed, unreported
from promotion_assets.lifecycle.events import EvaluationFinished, Recorded
from promotion_assets.lifecycle.record import record_evaluation, same_question
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import DATASET, MODEL, POLICY, adopted, digest, evaluated


def decision(clock: Clock, *, policy: str = POLICY, seconds: float = 0) -> Decision:
    """A decision on version 1; a second one differs by its time alone."""
    return Decision(
        model=MODEL,
        version="1",
        verdict="approved",
        deciding_gates=(),
        reason="all gates let it through",
        pins=Pins(
            model_digest=digest("1"), dataset_digest=DATASET, policy_digest=policy, code_version="1"
        ),
        decided_at=clock() + timedelta(seconds=seconds),
        results=(),
    )


def count(ledger: DatabaseLedger) -> int:
    """How many evaluations the ledger holds."""
    return sum(isinstance(entry.event, EvaluationFinished) for entry in ledger.events(MODEL))


def test_a_run_that_was_asked_for_twice_records_one_verdict(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """What a second run found of the same version by the same is not a second verdict."""
    first = record_evaluation(ledger, registry, decision(clock), stands=same_question)
    later = decision(clock, seconds=5)
    assert record_evaluation(ledger, registry, later, stands=same_question) == first
    assert count(ledger) == 1


def test_a_person_may_ask_the_same_question_again(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Without a request's tag another decision is recorded, the very same one is not."""
    for made in (decision(clock), decision(clock), decision(clock, seconds=5)):
        record_evaluation(ledger, registry, made)
    assert count(ledger) == 2


def test_another_policy_and_the_one_before_again_are_questions_of_their_own(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A policy that is changed and changed back has everything judged twice more."""
    for seconds, policy in enumerate((POLICY, "b" * 64, POLICY)):
        made = decision(clock, policy=policy, seconds=seconds)
        record_evaluation(ledger, registry, made, stands=same_question)
    assert count(ledger) == 3


def test_another_version_of_the_same_number_is_another_question(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """A registered model that was made again has its own version 1."""
    for seconds in (0, 60):
        record_evaluation(
            ledger,
            registry,
            decision(clock, seconds=seconds),
            registered_at=clock() + timedelta(seconds=seconds),
            stands=same_question,
        )
    assert count(ledger) == 2


def test_runs_that_end_at_once_record_one_verdict(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Between reading and appending nobody gets in unseen."""
    start = threading.Barrier(6)
    recorded: list[Recorded] = []

    def _run(seconds: int) -> None:
        start.wait()
        made = decision(clock, seconds=seconds)
        recorded.append(record_evaluation(ledger, registry, made, stands=same_question))

    threads = [threading.Thread(target=_run, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded) == 6
    assert len({entry.hash for entry in recorded}) == 1
    assert count(ledger) == 1


def test_a_failing_champion_is_told_once_a_decision_with_what_moved(
    ledger: DatabaseLedger, registry: FakeRegistry, clock: Clock
) -> None:
    """Against the last decision that approved it, not against the last one."""
    adopted(ledger, registry)
    ledger.append([evaluated("1", clock)])
    assert list(unreported(ledger.state(MODEL))) == []
    for number, auc in enumerate((0.70, 0.69)):
        changes = {"verdict": "rejected", "reason": "AUC", "metrics": {"roc_auc": auc}}
        ledger.append(
            [evaluated("1", clock, **changes, decision_digest=str(number) * 64, dataset_digest="e")]
        )
        ((segment, last),) = unreported(ledger.state(MODEL))
        event = champion_failed(segment, last, ledger.events(MODEL))
        assert [(m.name, m.before, m.after) for m in event.numbers] == [("roc_auc", 0.79, auc)]
        assert [(m.name, m.before, m.after) for m in event.inputs] == [("dataset", DATASET, "e")]
        ledger.append([event])
        assert list(unreported(ledger.state(MODEL))) == []


def test_a_champion_that_nobody_ever_approved_is_reported_without_a_before(clock: Clock) -> None:
    """One that was adopted has nothing to be held against."""
    last = evaluated("2", clock, verdict="rejected", reason="AUC")
    told = champion_failed("default", last, [])
    assert (told.before_digest, told.inputs) == ("", ())
    assert [(moved.name, moved.before) for moved in told.gates] == [("accuracy", None)]
