from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any, Literal

import pytest

from promotion_assets.adapters.ledger_store import DatabaseLedger
from promotion_assets.errors import Refusal, TransitionRefused
from promotion_assets.lifecycle.events import DigestLatched, Stage
from promotion_assets.lifecycle.fold import fold
from promotion_assets.lifecycle.promotion import adopt
from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.lifecycle.transitions import check_transition, valid_approvals
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import (
    MODEL,
    approval,
    digest,
    evaluated,
    facts,
    request,
    shadow,
    stage,
)


def folded(*events: Any) -> ModelState:
    """Return the state after the events."""
    return fold(MODEL, events)


def refusal(state: ModelState, version: str, to: Stage, clock: Clock, **changes: Any) -> str:
    """Return what the refusal of a request says."""
    with pytest.raises(TransitionRefused) as caught:
        check_transition(state, request(version, to), facts(version, **changes), clock())
    return str(caught.value)


def test_an_approved_decision_of_this_very_version_opens_staging(clock: Clock) -> None:
    """With a current approved decision the way to Staging is open."""
    check_transition(folded(evaluated("2", clock)), request("2"), facts("2"), clock())


def test_without_a_decision_staging_is_refused_and_the_next_step_is_named(clock: Clock) -> None:
    """A version that was never judged is refused with the command that judges it."""
    said = refusal(folded(evaluated("2", clock)), "3", Stage.STAGING, clock)
    assert "no decision is recorded" in said
    assert f"promotion evaluate {MODEL} 3" in said


def test_a_rejection_names_the_deciding_gate_and_its_reason(clock: Clock) -> None:
    """Whoever promotes a rejected version reads which gate stopped it, and why."""
    rejected = evaluated(
        "3",
        clock,
        verdict="rejected",
        deciding_gates=("fairness",),
        reason="fairness failed: EDUCATION=high school fell by .08",
    )
    said = refusal(folded(rejected), "3", Stage.STAGING, clock)
    assert "rejected by fairness" in said
    assert "high school" in said


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"model_digest": "e" * 64}, "artifact"),
        ({"dataset_digest": "e" * 64}, "evaluation dataset"),
        ({"dataset_digest": ""}, "evaluation dataset"),
        ({"policy_digest": "e" * 64}, "policy"),
    ],
)
def test_what_changed_since_the_decision_closes_the_way(
    clock: Clock, changed: dict[str, str], word: str
) -> None:
    """A decision holds only for the artifact, dataset version and policy that it judged."""
    said = refusal(folded(evaluated("2", clock)), "2", Stage.STAGING, clock, **changed)
    assert f"the {word} judged was" in said
    assert "evaluate it again" in said


def test_two_unknown_digests_are_not_equal_evidence(clock: Clock) -> None:
    """A decision without a dataset does not match a dataset that cannot be read."""
    state = folded(evaluated("2", clock, dataset_digest=""))
    assert "unknown" in refusal(state, "2", Stage.STAGING, clock, dataset_digest="")


def test_an_old_decision_has_expired(clock: Clock) -> None:
    """A decision older than the policy's limit opens nothing, and one just within it does."""
    state = folded(evaluated("2", clock))
    clock.advance(days=30)
    check_transition(state, request("2"), facts("2"), clock())
    clock.advance(seconds=1)
    assert "30 days old" in refusal(state, "2", Stage.STAGING, clock)


def test_a_decision_from_the_future_is_refused(clock: Clock) -> None:
    """A clock that went backwards does not make a decision fresh for ever."""
    state = folded(evaluated("2", clock))
    clock.advance(hours=-1)
    assert "in the future" in refusal(state, "2", Stage.STAGING, clock)


@pytest.mark.parametrize("waived", [None, "no live traffic before launch"])
def test_production_lists_everything_that_is_missing(
    ledger: DatabaseLedger, clock: Clock, waived: str | None
) -> None:
    """One refusal names shadow, approvals, freeze, latch, and the way back, all at once."""
    registry = FakeRegistry()
    adopt(
        ledger,
        registry,
        MODEL,
        "1",
        model_digest=digest("1"),
        actor="ana",
        reason="has been serving since 2024",
    )
    stage(ledger, registry, "2", clock)
    ledger.append(
        [DigestLatched(model=MODEL, version="2", digest=digest("2"), reason="wrong answers")]
    )
    said = refusal(
        ledger.state(MODEL),
        "2",
        Stage.PRODUCTION,
        clock,
        frozen_by="weekend",
        shadow_waiver=waived,
        predecessor="unproven",
    )
    assert ("no shadow report" in said) == (waived is None)
    for word in ("0 of 1 approvals", "weekend", "wrong answers", "no way back"):
        assert word in said


def test_a_shadow_report_must_have_passed_and_be_of_this_artifact(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """A failed shadow, or one of other bytes, opens nothing."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2", passed=False, summary="9 % of decisions differ")])
    assert "9 % of decisions" in refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock)
    ledger.append([shadow("2", model_digest="e" * 64)])
    assert "another artifact" in refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock)


def test_a_quorum_counts_people_and_not_clicks(ledger: DatabaseLedger, clock: Clock) -> None:
    """The same reviewer twice is one approval; the author's own does not count."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    for by in ("bo", "bo", "author"):
        ledger.append([approval(ledger.state(MODEL), "2", clock, by=by)])
    said = refusal(
        ledger.state(MODEL), "2", Stage.PRODUCTION, clock, quorum=2, may_not_review=("author",)
    )
    assert "1 of 2 approvals" in said
    ledger.append([approval(ledger.state(MODEL), "2", clock, by="cy")])
    check_transition(
        ledger.state(MODEL), request("2", Stage.PRODUCTION), facts("2", quorum=2), clock()
    )


def test_a_later_rejection_takes_the_approval_back(ledger: DatabaseLedger, clock: Clock) -> None:
    """What counts of a reviewer is the last word."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    given = approval(ledger.state(MODEL), "2", clock)
    ledger.append([given])
    ledger.append([given.model_copy(update={"verdict": "rejected"})])
    assert "0 of 1 approvals" in refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock)


@pytest.mark.parametrize(
    ("event", "changed", "word"),
    [
        (None, {"champion_digest": "e" * 64}, "champion"),
        ("decision", {}, "decision"),
        ("shadow", {}, "shadow"),
    ],
)
def test_an_approval_is_void_when_its_evidence_changes(
    ledger: DatabaseLedger, clock: Clock, event: str | None, changed: dict[str, str], word: str
) -> None:
    """A new champion, decision or shadow report voids the approval, and the refusal says which."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    ledger.append([approval(ledger.state(MODEL), "2", clock)])
    if event == "decision":
        ledger.append([evaluated("2", clock, decision_digest="9" * 64)])
    if event == "shadow":
        ledger.append([shadow("2", report_digest="9" * 64)])
    said = refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock, **changed)
    assert f"changed since: {word}" in said


def test_an_approval_expires(ledger: DatabaseLedger, clock: Clock) -> None:
    """An approval holds as long as the policy says and no longer."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    ledger.append([approval(ledger.state(MODEL), "2", clock)])
    clock.advance(days=8)
    week = timedelta(days=7)
    assert "0 of 1 approvals" in refusal(
        ledger.state(MODEL), "2", Stage.PRODUCTION, clock, review_ttl=week
    )


@pytest.mark.parametrize(
    ("off", "counts"),
    [
        (timedelta(days=7), True),
        (timedelta(days=7, seconds=1), False),
        (timedelta(minutes=-5), True),
        (timedelta(minutes=-5, seconds=-1), False),
    ],
)
def test_an_approval_holds_to_the_second_and_not_before_it_was_given(
    ledger: DatabaseLedger, clock: Clock, off: timedelta, counts: bool
) -> None:
    """One given while a clock was ahead does not hold longer for it; a small skew is borne."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    given = approval(ledger.state(MODEL), "2", clock)
    ledger.append([given.model_copy(update={"reviewed_at": clock() - off})])
    holding = facts("2", review_ttl=timedelta(days=7))
    asked = request("2", Stage.PRODUCTION)
    valid = valid_approvals(ledger.state(MODEL), asked, holding, clock())
    assert bool(valid) == counts
    for_ever = facts("2", review_ttl=None)
    valid = valid_approvals(ledger.state(MODEL), asked, for_ever, clock())
    assert bool(valid) == (off >= timedelta(minutes=-5))


@pytest.mark.parametrize("ttl", [None, timedelta(days=7)])
def test_an_approval_from_the_future_is_named_and_counts_once_its_time_has_come(
    ledger: DatabaseLedger, clock: Clock, ttl: timedelta | None
) -> None:
    """Whoever asks for Production reads whose approval it is, its date, and from when it counts."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    given = approval(ledger.state(MODEL), "2", clock)
    dated = clock() + timedelta(hours=3)
    ledger.append([given.model_copy(update={"reviewed_at": dated})])
    said = refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock, review_ttl=ttl)
    assert "0 of 1 approvals" in said
    assert f"the approval of bo is dated {dated.isoformat()}, in the future" in said
    assert "Next: set this machine's clock or the one that dated it, and promote it again " in said
    clock.advance(hours=3)
    asked = request("2", Stage.PRODUCTION)
    check_transition(ledger.state(MODEL), asked, facts("2", review_ttl=ttl), clock())


def test_an_approval_that_expired_is_named(ledger: DatabaseLedger, clock: Clock) -> None:
    """Nobody has to guess why an approval on today's evidence is not among those that count."""
    stage(ledger, FakeRegistry(), "2", clock)
    ledger.append([shadow("2")])
    ledger.append([approval(ledger.state(MODEL), "2", clock)])
    clock.advance(days=8)
    week = timedelta(days=7)
    said = refusal(ledger.state(MODEL), "2", Stage.PRODUCTION, clock, review_ttl=week)
    assert "the approval of bo is 8 days old and holds for 7" in said


def test_a_lower_version_than_the_champion_is_refused(ledger: DatabaseLedger, clock: Clock) -> None:
    """Going back to an older version is a rollback and has to be called one; 9 is before 10."""
    adopt(
        ledger,
        FakeRegistry(),
        MODEL,
        "10",
        model_digest=digest("10"),
        actor="ana",
        reason="has been serving since 2024",
    )
    ledger.append([evaluated("9", clock)])
    said = refusal(ledger.state(MODEL), "9", Stage.STAGING, clock)
    assert "explicit rollback" in said


@pytest.mark.parametrize("to", list(Stage))
def test_from_none_only_staging_can_be_reached(clock: Clock, to: Stage) -> None:
    """Not even an approved version goes from None to anywhere but Staging."""
    state = folded(evaluated("2", clock))
    if to is Stage.STAGING:
        check_transition(state, request("2", to), facts("2"), clock())
        return
    assert "no way leads from" in refusal(state, "2", to, clock)


def test_every_other_change_of_stage_has_no_way(ledger: DatabaseLedger, clock: Clock) -> None:
    """Of all pairs of stage and cause only the specified ones are ever let through."""
    registry = FakeRegistry()
    stage(ledger, registry, "2", clock)
    state = ledger.state(MODEL)
    causes = ("promotion", "adoption", "superseded", "rollback", "rejected", "withdrawn")
    open_ways = {
        (to, cause) for to, cause in product(Stage, causes) if not _refused(state, to, cause, clock)
    }
    assert open_ways == {(Stage.ARCHIVED, "withdrawn")}


def _refused(state: ModelState, to: Stage, cause: str, clock: Clock) -> bool:
    try:
        check_transition(state, request("2", to, cause=cause), facts("2"), clock())
    except TransitionRefused:
        return True
    return False


def test_a_segment_needs_a_decision_of_its_own(clock: Clock) -> None:
    """A decision against the default champion does not open the way in another segment."""
    state = folded(evaluated("2", clock))
    with pytest.raises(TransitionRefused, match=r"no decision is recorded .* 'eu'"):
        check_transition(state, request("2", segment="eu"), facts("2"), clock())
    check_transition(
        folded(evaluated("2", clock, segment="eu")),
        request("2", segment="eu"),
        facts("2"),
        clock(),
    )


@pytest.mark.parametrize(
    ("reported", "found", "said"),
    [
        (
            {"champion_digest": "a" * 64},
            {"champion_digest": "b" * 64},
            "its shadow report holds it against another champion",
        ),
        (
            {"rules_digest": "a" * 64},
            {"shadow_rules": "b" * 64},
            "the policy asks something else of a shadow by now",
        ),
    ],
)
def test_a_shadow_report_of_another_comparison_is_none(
    ledger: DatabaseLedger,
    registry: FakeRegistry,
    clock: Clock,
    reported: dict[str, str],
    found: dict[str, str],
    said: str,
) -> None:
    """Held against another champion, or by other rules, it lets nothing into Production."""
    stage(ledger, registry, "2", clock)
    ledger.append([shadow("2", **reported)])
    asked = request("2", Stage.PRODUCTION)
    with pytest.raises(Refusal, match=said):
        check_transition(ledger.state(MODEL), asked, facts("2", **found), clock())


@pytest.mark.parametrize(
    ("cause", "reason", "said"),
    [
        ("withdrawn", " ", "no reason is given"),
        ("rejected", "bad", "no reviewer has rejected it"),
    ],
)
def test_a_version_is_put_away_for_a_reason_that_was_given(
    ledger: DatabaseLedger,
    registry: FakeRegistry,
    clock: Clock,
    cause: Literal["withdrawn", "rejected"],
    reason: str,
    said: str,
) -> None:
    """Neither without one, nor in the name of a reviewer who has said nothing."""
    stage(ledger, registry, "2", clock)
    asked = request("2", Stage.ARCHIVED, cause=cause, reason=reason)
    with pytest.raises(Refusal, match=said):
        check_transition(ledger.state(MODEL), asked, facts("2"), clock())
