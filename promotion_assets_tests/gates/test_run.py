"""Running a gate: whatever happens inside, a recordable result comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from promotion_assets.errors import StorageUnreachable
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import (
    Gate,
    GateResult,
    GateSettings,
    Interval,
    Measurement,
    Outcome,
)
from promotion_assets.gates.run import run_gate
from promotion_assets.gates.verdict import NotJudged, conclude
from promotion_assets_tests import evidence as make


def gate_of(evaluate: Callable[[Evidence, Any], Any]) -> Gate:
    """Return a gate called ``house`` around a function."""
    return Gate(name="house", question="?", settings=GateSettings, evaluate=evaluate)


def run(evaluate: Callable[[Evidence, Any], Any], **changes: Any) -> GateResult:
    """Run ``evaluate`` as a gate."""
    return run_gate(gate_of(evaluate), make.evidence(**changes), GateSettings(), make.clock)


def result(**changes: Any) -> GateResult:
    """Return a passing result of ``house``."""
    return GateResult(**{"gate": "house", "outcome": Outcome.PASSED, "reason": "fine", **changes})


def raising(error: BaseException) -> Callable[[Evidence, Any], Any]:
    """Return a gate's function that raises."""

    def _evaluate(evidence: Evidence, settings: Any) -> Any:
        raise error

    return _evaluate


def test_an_exception_becomes_an_error_without_a_traceback() -> None:
    """Type and message are told, in one line."""
    found = run(raising(ZeroDivisionError("division\nby zero")))
    assert found.outcome is Outcome.ERROR
    assert "ZeroDivisionError: division by zero" in found.reason
    assert "Traceback" not in found.reason
    assert "\n" not in found.reason


def test_our_own_errors_keep_their_next_step() -> None:
    """A raised error of the package says what is wrong and what to do."""
    found = run(raising(StorageUnreachable("reading", "the disk is gone", "mount it")))
    assert found.outcome is Outcome.ERROR
    assert found.reason == "the disk is gone. Next: mount it"


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.FAILED])
def test_a_gate_may_say_that_it_cannot_judge(outcome: Outcome) -> None:
    """NotJudged carries its outcome and its cause into the result."""
    found = run(
        raising(NotJudged("x", "no rows", "get some", outcome=outcome, because_of="schema"))
    )
    assert (found.outcome, found.because_of) == (outcome, "schema")
    assert found.reason == "no rows. Next: get some"


@pytest.mark.parametrize(
    "returned",
    [
        None,
        True,
        result(gate="another"),
        result(outcome=Outcome.WAIVED),
        result().model_copy(update={"details": {"share": float("nan")}}),
        result().model_copy(update={"details": {"rows": [{"share": float("inf")}]}}),
    ],
    ids=["nothing", "a bool", "another name", "waives itself", "NaN", "infinity"],
)
def test_a_result_that_cannot_be_trusted_is_an_error(returned: object) -> None:
    """Whatever else a gate returns, it does not pass."""
    assert run(lambda evidence, settings: returned).outcome is Outcome.ERROR


def test_a_nan_cannot_even_be_put_into_a_result() -> None:
    """Result, measurement and interval refuse NaN and infinity."""
    nan = float("nan")
    for make_one in (
        lambda: result(observed=nan),
        lambda: Measurement(name="x", observed=nan),
        lambda: Interval(low=nan, high=1.0, method="m"),
        lambda: result(details={"share": nan}),
    ):
        with pytest.raises(ValueError, match="finite"):
            make_one()


def test_duration_is_measured_and_never_negative() -> None:
    """The clock is read before and after; one that is set back gives 0."""
    given = make.evidence()
    gate = gate_of(lambda evidence, settings: result())
    assert run_gate(gate, given, GateSettings(), make.ticking()).duration_seconds == 1.0
    times = iter([make.NOON, make.NOON - timedelta(hours=1)])
    assert run_gate(gate, given, GateSettings(), lambda: next(times)).duration_seconds == 0.0


def test_the_time_of_judgement_is_given_to_the_gate() -> None:
    """A gate sees the time from its evidence; one that is pinned there stays."""
    seen = []
    gate = gate_of(lambda evidence, settings: seen.append(evidence.as_of) or result())
    run_gate(gate, make.evidence(), GateSettings(), make.clock)
    pinned = make.NOON - timedelta(days=9)
    run_gate(gate, make.evidence(as_of=pinned), GateSettings(), make.clock)
    assert seen == [make.NOON, pinned]


def waiver(**changes: Any) -> dict[str, Any]:
    """Return a waiver of ``house`` for version 2."""
    made = {
        "gate": "house",
        "version": "2",
        "by": "Ada",
        "reason": "accepted until the new data is there",
        "until": date(2026, 3, 1),
    }
    return {**made, **changes}


def waived(outcome: Outcome, **changes: Any) -> GateResult:
    """Run a gate with ``outcome`` under a policy with a waiver."""
    policy = make.policy(waivers=[waiver(**changes)])
    return run(lambda evidence, settings: result(outcome=outcome), policy=policy)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INCONCLUSIVE])
def test_a_waiver_is_recorded_with_what_was_found(outcome: Outcome) -> None:
    """Who, why, until when, and the outcome that was waived."""
    found = waived(outcome)
    assert found.outcome is Outcome.WAIVED
    assert found.lets_through
    assert found.reason.startswith("waived by Ada until 2026-03-01 (accepted until")
    assert f"found: {outcome}: fine" in found.reason
    assert found.details["waived_outcome"] == outcome
    assert found.details["waiver"]["by"] == "Ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"until": date(2026, 2, 28)},
        {"version": "3"},
        {"version": "02"},
        {"gate": "accuracy"},
    ],
)
def test_a_waiver_of_something_else_does_not_hold(changes: dict[str, Any]) -> None:
    """Expired, for another version or another gate: the failure stays."""
    assert waived(Outcome.FAILED, **changes).outcome is Outcome.FAILED


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.PASSED])
def test_an_error_is_not_waived_and_a_pass_needs_none(outcome: Outcome) -> None:
    """Nobody can accept what was not seen."""
    assert waived(outcome).outcome is outcome


def test_conclude_takes_the_worst_and_names_the_rest() -> None:
    """Failed before error before inconclusive before passed; others are named."""
    numbers = [
        Measurement(name="a", subject=s, observed=i, outcome=outcome, reason=f"{s} is bad")
        for i, (s, outcome) in enumerate(
            [
                ("p", Outcome.PASSED),
                ("i", Outcome.INCONCLUSIVE),
                ("e", Outcome.ERROR),
                ("f", Outcome.FAILED),
                ("g", Outcome.FAILED),
                ("n", None),
            ]
        )
    ]
    worst = conclude("house", numbers, passed_reason="fine")
    assert (worst.outcome, worst.observed) == (Outcome.FAILED, 3.0)
    assert worst.reason == "f is bad (and 1 more: g)"
    assert conclude("house", numbers[:3], passed_reason="fine").outcome is Outcome.ERROR
    assert conclude("house", numbers[:2], passed_reason="fine").outcome is Outcome.INCONCLUSIVE
    assert conclude("house", numbers[:1], passed_reason="fine").reason == "fine"


def test_conclude_of_nothing_is_inconclusive() -> None:
    """No judged number, no pass."""
    reported = Measurement(name="a", observed=1.0)
    for numbers in ([], [reported]):
        assert conclude("house", numbers, passed_reason="x").outcome is Outcome.INCONCLUSIVE


def test_inputs_of_the_gate_do_not_overwrite_the_pinned_ones() -> None:
    """A gate may add digests and cannot lie about what it was given."""
    found = run(lambda evidence, settings: result(inputs={"model": "f" * 64, "own": "a" * 64}))
    assert found.inputs["own"] == "a" * 64
    assert found.inputs["model"] == make.candidate().digest


def test_evidence_without_champion_and_dataset_pins_what_there_is() -> None:
    """Absent parts have no digest."""
    given = dataclasses.replace(make.evidence(), champion=None, dataset=None)
    found = run_gate(gate_of(lambda e, s: result()), given, GateSettings(), make.clock)
    assert set(found.inputs) == {"model", "policy"}
