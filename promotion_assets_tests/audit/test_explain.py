from __future__ import annotations

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.audit.explain import concerns, explain, explain_at
from promotion_assets.audit.explain_text import render, render_at
from promotion_assets.audit.status import status
from promotion_assets.decision.decide import Decision, Pins
from promotion_assets.errors import UsageError
from promotion_assets.gates.contract import GateResult, Measurement, Outcome
from promotion_assets.lifecycle.events import Deviation, RegistryTampered
from promotion_assets.lifecycle.promotion import complete_rollout
from promotion_assets.lifecycle.record import record_evaluation
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    DATASET,
    MODEL,
    POLICY,
    adopted,
    digest,
    go_live,
)


def incident(clock: Clock) -> Decision:
    """A decision that rejects version 3 because of one group."""
    return Decision(
        model=MODEL,
        version="3",
        verdict="rejected",
        deciding_gates=("fairness",),
        reason="fairness failed: high school fell by .08",
        pins=Pins(
            model_digest=digest("3"),
            champion_version="1",
            champion_digest=digest("1"),
            dataset_digest=DATASET,
            policy_digest=POLICY,
            code_version="0.1.0",
        ),
        decided_at=clock(),
        results=(
            GateResult(
                gate="accuracy",
                outcome=Outcome.PASSED,
                reason="AUC .757 against .722",
                measurements=(Measurement(name="roc_auc", observed=0.757, baseline=0.722),),
            ),
            GateResult(gate="fairness", outcome=Outcome.FAILED, reason="x" * 600),
        ),
    )


def test_status_has_the_promised_form(ledger: DatabaseLedger, clock: Clock) -> None:
    """Champions by segment, versions as strings with stage, verdict, gates, reason and time."""
    registry = FakeRegistry()
    adopted(ledger, registry)
    record_evaluation(ledger, registry, incident(clock))
    assert status(ledger) == {
        "models": [
            {
                "model": MODEL,
                "champions": {"default": "1"},
                "versions": [
                    {
                        "version": "1",
                        "stage": "Production",
                        "verdict": "pending",
                        "deciding_gates": [],
                        "reason": "not evaluated yet",
                        "decided_at": None,
                    },
                    {
                        "version": "3",
                        "stage": "None",
                        "verdict": "rejected",
                        "deciding_gates": ["fairness"],
                        "reason": "fairness failed: high school fell by .08",
                        "decided_at": "2026-03-02T09:00:00+00:00",
                    },
                ],
            }
        ]
    }
    assert status(ledger, ["unheard-of"]) == {
        "models": [{"model": "unheard-of", "champions": {}, "versions": []}]
    }


def test_a_decision_is_recorded_once_and_tagged(ledger: DatabaseLedger, clock: Clock) -> None:
    """Recording the same decision again adds no entry; tags carry each gate, cut to length."""
    registry = FakeRegistry()
    first = record_evaluation(ledger, registry, incident(clock))
    assert record_evaluation(ledger, registry, incident(clock)) == first
    assert ledger.head().size == 1
    tags = registry.versions["3"].tags
    assert tags["promotion.decision"] == "rejected"
    assert tags["gate.fairness.passed"] == "false"
    assert tags["gate.fairness.reason"] == "x" * 500
    assert tags["promotion.digest"] == digest("3")


def test_a_silent_registry_does_not_stop_the_record(ledger: DatabaseLedger, clock: Clock) -> None:
    """The decision is in the ledger even when the version cannot be tagged."""
    for registry in (FakeRegistry(fail_at={1}), FakeRegistry(deleted={"3"})):
        record_evaluation(ledger, registry, incident(clock))
    assert ledger.state(MODEL).decisions["3"].verdict == "rejected"


def test_explain_answers_the_six_questions(ledger: DatabaseLedger, clock: Clock) -> None:
    """Checks, metrics, reviews, dataset, shadow and champion then are answered from the ledger."""
    registry = FakeRegistry()
    adopted(ledger, registry)
    record_evaluation(ledger, registry, incident(clock))
    found = explain(ledger, MODEL, "3")
    assert [check["gate"] for check in found["checks"]] == ["accuracy", "fairness"]
    assert found["metrics"] == {"roc_auc": 0.757}
    assert found["champion"] == {
        "version": "1",
        "digest": digest("1"),
        "metrics": {"roc_auc": 0.722},
    }
    assert found["evaluation_dataset"]["digest"] == DATASET
    assert (found["reviews"], found["shadow"]) == ([], None)
    assert [entry["event"] for entry in found["timeline"]] == ["EVALUATION_FINISHED"]


def test_explain_shows_reviews_and_shadow_where_there_are_any(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """Who approved, when and with which answers, and what the shadow showed."""
    registry = FakeRegistry()
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    found = explain(ledger, MODEL, "2")
    assert found["reviews"][0]["actor"] == "bo"
    assert found["reviews"][0]["answers"] == {"on-call cover": "Ana, until Friday"}
    assert found["shadow"]["passed"] is True
    assert found["stage"] == "Production"
    page = render(found)
    for word in ("bo approved", "on-call cover", "2 % of decisions", "Timeline", "roc_auc"):
        assert word in page


def test_explain_renders_one_readable_page(ledger: DatabaseLedger, clock: Clock) -> None:
    """The page names verdict, gate and dataset, and no line is wider than a terminal."""
    record_evaluation(ledger, FakeRegistry(), incident(clock))
    page = render(explain(ledger, MODEL, "3"))
    assert page.startswith(f"{MODEL} version 3: rejected, stage None")
    assert DATASET in page
    assert max(len(line.split(" " * 6)[-1]) for line in page.splitlines()) <= 600


def test_an_unknown_version_is_wrong_use(ledger: DatabaseLedger) -> None:
    """The message says which versions are known and what to run."""
    with pytest.raises(UsageError, match="promotion evaluate credit-risk 7"):
        explain(ledger, MODEL, "7")


def test_explain_at_a_date_says_what_was_live_then_and_why(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """Before, during and after a rollout the answer is that of the moment asked for."""
    registry = FakeRegistry()
    before = clock()
    clock.advance(days=1)
    adopted(ledger, registry)
    clock.advance(days=1)
    during = clock()
    go_live(ledger, registry, "2", clock)
    clock.advance(days=1)
    complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked for 24 h")
    assert explain_at(ledger, MODEL, before)["live"] == []
    assert "nothing was live" in render_at(explain_at(ledger, MODEL, before))
    then = explain_at(ledger, MODEL, during)["live"][0]
    assert (then["champion"], then["rolling_out"]) == ("1", "2")
    assert "serving since 2024" in then["because"]
    now = explain_at(ledger, MODEL, clock())
    assert now["live"][0]["champion"] == "2"
    assert now["live"][0]["since"] == clock().isoformat()
    assert "baked for 24 h" in render_at(now)


def test_a_moved_alias_concerns_the_version_that_lost_it_and_the_one_that_got_it() -> None:
    """Both versions' stories tell of the bypass, and no other's does."""
    moved = Deviation(subject="alias", name="champion", expected="1", found="3")
    event = RegistryTampered(model="credit-risk", deviations=(moved,))
    assert [version for version in "1234" if concerns(event, version)] == ["1", "3"]


def test_a_version_that_was_never_evaluated_is_explained_as_pending(
    ledger: DatabaseLedger,
) -> None:
    """One that was adopted has no checks, no dataset and no champion, and the page says so."""
    adopted(ledger, FakeRegistry())
    found = explain(ledger, MODEL, "1")
    assert (found["verdict"], found["reason"]) == ("pending", "not evaluated yet")
    assert (found["checks"], found["evaluation_dataset"], found["champion"]) == ([], None, None)
    page = render(found)
    assert "version 1: pending, stage Production" in page


def test_what_rolled_out_beside_an_adopted_champion_is_on_the_page_of_that_day(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """The champion has no decision to show, and the other version is named."""
    registry = FakeRegistry()
    adopted(ledger, registry)
    go_live(ledger, registry, "2", clock)
    page = render_at(explain_at(ledger, MODEL, clock()))
    assert "version 2 was rolling out beside it" in page
    assert "its decision" not in page
