"""Drills by themselves: when one is due, what is put in, and what is counted."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from promotion_assets.decision.decide import Decision, Pins
from promotion_assets.errors import IntegrityError
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets.lifecycle.drill_events import (
    AnyDrillEvent,
    DrillAnswered,
    DrillEnded,
    DrillOpened,
    DrillRefused,
    DrillReminded,
    journal_of,
)
from promotion_assets.lifecycle.events import Adopted, AnyEvent, ReviewDecided, parse_event
from promotion_assets.lifecycle.fold import fold
from promotion_assets.policy.review import DrillPolicy
from promotion_assets.review.defects import FAILING, HARMED, LIMITATION, REPLAYED, spoil
from promotion_assets.review.drills import Drill, drill_figures, drills_of, is_due
from promotion_assets.review.slices import slices_of
from promotion_assets.review.view import _groups, _harmed
from promotion_assets_tests.review.test_rules import EVIDENCE, NOW

JOURNAL = journal_of("credit")
ON = DrillPolicy(enabled=True, per_requests=4)


def opened(number: int = 9, **changes: object) -> DrillOpened:
    """A drill that was opened now."""
    values: dict[str, object] = {
        "model": JOURNAL,
        "version": str(number),
        "request_id": f"r{number}",
        "evidence": EVIDENCE,
        "assigned": ("ana", "bo"),
        "requested_at": NOW,
        "expires_at": NOW + timedelta(days=14),
        "source_version": "2",
        "defect": HARMED,
        "told": ("high school loses",),
        "case_digest": "c" * 64,
        "after_requests": 3,
    }
    return DrillOpened.model_validate(values | changes)


def answered(by: str, verdict: str, number: int = 9) -> DrillAnswered:
    """A vote on it."""
    return DrillAnswered.model_validate(
        {
            "model": JOURNAL,
            "version": str(number),
            "request_id": f"r{number}",
            "actor": by,
            "verdict": verdict,
            "reviewed_at": NOW,
            "evidence": EVIDENCE,
        }
    )


def ended(outcome: str, number: int = 9) -> DrillEnded:
    """Its end."""
    return DrillEnded.model_validate(
        {
            "model": JOURNAL,
            "version": str(number),
            "request_id": f"r{number}",
            "outcome": outcome,
            "reason": "a test",
        }
    )


def test_off_by_default_and_one_at_a_time() -> None:
    """Nobody gets a drill unasked, and none while one waits."""
    waiting = drills_of("credit", [opened()])
    assert not is_due(DrillPolicy(), "credit", (), 1000, NOW, NOW)
    assert not is_due(ON, "credit", waiting, 1000, NOW, NOW)
    assert is_due(ON, "credit", drills_of("credit", [opened(), ended("caught")]), 1000, NOW, NOW)


def test_about_one_in_so_many_requests_by_the_seed() -> None:
    """Over many drills the gap is 4 requests on average, varies, and is the seed's."""

    def gap(number: int, seed: int) -> int:
        past = [
            Drill("credit", opened(n, after_requests=0), ended=ended("caught", n))
            for n in range(number)
        ]
        policy = ON.model_copy(update={"seed": seed})
        return next(n for n in range(20) if is_due(policy, "credit", past, n, None, NOW))

    gaps = [gap(number, 1) for number in range(80)]
    assert set(gaps) == {2, 3, 4, 5, 6}
    assert 3.5 < sum(gaps) / len(gaps) < 4.5
    assert gaps == [gap(number, 1) for number in range(80)]
    assert gaps != [gap(number, 2) for number in range(80)]


def test_by_days_counts_from_the_last_drill_or_the_first_request() -> None:
    """Before a first request nothing is due; then within half and one and a half of the days."""
    monthly = DrillPolicy(enabled=True, per_requests=None, per_days=30)
    assert not is_due(monthly, "credit", (), 0, None, NOW)
    assert not is_due(monthly, "credit", (), 1, NOW, NOW + timedelta(days=14))
    assert is_due(monthly, "credit", (), 1, NOW, NOW + timedelta(days=46))
    past = drills_of("credit", [opened(), ended("caught")])
    assert not is_due(monthly, "credit", past, 1, NOW - timedelta(days=99), NOW)


def test_enabled_without_a_rate_is_no_policy() -> None:
    """A drill that never comes is a mistake in the policy."""
    with pytest.raises(ValueError, match="neither per_requests nor per_days"):
        DrillPolicy(enabled=True, per_requests=None)


def decision(verdict: str = "approved") -> Decision:
    """A decision on a version with two groups, a metric and a latency."""
    passed = Outcome.PASSED
    groups = [
        Measurement(
            name="drop_vs_champion",
            subject=subject,
            observed=-0.02,
            limit=0.05,
            direction="max",
            baseline=0.72,
            sample_size=rows,
            interval=Interval(low=-0.04, high=0.0, method="DeLong"),
            outcome=passed,
        )
        for subject, rows in (("sex=female", 6000), ("education=3", 800), ("education=5", 40))
    ]
    fairness = GateResult(
        gate="fairness",
        outcome=passed if verdict == "approved" else Outcome.FAILED,
        reason="no group is worse off",
        measurements=tuple(groups),
        details={
            "metric": "roc_auc",
            "groups": [
                {
                    "group": m.subject,
                    "rows": m.sample_size,
                    "candidate": 0.74,
                    "champion": 0.72,
                    "drop_vs_champion": -0.02,
                    "drop_low": -0.04,
                    "drop_high": 0.0,
                }
                for m in groups
            ],
        },
    )
    latency = GateResult(
        gate="latency",
        outcome=passed,
        reason="p95 is 12 ms",
        observed=12.0,
        limit=50.0,
        measurements=(
            Measurement(
                name="p95_ms",
                subject="overall",
                observed=12.0,
                limit=50.0,
                direction="max",
                unit="ms",
                outcome=passed,
            ),
        ),
    )
    return Decision(
        model="credit",
        version="2",
        verdict=verdict,  # type: ignore[arg-type]
        deciding_gates=() if verdict == "approved" else ("fairness",),
        reason="all 2 required gates let it through",
        pins=Pins(model_digest="a" * 64, policy_digest="b" * 64, code_version="1"),
        decided_at=NOW,
        results=(fairness, latency),
    )


def spoilt(defect: str) -> object:
    """The first seeded drill with that defect."""
    made = (spoil(decision(), "9", Random(seed)) for seed in range(60))
    return next(s for s in made if s is not None and s.defect == defect)


def test_harmed_group_shows_wherever_a_reader_looks() -> None:
    """Banner, table, slice, gate and decision agree; the overall figures stay."""
    made = spoilt(HARMED)
    results = made.decision.results  # type: ignore[attr-defined]
    (harm,) = _harmed(results)
    rows, _ = _groups(results)
    assert harm.startswith("education=3: roc_auc")
    assert rows[0].group == "education=3"
    assert rows[0].outcome == "failed"
    assert rows[0].change is not None
    assert rows[0].change < -0.05
    assert rows[0].candidate == pytest.approx(0.72 + rows[0].change)
    assert slices_of(results, 0.1)[0].state == "failing"
    assert made.decision.reason.endswith("only informing: fairness did not pass")  # type: ignore[attr-defined]
    assert results[1] == decision().results[1]


def test_failing_gate_is_beyond_its_limit_and_draws_no_picture() -> None:
    """The number is past the limit, the gate says so, and an old picture would contradict it."""
    made = spoilt(FAILING)
    latency = made.decision.results[1]  # type: ignore[attr-defined]
    assert latency.outcome is Outcome.FAILED
    assert latency.observed > 50
    assert made.undrawn == ("latency",)  # type: ignore[attr-defined]


def test_damning_limitation_leaves_the_numbers_alone() -> None:
    """Only who reads the card, or what is ticked, can know."""
    made = spoilt(LIMITATION)
    assert made.decision.results == decision().results  # type: ignore[attr-defined]
    assert made.limitation  # type: ignore[attr-defined]


def test_rejected_version_comes_again_as_it_was() -> None:
    """What failed is shown as it failed, under a decision that let it through."""
    made = spoil(decision("rejected"), "9", Random(1))
    assert made is not None
    assert made.defect == REPLAYED
    assert made.decision.verdict == "approved"
    assert made.decision.results == decision("rejected").results
    assert made.decision.version == "9"


def test_figures_count_what_is_over() -> None:
    """A rejection catches, a quorum misses; one that waits or was withdrawn counts nothing."""
    events: list[AnyDrillEvent] = []
    for number, votes, outcome in (
        (1, (("ana", "approved"), ("bo", "rejected")), "caught"),
        (2, (("ana", "approved"), ("cy", "approved")), "missed"),
        (3, (), "expired"),
        (4, (("bo", "rejected"),), None),
        (5, (), "withdrawn"),
    ):
        events.append(opened(number))
        events += [answered(by, verdict, number) for by, verdict in votes]
        events += [ended(outcome, number)] if outcome else []
    figures = drill_figures(drills_of("credit", events))
    assert (figures.drills, figures.caught, figures.missed, figures.expired) == (3, 1, 1, 1)
    assert figures.catch_rate == 0.5
    assert figures.by_reviewer == {"ana": (2, 0), "bo": (1, 1), "cy": (1, 0)}
    assert figures.missed_defects == {HARMED: 1}


def test_what_the_rules_refused_and_who_was_reminded_is_known_of_a_drill() -> None:
    """So that a team is reminded once, and a careless attempt is no vote."""
    refused = DrillRefused(
        model=JOURNAL, version="9", request_id="r9", verdict="approved", problems=("too fast",)
    )
    reminded = DrillReminded(model=JOURNAL, version="9", request_id="r9", assigned=("ana",))
    (drill,) = drills_of("credit", [opened(), refused, refused, reminded])
    assert (drill.refused, drill.reminded, drill.answers) == (2, True, ())
    assert not drill.is_over_for("ana")


def test_who_has_voted_may_know() -> None:
    """One is told after her own vote, the others when it is over."""
    (drill,) = drills_of("credit", [opened(), answered("ana", "approved")])
    assert drill.is_over_for("ana")
    assert not drill.is_over_for("bo")
    (over,) = drills_of("credit", [opened(), answered("ana", "rejected"), ended("caught")])
    assert over.is_over_for("bo")


def votes_and_moves() -> list[AnyEvent]:
    """What would approve or move something, if it could stand among drills."""
    vote = {**answered("ana", "approved").model_dump(), "kind": "REVIEW_DECIDED"}
    moved = Adopted(model=JOURNAL, version="9", reason="a way in", model_digest="a" * 64)
    return [ReviewDecided.model_validate(vote), moved]


@pytest.mark.parametrize("event", votes_and_moves(), ids=lambda event: event.kind)
def test_nothing_but_drills_stands_in_their_journal(event: AnyEvent) -> None:
    """A history in which a drill's version is approved or moves does not fold."""
    with pytest.raises(IntegrityError, match="nothing else is"):
        fold(JOURNAL, [opened(), event])


@pytest.mark.parametrize(
    "event", [opened(), answered("ana", "approved"), ended("missed")], ids=lambda event: event.kind
)
def test_no_drill_stands_in_a_models_history(event: AnyDrillEvent) -> None:
    """A drill's vote among a model's own events does not fold."""
    moved = event.model_copy(update={"model": "credit"})
    with pytest.raises(IntegrityError, match="drills are recorded in their journal"):
        fold("credit", [moved])


def test_events_are_read_back_as_they_were() -> None:
    """Every kind goes through the ledger's JSON and back."""
    refused = DrillRefused(
        model=JOURNAL, version="9", request_id="r9", verdict="approved", problems=("too fast",)
    )
    for event in (opened(), answered("ana", "approved"), ended("missed"), refused):
        assert parse_event(event.to_json()) == event
