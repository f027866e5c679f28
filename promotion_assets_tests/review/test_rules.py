"""The rules: whatever one thing is wrong with a ballot, it is refused, and says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome
from promotion_assets.lifecycle.events import ReviewDecided, ReviewRequested, Stage
from promotion_assets.policy.review import ExtraQuestion, ReviewerEntry, ReviewPolicy
from promotion_assets.review.case import Ballot, Case, Opening
from promotion_assets.review.requests import eligible
from promotion_assets.review.rules import counting, judge
from promotion_assets.review.slices import slices_of
from promotion_assets.review.texts import EarlierAnswer
from promotion_assets_tests.review.worlds import answers_to

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
EVIDENCE = {"model": "a" * 64, "dataset": "b" * 64}
RESULT = GateResult(
    gate="fairness",
    outcome=Outcome.PASSED,
    reason="no group is worse off",
    measurements=(
        Measurement(
            name="drop_vs_champion",
            subject="age=50+",
            observed=0.049,
            limit=0.05,
            direction="max",
            outcome=Outcome.PASSED,
        ),
    ),
)
SLICES = slices_of([RESULT], 0.1)
POLICY = ReviewPolicy(
    reviewers=(
        ReviewerEntry(name="ana"),
        ReviewerEntry(name="bo"),
        ReviewerEntry(name="tomas", accounts=("Tomas.Novak",)),
    ),
    questions=(ExtraQuestion(id="legal", text="What does legal say about it?"),),
)


def case(**changes: object) -> Case:
    """A case in which everything is in order."""
    request = ReviewRequested(
        model="credit",
        version="7",
        evidence=EVIDENCE,
        request_id="r1",
        assigned=("ana", "bo"),
        requested_at=NOW - timedelta(hours=1),
        expires_at=NOW + timedelta(days=14),
    )
    sound = Case(
        model="credit",
        version="7",
        stage=Stage.STAGING,
        risk_class="high",
        policy=POLICY,
        evidence=EVIDENCE,
        request=request,
        authors=frozenset({"tomas.novak"}),
        limitations=("One bank.", "One country."),
        slices=SLICES,
    )
    return replace(sound, **changes)  # type: ignore[arg-type]


def ballot(**changes: object) -> Ballot:
    """A ballot with every answer."""
    questions = case().questions
    answers = {q.id: "yes" for q in questions if q.kind == "confirm"}
    words = ("gain is real", "edge is thin", "data is old", "duty is Ana", "time is now", "law ok")
    texts = (q.id for q in questions if q.kind == "text")
    for name, word in zip(texts, words, strict=True):
        answers[name] = f"On this version I say that the {word}, with reasons of {name}"
    values: dict[str, object] = {
        "model": "credit",
        "version": "7",
        "request_id": "r1",
        "verdict": "approved",
        "answers": answers,
    }
    return Ballot.model_validate(values | changes)


def answered(**changes: str) -> Ballot:
    """A ballot with some other answers."""
    return ballot(answers={**ballot().answers, **changes})


def opening(**changes: object) -> Opening:
    """A reading of everything, for two minutes."""
    read = Opening(NOW - timedelta(minutes=2), frozenset(part.id for part in SLICES), "v" * 64)
    return replace(read, **changes)  # type: ignore[arg-type]


def vote(by: str, verdict: str = "approved", **changes: object) -> ReviewDecided:
    """A vote that was recorded."""
    values: dict[str, object] = {
        "model": "credit",
        "version": "7",
        "actor": by,
        "verdict": verdict,
        "reviewed_at": NOW - timedelta(hours=1),
        "evidence": EVIDENCE,
    }
    return ReviewDecided.model_validate(values | changes)


def test_a_careful_ballot_is_accepted_without_a_flag() -> None:
    """Everything read, everything answered, two minutes: nothing to say."""
    judged = judge(case(), ballot(), "ana", opening(), NOW)
    assert judged.problems == ()
    assert judged.flags == ()
    assert judged.seconds == 120


WRONG: dict[str, tuple[Case, Ballot, str, Opening, str]] = {
    "a stranger": (case(), ballot(), "eve", opening(), "eve is not a reviewer"),
    "the author under another name": (case(), ballot(), "tomas", opening(), "cannot approve it"),
    "a second vote": (
        case(reviews=(vote("ana"),)),
        ballot(),
        "ana",
        opening(),
        "already approved it",
    ),
    "not assigned where that is asked": (
        case(policy=POLICY.model_copy(update={"only_assigned": True}), authors=frozenset({"eva"})),
        ballot(),
        "tomas",
        opening(),
        "it is assigned to ana, bo",
    ),
    "another version": (case(), ballot(version="8"), "ana", opening(), "for another version"),
    "another model": (case(), ballot(model="fraud"), "ana", opening(), "for another version"),
    "another segment": (case(), ballot(segment="EU"), "ana", opening(), "for another version"),
    "an old request": (case(), ballot(request_id="r0"), "ana", opening(), "no longer the current"),
    "no request": (case(request=None), ballot(), "ana", opening(), "no review was requested"),
    "in Production": (
        case(stage=Stage.PRODUCTION),
        ballot(),
        "ana",
        opening(),
        "only Staging is under review",
    ),
    "expired": (
        case(request=case().request.model_copy(update={"expires_at": NOW - timedelta(1)})),  # type: ignore[union-attr]
        ballot(),
        "ana",
        opening(),
        "the request expired on 01 March 2026",
    ),
    "evidence changed": (
        case(evidence={**EVIDENCE, "model": "c" * 64}),
        ballot(),
        "ana",
        opening(),
        "changed since the request was opened: model",
    ),
    "decision void": (
        case(problems=("its decision is 31 days old and holds for 30",)),
        ballot(),
        "ana",
        opening(),
        "31 days old",
    ),
    "rejected by another": (
        case(reviews=(vote("bo", "rejected", comment="no"),)),
        ballot(),
        "ana",
        opening(),
        "bo has rejected it",
    ),
    "frozen": (case(frozen_by="it is Sunday"), ballot(), "ana", opening(), "it is Sunday"),
    "never opened": (case(), ballot(), "ana", Opening(), "was never opened"),
    "too fast": (
        case(),
        ballot(),
        "ana",
        opening(first=NOW - timedelta(seconds=29)),
        "opened 29 seconds ago",
    ),
    "opened in the future": (
        case(),
        ballot(),
        "ana",
        opening(first=NOW + timedelta(hours=1)),
        "opened 0 seconds ago",
    ),
    "slice unopened": (case(), ballot(), "ana", opening(parts=frozenset()), "was not opened: age"),
    "card unread": (case(), answered(model_card="no"), "ana", opening(), "is not confirmed"),
    "limitation not acknowledged": (
        case(),
        answered(limitation_2=""),
        "ana",
        opening(),
        "One country.” is not confirmed",
    ),
    "team's question": (case(), answered(team_legal=" "), "ana", opening(), "is not answered"),
    "short": (case(), answered(timing="Ok, go."), "ana", opening(), "at least 20"),
    "no words": (case(), answered(timing="a" * 40), "ana", opening(), "different words"),
    "no words of Chinese": (
        case(),
        answered(timing="\u597d" * 40),
        "ana",
        opening(),
        "different words",
    ),
    "long": (case(), answered(timing="word " * 1000), "ana", opening(), "at most 4,000"),
    "the same twice": (
        case(),
        answered(timing=ballot().answers["edge_cases"].upper()),
        "ana",
        opening(),
        "has the same answer as",
    ),
    "copied": (
        case(earlier=(EarlierAnswer(f"{ballot().answers['timing']}!", "bo", "5"),)),
        ballot(),
        "ana",
        opening(),
        "word for word as bo did for version 5",
    ),
    "unknown question": (case(), answered(backdoor="yes"), "ana", opening(), "is not a question"),
    "long remark": (case(), ballot(comment="x" * 4001), "ana", opening(), "the remark has 4,001"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_thing_wrong_refuses(name: str) -> None:
    """Exactly what is wrong is named, and nothing else is."""
    where, what, who, read, expected = WRONG[name]
    judged = judge(where, what, who, read, NOW)
    assert not judged.accepted
    assert any(expected in problem for problem in judged.problems), judged.problems
    assert len(judged.problems) == 1 or name in ("no request", "never opened"), judged.problems


@pytest.mark.parametrize(
    "answer",
    [
        "\u65b0\u6a21\u578b\u5bf9\u9ad8\u4e2d\u5b66\u5386\u5ba2\u6237\u7684\u8868\u73b0\u4f18\u4e8e\u73b0\u6709\u6a21\u578b\u56e0\u6b64\u53ef\u4ee5\u4e0a\u7ebf",
        "\u3053\u306e\u7248\u306f\u9ad8\u6821\u5352\u306e\u9867\u5ba2\u306b\u5bfe\u3057\u3066\u6539\u5584\u304c\u898b\u3089\u308c\u308b\u306e\u3067",
        "\u0e42\u0e21\u0e40\u0e14\u0e25\u0e43\u0e2b\u0e21\u0e48\u0e17\u0e33\u0e07\u0e32\u0e19\u0e44\u0e14\u0e49\u0e14\u0e35\u0e01\u0e27\u0e48\u0e32",
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_an_answer_in_a_script_without_spaces_is_one(answer: str) -> None:
    """Where no spaces stand between words, a sentence is not taken for a single one."""
    assert judge(case(), answered(timing=answer), "ana", opening(), NOW).problems == ()


FLAGGED: dict[str, tuple[Callable[[], Case], Opening, str, str]] = {
    "fast": (case, opening(first=NOW - timedelta(seconds=59)), "ana", "59 seconds"),
    "out of turn": (
        lambda: case(authors=frozenset()),
        opening(),
        "tomas",
        "it was the turn of ana, bo",
    ),
    "alike": (
        lambda: case(
            earlier=(EarlierAnswer(ballot().answers["timing"].replace("now", "ok"), "bo", "5"),)
        ),
        opening(),
        "ana",
        "resembles that of bo for version 5",
    ),
}


@pytest.mark.parametrize("name", FLAGGED)
def test_what_is_odd_is_accepted_and_flagged(name: str) -> None:
    """Between careless and careful there is what an auditor should see."""
    where, read, who, expected = FLAGGED[name]
    judged = judge(where(), ballot(), who, read, NOW)
    assert judged.accepted, judged.problems
    assert len(judged.flags) == 1
    assert expected in judged.flags[0]


@pytest.mark.parametrize("risk", ["low", "medium", "high"])
def test_a_higher_risk_class_asks_more(risk: str) -> None:
    """Each class asks what the lower one asks, and more; limitations are asked one by one."""
    ids = [q.id for q in case(risk_class=risk).questions]
    fewer = {"low": 3, "medium": 6, "high": 7}[risk]
    assert len(ids) == fewer + 1 + 2
    assert ids[-2:] == ["limitation_1", "limitation_2"]


def test_rejecting_takes_a_listed_reviewer_and_a_reason() -> None:
    """Unread, unanswered, in a freeze, by the author: a rejection counts all the same."""
    frozen = case(frozen_by="it is Sunday")
    reason = ballot(verdict="rejected", answers={}, comment="it harms a group", request_id="")
    assert judge(frozen, reason, "tomas", Opening(), NOW).accepted
    assert not judge(frozen, reason, "eve", Opening(), NOW).accepted
    empty = reason.model_copy(update={"comment": "  no  "})
    assert not judge(frozen, empty, "ana", Opening(), NOW).accepted


def test_only_listed_fresh_and_foreign_approvals_count() -> None:
    """Old approvals, the author's, the unlisted's, early ones, on other evidence do not count."""
    early = vote("bo", reviewed_at=NOW + timedelta(minutes=6))
    old = vote("bo", reviewed_at=NOW - timedelta(days=15))
    other = vote("bo", evidence={"model": "z"})
    reviews = (vote("ana"), vote("tomas"), vote("eve"))
    assert [v.actor for v in counting(case(reviews=(*reviews, old)), NOW)] == ["ana"]
    assert [v.actor for v in counting(case(reviews=(*reviews, other)), NOW)] == ["ana"]
    assert [v.actor for v in counting(case(reviews=(*reviews, early)), NOW)] == ["ana"]


def test_high_stakes_need_two_people() -> None:
    """Whatever the risk class asks, high stakes ask for two."""
    policy = ReviewPolicy(stakes="high")
    assert policy.needed("low") == 2
    assert ReviewPolicy().needed("low") == 1


def measured(observed: float, outcome: Outcome, high: float | None = None) -> GateResult:
    """A result with one measurement."""
    interval = Interval(low=0.0, high=high, method="test") if high is not None else None
    one = Measurement(
        name="drop",
        subject="g",
        observed=observed,
        limit=0.05,
        direction="max",
        interval=interval,
        outcome=outcome,
    )
    return GateResult(gate="fairness", outcome=outcome, reason="r", measurements=(one,))


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (measured(0.06, Outcome.FAILED), "failing"),
        (measured(0.06, Outcome.WAIVED), "failing"),
        (measured(0.046, Outcome.PASSED), "borderline"),
        (measured(0.01, Outcome.PASSED, high=0.06), "borderline"),
        (measured(0.01, Outcome.PASSED, high=0.04), None),
        (measured(0.01, Outcome.INCONCLUSIVE), "failing"),
    ],
)
def test_slices_are_what_failed_or_is_near_its_limit(result: GateResult, state: str | None) -> None:
    """A number is near its limit by its value or by its interval."""
    assert [part.state for part in slices_of([result], 0.1)][:1] == ([state] if state else [])


def test_answers_of_the_test_worlds_are_no_copies_of_each_other() -> None:
    """The helper's own answers pass, or every test that uses it would test nothing."""
    questions = case().questions[:7]
    ana, bo = answers_to(questions, "ana"), answers_to(questions, "bo")
    assert not set(ana.values()) & set(bo.values()) - {"yes"}


def test_whoever_asked_for_the_promotion_is_no_approver() -> None:
    """The requester is told so, is not assigned, and a vote of before does not count."""
    asked = case(requesters=frozenset({"ana"}), reviews=(vote("ana"),))
    judged = judge(asked, ballot(), "ana", opening(), NOW)
    assert any("asked for the promotion of version 7" in problem for problem in judged.problems)
    assert eligible(asked) == ("bo",)
    assert counting(asked, NOW) == ()
