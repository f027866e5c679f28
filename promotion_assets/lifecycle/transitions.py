"""What a stage change needs, and everything of it that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from promotion_assets.errors import TransitionRefused
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    Cause,
    EvaluationFinished,
    ReviewDecided,
    Stage,
    Value,
)
from promotion_assets.lifecycle.stages import ALLOWED, ModelState, version_key

# A decision or an approval may be this far ahead of the reader's clock before the clocks are
# called wrong.
CLOCK_SKEW = timedelta(minutes=5)


class Request(Value):
    """Somebody wants one version to change its stage in one segment."""

    model: str
    version: str
    to: Stage
    segment: str = DEFAULT_SEGMENT
    actor: str = Field(min_length=1)
    reason: str = ""
    cause: Cause = "promotion"

    def doing(self) -> str:
        """Say what is being done, as the first part of a message."""
        where = "" if self.segment == DEFAULT_SEGMENT else f" in segment {self.segment!r}"
        return f"move {self.model} version {self.version} to {self.to}{where}"


class Facts(Value):
    """What is true now of a version and of what it was judged by.

    Attributes:
        model_digest: of the artifact as it lies in the registry now.
        dataset_digest, policy_digest: of the current evaluation dataset version and policy.
        decision_ttl: how long an approved decision opens the way.
        champion_digest: of the segment's champion, ``None`` where it has none.
        quorum: distinct reviewers that Production needs.
        review_ttl: how long an approval holds; ``None`` for as long as its evidence does.
        may_not_review: reviewers whose approval does not count (the author, the requester).
        shadow_waiver: the reason why the policy asks for no shadow report.
        frozen_by: the freeze window that is open now.
        review_digest: of the rules of the review; empty where there are none.
        shadow_rules: digest of what a shadow report must show; empty where nobody says.
        predecessor: whether the segment's champion was proven to load, fit and answer, so that
            there is a way back.
    """

    model_digest: str
    dataset_digest: str
    policy_digest: str
    decision_ttl: timedelta
    champion_digest: str | None = None
    quorum: int = Field(default=1, ge=1)
    review_ttl: timedelta | None = None
    may_not_review: tuple[str, ...] = ()
    shadow_waiver: str | None = None
    frozen_by: str | None = None
    review_digest: str = ""
    shadow_rules: str = ""
    predecessor: Literal["ready", "unproven"] = "unproven"


def check_transition(state: ModelState, request: Request, facts: Facts, now: datetime) -> None:
    """Hold ``request`` against ``state`` and ``facts``.

    Raises:
        TransitionRefused: naming everything that is missing.
    """
    held = state.stage(request.version, request.segment)
    if request.cause not in ALLOWED.get((held, request.to), frozenset()):
        raise TransitionRefused(request.doing(), _no_such_way(held, request), _way_on(held))
    missing = list(_missing(state, request, facts, now))
    if missing:
        raise TransitionRefused(
            request.doing(), "; ".join(missing), _next_step(state, request, facts, now)
        )


def decision_problems(
    decision: EvaluationFinished | None, request: Request, facts: Facts, now: datetime
) -> Iterator[str]:
    """Say what keeps ``decision`` from opening the way for this version as it is now."""
    if decision is None:
        where = "" if request.segment == DEFAULT_SEGMENT else f" in segment {request.segment!r}"
        yield f"no decision is recorded for this version{where}"
        return
    if decision.verdict != "approved":
        gates = ", ".join(decision.deciding_gates) or "no gate named"
        yield f"its decision is {decision.verdict} by {gates}: {decision.reason}"
    for name, judged, current in (
        ("artifact", decision.model_digest, facts.model_digest),
        ("evaluation dataset", decision.dataset_digest, facts.dataset_digest),
        ("policy", decision.policy_digest, facts.policy_digest),
    ):
        if not judged or judged != current:
            yield (
                f"the {name} judged was {_short(judged)} and the current one is {_short(current)}"
            )
    age = now - decision.decided_at
    if age > facts.decision_ttl:
        yield f"its decision is {age.days} days old and holds for {facts.decision_ttl.days}"
    if age < -CLOCK_SKEW:
        yield f"its decision is dated {decision.decided_at.isoformat()}, in the future"


def shadow_problems(state: ModelState, request: Request, facts: Facts) -> Iterator[str]:
    """Say what is wrong with the shadow report, where the policy does not waive it."""
    if facts.shadow_waiver is not None:
        return
    shadow = state.shadows.get((request.segment, request.version))
    if shadow is None:
        yield "no shadow report is recorded, and the policy does not waive it"
    elif not shadow.passed:
        yield f"its shadow report did not pass: {shadow.summary}"
    elif shadow.model_digest != facts.model_digest:
        yield "its shadow report is of another artifact"
    elif shadow.champion_digest and shadow.champion_digest != (facts.champion_digest or ""):
        yield "its shadow report holds it against another champion"
    elif shadow.rules_digest and facts.shadow_rules not in ("", shadow.rules_digest):
        yield "the policy asks something else of a shadow by now"


def valid_approvals(
    state: ModelState, request: Request, facts: Facts, now: datetime
) -> tuple[ReviewDecided, ...]:
    """Return the approvals that count: one a person, on today's evidence, not expired or early."""
    return tuple(
        review
        for review in _fitting_approvals(state, request, facts)
        if approval_problem(review, facts.review_ttl, now) is None
    )


def approval_problem(
    review: ReviewDecided, ttl: timedelta | None, now: datetime
) -> Literal["expired", "early"] | None:
    """Return why an approval does not hold now: one from the future would expire too late.

    Args:
        ttl: how long approvals hold; ``None`` for as long as their evidence does.
    """
    age = now - review.reviewed_at
    if age < -CLOCK_SKEW:
        return "early"
    return "expired" if ttl is not None and age > ttl else None


def _fitting_approvals(
    state: ModelState, request: Request, facts: Facts
) -> tuple[ReviewDecided, ...]:
    last: dict[str, ReviewDecided] = {}
    for review in state.reviews.get((request.segment, request.version), ()):
        last[review.actor] = review
    return tuple(
        review
        for review in last.values()
        if review.verdict == "approved"
        and review.actor not in facts.may_not_review
        and not changed_since(review, state, request, facts)
    )


def changed_since(
    review: ReviewDecided, state: ModelState, request: Request, facts: Facts
) -> tuple[str, ...]:
    """Name what is different now from what the reviewer judged."""
    current = evidence_of(state, request, facts)
    return tuple(
        name
        for name in sorted(current.keys() | review.evidence.keys())
        if current.get(name) != review.evidence.get(name)
    )


def evidence_of(state: ModelState, request: Request, facts: Facts) -> dict[str, str]:
    """Return the digests, by name, that an approval given now would be bound to."""
    decision = state.decision(request.version, request.segment)
    shadow = state.shadows.get((request.segment, request.version))
    evidence = {
        "model": facts.model_digest,
        "dataset": facts.dataset_digest,
        "policy": facts.policy_digest,
        "champion": facts.champion_digest or "",
    }
    if decision is not None:
        evidence["decision"] = decision.decision_digest
    if shadow is not None and shadow.report_digest:
        evidence["shadow"] = shadow.report_digest
    if facts.review_digest:
        evidence["review"] = facts.review_digest
    return evidence


def _missing(state: ModelState, request: Request, facts: Facts, now: datetime) -> Iterator[str]:
    if request.to is Stage.ARCHIVED:
        yield from _missing_for_archive(state, request)
        return
    yield from decision_problems(
        state.decision(request.version, request.segment), request, facts, now
    )
    champion = state.champions.get(request.segment)
    if champion is not None and version_key(request.version) < version_key(champion):
        yield (
            f"version {champion} is the champion and this one is older; "
            "going back needs an explicit rollback"
        )
    if request.to is Stage.PRODUCTION:
        yield from _missing_for_production(state, request, facts, now)


def _missing_for_archive(state: ModelState, request: Request) -> Iterator[str]:
    if not request.reason.strip():
        yield "no reason is given"
    reviews = state.reviews.get((request.segment, request.version), ())
    if request.cause == "rejected" and not any(r.verdict == "rejected" for r in reviews):
        yield "no reviewer has rejected it"
    if request.cause not in ("rejected", "withdrawn"):
        yield f"only a rollout's end or a rollback ends Production, not {request.cause}"


def _missing_for_production(
    state: ModelState, request: Request, facts: Facts, now: datetime
) -> Iterator[str]:
    yield from shadow_problems(state, request, facts)
    given = len(valid_approvals(state, request, facts, now))
    if given < facts.quorum:
        void = _voided(state, request, facts)
        yield f"{given} of {facts.quorum} approvals on exactly this evidence{void}"
        uncounted = _uncounted(state, request, facts)
        if uncounted:
            yield (
                f"an approval of {', '.join(uncounted)} does not count: it is from who made it, "
                "who asks for it, or who is no reviewer any more"
            )
        yield from _untimely(state, request, facts, now)
    if facts.frozen_by is not None:
        yield f"a freeze window is open: {facts.frozen_by}"
    latch = state.latches.get(facts.model_digest)
    if latch is not None:
        yield (
            f"its artifact was rejected in production: {latch.reason} (a person may clear that "
            "with `promotion rollout clear-latch`)"
        )
    rolling = state.rolling.get(request.segment)
    if rolling is not None:
        yield f"version {rolling} is already rolling out"
    if request.segment in state.champions and facts.predecessor != "ready":
        yield (
            f"champion {state.champions[request.segment]} is not proven to load and answer, "
            "so there would be no way back"
        )


def _voided(state: ModelState, request: Request, facts: Facts) -> str:
    changes = {
        name
        for review in state.reviews.get((request.segment, request.version), ())
        if review.verdict == "approved"
        for name in changed_since(review, state, request, facts)
    }
    return (
        f" (earlier ones are void, changed since: {', '.join(sorted(changes))})" if changes else ""
    )


def _untimely(state: ModelState, request: Request, facts: Facts, now: datetime) -> Iterator[str]:
    for review in _fitting_approvals(state, request, facts):
        problem = approval_problem(review, facts.review_ttl, now)
        if problem == "early":
            yield (
                f"the approval of {review.actor} is dated {review.reviewed_at.isoformat()}, in the "
                "future, and does not count before"
            )
        elif problem == "expired" and facts.review_ttl is not None:
            yield (
                f"the approval of {review.actor} is {(now - review.reviewed_at).days} days old and "
                f"holds for {facts.review_ttl.days}"
            )


def _waits_for_a_clock(state: ModelState, request: Request, facts: Facts, now: datetime) -> bool:
    if len(valid_approvals(state, request, facts, now)) >= facts.quorum:
        return False
    fitting = _fitting_approvals(state, request, facts)
    return any(approval_problem(review, facts.review_ttl, now) == "early" for review in fitting)


def _uncounted(state: ModelState, request: Request, facts: Facts) -> list[str]:
    reviews = state.reviews.get((request.segment, request.version), ())
    given = {review.actor for review in reviews if review.verdict == "approved"}
    return sorted(given & set(facts.may_not_review))


def _no_such_way(held: Stage, request: Request) -> str:
    if held is Stage.NONE and request.to is Stage.PRODUCTION:
        return "it is in stage None, and no way leads from None to Production"
    if held is Stage.ARCHIVED and request.to is Stage.PRODUCTION:
        return "it is Archived, and only a rollback brings an archived version back"
    return f"it is in stage {held}, and no way leads from there to {request.to} ({request.cause})"


def _way_on(held: Stage) -> str:
    return {
        Stage.NONE: "evaluate it and promote it to Staging first",
        Stage.STAGING: "promote it to Production, or withdraw it",
        Stage.PRODUCTION: "roll it back, or promote a successor",
        Stage.ARCHIVED: "register the artifact as a new version, or use `promotion rollback`",
    }[held]


def _next_step(state: ModelState, request: Request, facts: Facts, now: datetime) -> str:
    name = f"{request.model} {request.version}"
    if request.to is Stage.ARCHIVED:
        return "give the reason, and have a reviewer reject it or withdraw it"
    decision = state.decision(request.version, request.segment)
    if decision is None:
        return f"run `promotion evaluate {name}`"
    if decision.verdict != "approved":
        return f"see `promotion explain {name}`, mend the model and register a new version"
    if any(decision_problems(decision, request, facts, now)):
        return f"evaluate it again as it is now: `promotion evaluate {name}`"
    if request.to is Stage.PRODUCTION and _waits_for_a_clock(state, request, facts, now):
        return (
            "set this machine's clock or the one that dated it, and promote it again when that "
            f"time has come; see `promotion explain {name}`"
        )
    return f"see `promotion explain {name}` for what is recorded, and supply what is missing"


def _short(digest: str) -> str:
    return digest[:12] or "unknown"
