"""The rules of a review: one pure function that every surface asks, and nothing around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from promotion_assets.lifecycle.events import ReviewDecided, Stage
from promotion_assets.lifecycle.transitions import approval_problem
from promotion_assets.review.case import Ballot, Case, Opening
from promotion_assets.review.questionnaire import YES, Question
from promotion_assets.review.texts import LONGEST, alike, copied_from, plain, text_problem

SHORTEST_REASON = 10


@dataclass(frozen=True)
class Judgement:
    """What the rules say of a ballot.

    Attributes:
        problems: what is missing, a sentence each; any of them refuses the ballot.
        flags: what an auditor should look at; the ballot counts all the same.
        seconds: from first opening to the vote.
    """

    problems: tuple[str, ...]
    flags: tuple[str, ...] = ()
    seconds: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the ballot counts."""
        return not self.problems


def judge(case: Case, ballot: Ballot, reviewer: str, opening: Opening, now: datetime) -> Judgement:
    """Hold ``ballot`` of ``reviewer``, whose identity is proven, against ``case``.

    A rejection needs a listed reviewer and a reason, and nothing else.
    """
    seconds = None if opening.first is None else (now - opening.first).total_seconds()
    if ballot.verdict == "rejected":
        return Judgement(tuple(_against_rejection(case, ballot, reviewer)), (), seconds)
    problems = (
        *_who(case, reviewer),
        *_what(case, ballot, now),
        *_reading(case, opening, seconds),
        *_answers(case, ballot),
    )
    return Judgement(problems, tuple(_flags(case, ballot, reviewer, seconds)), seconds)


def may_approve(case: Case, reviewer: str, now: datetime) -> tuple[str, ...]:
    """Return what keeps ``reviewer`` from approving whatever she answers, to say it early."""
    ballot = Ballot(
        model=case.model,
        version=case.version,
        segment=case.segment,
        request_id=case.request.request_id if case.request else "",
        verdict="approved",
    )
    return (*_who(case, reviewer), *_what(case, ballot, now))


def _against_rejection(case: Case, ballot: Ballot, reviewer: str) -> Iterator[str]:
    if case.policy.reviewer(reviewer) is None:
        yield f"{reviewer} is not a reviewer of {case.model}"
    if (ballot.model, ballot.version, ballot.segment) != (case.model, case.version, case.segment):
        yield "the vote is for another version"
    if case.stage is not Stage.STAGING:
        yield f"version {case.version} is in {case.stage}, and only Staging is under review"
    reason = ballot.comment.strip()
    if len(reason) < SHORTEST_REASON:
        yield f"the reason has {len(reason)} characters, at least {SHORTEST_REASON} are asked for"
    if len(reason) > LONGEST:
        yield f"the reason has {len(reason):,} characters, at most {LONGEST:,} are taken"


def _who(case: Case, reviewer: str) -> Iterator[str]:
    entry = case.policy.reviewer(reviewer)
    if entry is None:
        yield f"{reviewer} is not a reviewer of {case.model}"
        return
    if entry.is_one_of(case.authors):
        yield f"{reviewer} made or registered version {case.version} and cannot approve it"
    elif entry.is_one_of(case.requesters):
        yield f"{reviewer} asked for the promotion of version {case.version}; others approve it"
    standing = {vote.actor: vote for vote in case.standing()}
    if reviewer in standing:
        yield f"{reviewer} has already {standing[reviewer].verdict} it on this evidence"
    assigned = case.request.assigned if case.request else ()
    if case.policy.only_assigned and reviewer not in assigned:
        yield f"it is assigned to {', '.join(assigned) or 'nobody'}"


def _what(case: Case, ballot: Ballot, now: datetime) -> Iterator[str]:
    if (ballot.model, ballot.version, ballot.segment) != (case.model, case.version, case.segment):
        yield "the vote is for another version"
    if case.stage is not Stage.STAGING:
        yield f"version {case.version} is in {case.stage}, and only Staging is under review"
    request = case.request
    if request is None:
        yield "no review was requested: its evidence is not complete"
    else:
        if ballot.request_id != request.request_id:
            yield "the vote answers a request that is no longer the current one; open it again"
        if request.expires_at is not None and now > request.expires_at:
            yield f"the request expired on {request.expires_at:%d %B %Y at %H:%M}"
        if case.changed():
            yield f"changed since the request was opened: {', '.join(case.changed())}"
    yield from case.problems
    rejected = [vote for vote in case.standing() if vote.verdict == "rejected"]
    yield from (f"{vote.actor} has rejected it: {vote.comment}" for vote in rejected)
    if case.frozen_by is not None:
        yield f"a freeze window is open: {case.frozen_by}"


def _reading(case: Case, opening: Opening, seconds: float | None) -> Iterator[str]:
    least = case.policy.min_seconds
    if seconds is None:
        yield "the request was never opened; read it first"
    elif seconds < least:
        yield (
            f"the request was opened {max(seconds, 0):.0f} seconds ago, "
            f"and nobody reads it in less than {least}"
        )
    for part in case.slices:
        if part.id not in opening.parts:
            yield f"the {part.state} result was not opened: {part.title}"


def _answers(case: Case, ballot: Ballot) -> Iterator[str]:
    known = {question.id for question in case.questions}
    yield from (f"{name[:60]!r} is not a question" for name in ballot.answers if name not in known)
    if len(ballot.comment) > LONGEST:
        yield f"the remark has {len(ballot.comment):,} characters, at most {LONGEST:,} are taken"
    written: dict[str, str] = {}
    for question in case.questions:
        answer = ballot.answers.get(question.id, "")
        problem = _answer_problem(case, question, answer, written)
        if problem is not None:
            yield f"“{question.text}” {problem}"
        if question.kind == "text":
            written[plain(answer)] = question.text


def _answer_problem(
    case: Case, question: Question, answer: str, written: dict[str, str]
) -> str | None:
    if question.kind == "confirm":
        return None if answer == YES else "is not confirmed"
    problem = text_problem(answer, case.policy.min_text)
    if problem is not None:
        return problem
    if plain(answer) in written:
        return f"has the same answer as “{written[plain(answer)]}”"
    source = copied_from(answer, case.earlier)
    if source is not None:
        return (
            f"is answered word for word as {source.reviewer} did for version {source.version}; "
            "say it of this version"
        )
    return None


def _flags(case: Case, ballot: Ballot, reviewer: str, seconds: float | None) -> Iterator[str]:
    if seconds is not None and seconds < case.policy.flag_seconds:
        yield f"decided {seconds:.0f} seconds after opening"
    if case.request and case.request.assigned and reviewer not in case.request.assigned:
        yield f"not assigned; it was the turn of {', '.join(case.request.assigned)}"
    for question in case.questions:
        if question.kind == "text":
            source = alike(ballot.answers.get(question.id, ""), case.earlier)
            if source is not None:
                yield (
                    f"the answer to {question.id} resembles that of {source.reviewer} "
                    f"for version {source.version}"
                )


def counting(case: Case, now: datetime) -> tuple[ReviewDecided, ...]:
    """Return the approvals that count today, one a person."""
    return tuple(
        vote
        for vote in case.standing()
        if vote.verdict == "approved"
        and approval_problem(vote, case.policy.approval_ttl, now) is None
        and (entry := case.policy.reviewer(vote.actor)) is not None
        and not entry.is_one_of(case.barred)
    )
