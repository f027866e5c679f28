"""The decision: every required gate, once, on what is pinned; the cause is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.decision.decide import Decision, Pins, decide, pins_of, required_gates
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.policy.model import ModelPolicy
from promotion_assets_tests import evidence as make

GATES = ("accuracy", "fairness", "latency", "schema", "artifact")


def policy(**stanzas: dict[str, Any]) -> ModelPolicy:
    """Return a policy of five gates."""
    return make.policy(gates={name: stanzas.get(name, {}) for name in GATES})


def pins(of: ModelPolicy, **changes: Any) -> Pins:
    """Return pins of the standard evidence under a policy."""
    made = pins_of(make.evidence(policy=of), "0.1.0", {"python": "3.11"})
    return made.model_copy(update=changes)


def result(gate: str, outcome: Outcome = Outcome.PASSED, **changes: Any) -> GateResult:
    """Return a result."""
    return GateResult(gate=gate, outcome=outcome, reason=f"{gate} says {outcome}", **changes)


def all_passed(**others: GateResult) -> list[GateResult]:
    """Return passing results of all gates, some replaced."""
    return [others.get(name, result(name)) for name in GATES]


def decided(
    results: list[GateResult], of: ModelPolicy | None = None, pinned: Pins | None = None
) -> Decision:
    """Decide."""
    chosen = of or policy()
    return decide(
        results,
        chosen,
        model="credit-risk",
        version="2",
        pins=pinned or pins(chosen),
        decided_at=make.NOON,
    )


def test_all_passed_is_approved_and_pins_everything() -> None:
    """Digests, versions, time and results are in the decision."""
    found = decided(all_passed())
    assert found.approved
    assert found.deciding_gates == ()
    assert found.reason == "all 5 required gates let it through"
    assert found.pins.model_digest == make.candidate().digest
    assert found.pins.champion_version == "1"
    assert found.pins.dataset_digest == make.DATASET_DIGEST
    assert found.pins.policy_digest == policy().digest
    assert found.pins.environment == {"python": "3.11"}
    assert found.decided_at == make.NOON
    assert Decision.model_validate_json(found.model_dump_json()).digest == found.digest


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.FAILED, "fairness failed: fairness says failed"),
        (Outcome.ERROR, "fairness could not be judged"),
        (Outcome.INCONCLUSIVE, "fairness is inconclusive"),
    ],
)
def test_one_gate_that_does_not_let_it_through_rejects(outcome: Outcome, words: str) -> None:
    """Failed, error and inconclusive reject, and say which gate and why."""
    found = decided(all_passed(fairness=result("fairness", outcome)))
    assert found.verdict == "rejected"
    assert found.deciding_gates == ("fairness",)
    assert found.reason.startswith(words)


def test_the_worst_is_named_first() -> None:
    """A failure before an error before a doubt."""
    found = decided(
        all_passed(
            accuracy=result("accuracy", Outcome.INCONCLUSIVE),
            fairness=result("fairness", Outcome.ERROR),
            latency=result("latency", Outcome.FAILED),
        )
    )
    assert found.deciding_gates == ("latency", "fairness", "accuracy")
    assert found.reason.endswith("also stopped by fairness, accuracy")


def test_what_could_not_be_judged_because_of_another_does_not_decide() -> None:
    """An artifact that is refused is the cause; the gates that then had no scores are not."""
    blamed = {
        name: result(name, Outcome.ERROR, because_of="artifact")
        for name in ("accuracy", "fairness", "latency")
    }
    found = decided(all_passed(artifact=result("artifact", Outcome.FAILED), **blamed))
    assert found.deciding_gates == ("artifact",)
    assert found.reason == "artifact failed: artifact says failed; 3 more could not be judged " \
        "because of that"  # fmt: skip


def test_a_cause_that_let_it_through_excuses_nobody() -> None:
    """Blaming a gate that passed does not hide an error."""
    blamed = result("accuracy", Outcome.ERROR, because_of="artifact")
    assert decided(all_passed(accuracy=blamed)).deciding_gates == ("accuracy",)


def test_gates_that_blame_each_other_are_both_named() -> None:
    """A circle of blame still rejects, with names."""
    found = decided(
        all_passed(
            accuracy=result("accuracy", Outcome.ERROR, because_of="fairness"),
            fairness=result("fairness", Outcome.ERROR, because_of="accuracy"),
        )
    )
    assert set(found.deciding_gates) == {"accuracy", "fairness"}


@pytest.mark.parametrize("missing", GATES)
def test_a_required_gate_without_a_result_rejects(missing: str) -> None:
    """Absence is not a pass."""
    found = decided([r for r in all_passed() if r.gate != missing])
    assert found.verdict == "rejected"
    assert found.deciding_gates == (missing,)
    assert "gave no result" in found.reason


def test_no_results_at_all_reject() -> None:
    """An empty set of results is rejected by every required gate."""
    found = decided([])
    assert found.verdict == "rejected"
    assert set(found.deciding_gates) == set(GATES)


def test_two_results_of_one_gate_reject() -> None:
    """Nobody can outvote a failure with a second, better result."""
    found = decided([*all_passed(), result("fairness")])
    assert found.verdict == "rejected"
    assert "gave 2 results" in found.reason


def test_a_policy_that_requires_nothing_rejects() -> None:
    """Where every gate only informs, nothing speaks for the version."""
    of = policy(**{name: {"required": False} for name in GATES})
    found = decided(all_passed(), of)
    assert required_gates(of) == ()
    assert found.verdict == "rejected"
    assert "requires no gate" in found.reason


def test_a_gate_that_only_informs_never_decides() -> None:
    """It is recorded, and named in the reason."""
    of = policy(latency={"required": False})
    found = decided(all_passed(latency=result("latency", Outcome.FAILED)), of)
    assert found.approved
    assert "only informing: latency" in found.reason
    assert decided([r for r in all_passed() if r.gate != "latency"], of).approved


def test_a_waived_gate_lets_through_and_is_named() -> None:
    """Waived is let through, and the reason says so."""
    found = decided(all_passed(fairness=result("fairness", Outcome.WAIVED)))
    assert found.approved
    assert "waived: fairness" in found.reason


def test_a_doubt_may_only_warn_where_something_was_measured() -> None:
    """on_inconclusive: warn accepts doubt about a number, never the absence of one."""
    of = policy(fairness={"on_inconclusive": "warn"})
    doubt = result("fairness", Outcome.INCONCLUSIVE, observed=0.06, limit=0.05)
    found = decided(all_passed(fairness=doubt), of)
    assert found.approved
    assert "inconclusive and accepted by the policy: fairness" in found.reason
    absent = result("fairness", Outcome.INCONCLUSIVE)
    assert not decided(all_passed(fairness=absent), of).approved
    failed = result("fairness", Outcome.FAILED, observed=0.06)
    assert not decided(all_passed(fairness=failed), of).approved


@pytest.mark.parametrize("name", ["model", "champion", "dataset", "policy"])
def test_a_result_of_other_evidence_rejects(name: str) -> None:
    """A pass on another model, champion, dataset or policy is no pass."""
    other = result("fairness", inputs={name: "f" * 64})
    found = decided(all_passed(fairness=other))
    assert found.verdict == "rejected"
    assert found.deciding_gates == ("fairness",)
    assert "other evidence than is pinned" in found.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"policy_digest": "f" * 64}, "the policy changed"),
        ({"model_digest": ""}, "nothing pins what was judged"),
        ({"dataset_digest": ""}, "no evaluation dataset version"),
    ],
)
def test_what_is_not_pinned_is_rejected(changes: dict[str, str], words: str) -> None:
    """Without a digest of model, dataset and policy there is no approval."""
    of = policy()
    found = decided(all_passed(), of, pins(of, **changes))
    assert found.verdict == "rejected"
    assert words in found.reason


def test_a_gate_that_the_policy_does_not_name_decides_nothing() -> None:
    """It is kept, last."""
    found = decided([result("weekday", Outcome.FAILED), *all_passed()])
    assert found.approved
    assert [r.gate for r in found.results] == [*GATES, "weekday"]


OUTCOMES = st.lists(st.sampled_from(list(Outcome)), min_size=5, max_size=5)


@settings(deadline=None)
@given(outcomes=OUTCOMES, order=st.permutations(range(5)))
def test_approved_means_that_every_gate_let_it_through(
    outcomes: list[Outcome], order: list[int]
) -> None:
    """Over all combinations of outcomes, and whatever the order of the results."""
    results = [result(name, outcome) for name, outcome in zip(GATES, outcomes, strict=True)]
    found = decided(results)
    assert found.approved == all(o in (Outcome.PASSED, Outcome.WAIVED) for o in outcomes)
    assert bool(found.deciding_gates) != found.approved
    assert decided([results[i] for i in order]) == found
