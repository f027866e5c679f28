"""The policy on human review: who may say yes, to which questions, how many, and when not."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from promotion_assets.canonical import digest_of
from promotion_assets.policy.strict import Strict

# These may change under an open review without changing what was asked.
_NOT_RULES = {"reviewers", "freeze", "drill"}
HIGH_STAKES_QUORUM = 2


def same_person(name: str) -> str:
    """Return ``name`` without what nobody sees or means: case, spaces, how accents are encoded."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class ReviewerEntry(Strict):
    """One person who may review.

    Attributes:
        name: who signs in and signs the vote; the same in every model's policy.
        role: shown beside the vote (``risk``, ``data science`` …).
        slack: ``TEAM_ID/USER_ID`` of the person in Slack.
        accounts: other names of the person, as MLflow or Git write them, so that an author is
            recognised under any of them.
    """

    name: Annotated[
        str, Field(min_length=1, max_length=100, pattern=r"^[^\s:/<>][^:/<>\x00-\x1f]*$")
    ]
    role: str = ""
    slack: Annotated[str | None, Field(pattern=r"^[A-Z0-9]+/[A-Z0-9]+$")] = None
    accounts: tuple[str, ...] = ()

    def is_one_of(self, accounts: frozenset[str]) -> bool:
        """Whether any of ``accounts`` is this person."""
        return not self.known_as.isdisjoint(same_person(account) for account in accounts)

    @property
    def known_as(self) -> frozenset[str]:
        """Every name of the person, as :func:`same_person` writes it."""
        return frozenset(same_person(name) for name in (self.name, *self.accounts))


class Quorum(Strict):
    """How many different people must approve, by risk class.

    Attributes:
        low, medium, high: people, for a model of that risk class.
    """

    low: Annotated[int, Field(ge=1, le=10)] = 1
    medium: Annotated[int, Field(ge=1, le=10)] = 1
    high: Annotated[int, Field(ge=1, le=10)] = 2


class ExtraQuestion(Strict):
    """A question of the team's own.

    Attributes:
        id: what the answer is called in files and in the ledger.
        text: the question.
        kind: ``text`` asks for words, ``confirm`` for a tick.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    text: Annotated[str, Field(min_length=5, max_length=300)]
    kind: Literal["confirm", "text"] = "text"


class Window(Strict):
    """A time in which nothing goes live.

    Attributes:
        since: the first day of it; written ``from``.
        until: the first day on which it may again.
        reason: what a refusal says.
    """

    since: date = Field(alias="from")
    until: date
    reason: Annotated[str, Field(min_length=3)]

    @model_validator(mode="after")
    def _ascends(self) -> Window:
        if self.until <= self.since:
            raise ValueError(f"until: {self.until} does not come after from: {self.since}")
        return self


class Freeze(Strict):
    """When nothing goes live.

    Attributes:
        timezone: in which days begin and end.
        weekends: whether Saturday and Sunday are closed.
        holidays: ISO 3166 country whose public holidays are closed, ``DE`` or ``DE-BE``.
        on_call: a calendar (``.ics`` or YAML) beside the policy; where nobody has cover, or the
            file cannot be read, nothing goes live.
        windows: other closed times.
    """

    timezone: str = "UTC"
    weekends: bool = False
    holidays: Annotated[str | None, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] = None
    on_call: str | None = None
    windows: tuple[Window, ...] = ()

    @model_validator(mode="after")
    def _known_timezone(self) -> Freeze:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"timezone: {self.timezone!r} is not a known time zone") from error
        return self


class DrillPolicy(Strict):
    """Known-bad candidates in the queue, now and then, to see whether they are caught.

    Attributes:
        enabled: off unless a team wants it.
        per_requests: one drill in about so many real requests of the model.
        per_days: one drill in about so many days. Of both, whichever comes first.
        seed: of the chance by which moment, number and defect are chosen.
    """

    enabled: bool = False
    per_requests: Annotated[int | None, Field(ge=1)] = 10
    per_days: Annotated[int | None, Field(ge=1)] = None
    seed: int = 0

    @model_validator(mode="after")
    def _comes_sometime(self) -> DrillPolicy:
        if self.enabled and self.per_requests is None and self.per_days is None:
            raise ValueError("drill is enabled and neither per_requests nor per_days is given")
        return self


class ReviewPolicy(Strict):
    """What a review of one model must be.

    Attributes:
        reviewers: who may review; without any, nobody can approve and nothing goes live.
        quorum: different approvals that Production needs, by risk class.
        stakes: ``high`` needs two different people whatever the risk class says.
        questions: asked besides those of the risk class.
        min_text: characters below which a free-text answer is no answer.
        min_seconds: from first opening to approval; faster is refused.
        flag_seconds: faster than this is accepted and flagged.
        approval_ttl_days: how long an approval holds.
        request_ttl_days: how long a request stays open.
        remind_days: after how many days without a decision reviewers are reminded.
        only_assigned: whether an approval of somebody else than the assigned is refused; it is
            flagged otherwise.
        borderline: share of a limit within which a passed number counts as borderline.
        freeze: when nothing goes live.
        drill: known-bad candidates that are put into the queue; off by default.
    """

    reviewers: tuple[ReviewerEntry, ...] = ()
    quorum: Quorum = Quorum()
    stakes: Literal["normal", "high"] = "normal"
    questions: tuple[ExtraQuestion, ...] = ()
    min_text: Annotated[int, Field(ge=1, le=500)] = 20
    min_seconds: Annotated[int, Field(ge=0)] = 30
    flag_seconds: Annotated[int, Field(ge=0)] = 60
    approval_ttl_days: Annotated[int, Field(ge=1)] = 14
    request_ttl_days: Annotated[int, Field(ge=1)] = 14
    remind_days: Annotated[int, Field(ge=1)] = 2
    only_assigned: bool = False
    borderline: Annotated[float, Field(ge=0, le=1)] = 0.1
    freeze: Freeze = Freeze()
    drill: DrillPolicy = DrillPolicy()

    @model_validator(mode="after")
    def _each_once(self) -> ReviewPolicy:
        for what, names in (
            ("reviewers", [same_person(r.name) for r in self.reviewers]),
            ("reviewers' slack ids", [r.slack for r in self.reviewers if r.slack]),
            ("questions", [q.id for q in self.questions]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} repeat: {', '.join(sorted(map(str, names)))}")
        for one in self.reviewers:
            for other in self.reviewers:
                if one is not other and same_person(other.name) in one.known_as:
                    raise ValueError(
                        f"reviewers repeat: {other.name} is an account of {one.name}, and one "
                        "person has one vote"
                    )
        return self

    def needed(self, risk_class: Literal["low", "medium", "high"]) -> int:
        """Return how many different people must approve."""
        by_risk: Mapping[str, int] = self.quorum.model_dump()
        least = HIGH_STAKES_QUORUM if self.stakes == "high" else 1
        return max(least, by_risk[risk_class])

    def reviewer(self, name: str) -> ReviewerEntry | None:
        """Return the reviewer called ``name``."""
        return next((r for r in self.reviewers if r.name == name), None)

    @property
    def approval_ttl(self) -> timedelta:
        """``approval_ttl_days`` as a time span."""
        return timedelta(days=self.approval_ttl_days)

    def expiry(self, opened_at: datetime) -> datetime:
        """Return when a request that was opened then closes by itself."""
        return opened_at + timedelta(days=self.request_ttl_days)

    def rules_digest(self, shadow_waiver: str | None) -> str:
        """SHA-256 of what an approval depends on: not roster, calendars and drills."""
        rules = self.model_dump(mode="json", exclude=_NOT_RULES, by_alias=True)
        return digest_of({"review": rules, "shadow_waiver": shadow_waiver})
