"""When a review is requested, of whom, when somebody is reminded, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.events import ReviewReminded, ReviewRequested, Stage
from promotion_assets.review.case import Case
from promotion_assets.review.rules import counting


def eligible(case: Case) -> tuple[str, ...]:
    """Return who may approve, in the policy's order: all but its authors and requesters."""
    return tuple(r.name for r in case.policy.reviewers if not r.is_one_of(case.barred))


def assign(names: Sequence[str], history: Sequence[str], how_many: int) -> tuple[str, ...]:
    """Return whose turn it is: those who were assigned longest ago, newcomers first.

    Args:
        names: who may be assigned, in order.
        history: everybody who ever was, in order.
    """
    last = {name: place for place, name in enumerate(history)}
    return tuple(sorted(names, key=lambda name: last.get(name, -1))[:how_many])


def closed_because(case: Case, now: datetime) -> str | None:
    """Return why the case's request is not open, or ``None`` where it is."""
    if case.stage is not Stage.STAGING:
        return f"the version is in stage {case.stage}, and only Staging is reviewed"
    request = case.request
    if request is None or not request.request_id:
        return "no review was requested"
    if case.changed():
        return f"changed since: {', '.join(case.changed())}"
    if request.expires_at is not None and now > request.expires_at:
        return "it expired"
    if any(vote.verdict == "rejected" for vote in case.standing()):
        return "it was rejected"
    if len(counting(case, now)) >= case.quorum:
        return "it is approved"
    return None


def request_for(case: Case, history: Sequence[str], now: datetime) -> ReviewRequested | None:
    """Return the request that is to be opened now, or ``None`` where none is.

    One is opened for a Staging version whose evidence is complete and on which nobody has decided;
    a request that expired, or whose evidence changed, is followed by another one, which goes to
    the next in turn.
    """
    if case.stage is not Stage.STAGING or case.problems:
        return None
    standing = case.standing()
    if any(vote.verdict == "rejected" for vote in standing):
        return None
    voted = {vote.actor for vote in counting(case, now)}
    if len(voted) >= case.quorum or closed_because(case, now) is None:
        return None
    free = [name for name in eligible(case) if name not in voted]
    assigned = assign(free, history, case.quorum - len(voted))
    return ReviewRequested(
        model=case.model,
        version=case.version,
        segment=case.segment,
        evidence=dict(case.evidence),
        request_id=_name(case, now),
        assigned=assigned,
        requested_at=now,
        expires_at=case.policy.expiry(now),
    )


def reminder_for(
    case: Case, said: Mapping[str, Sequence[str]], now: datetime
) -> ReviewReminded | None:
    """Return what is to be said of the case's request now: that it waits, or that it expired."""
    request = case.request
    if request is None or request.requested_at is None or case.stage is not Stage.STAGING:
        return None
    already = said.get(request.request_id, ())
    reminder = ReviewReminded(
        model=case.model,
        version=case.version,
        segment=case.segment,
        request_id=request.request_id,
        what="reminder",
        assigned=request.assigned,
    )
    if request.expires_at is not None and now > request.expires_at:
        expired = reminder.model_copy(update={"what": "expired"})
        decided = len(counting(case, now)) >= case.quorum
        return None if "expired" in already or decided else expired
    waited = now - request.requested_at
    if closed_because(case, now) is not None or already:
        return None
    return reminder if waited >= timedelta(days=case.policy.remind_days) else None


def _name(case: Case, now: datetime) -> str:
    what = [case.model, case.version, case.segment, dict(case.evidence), now.isoformat()]
    return digest_of(what)[:20]
