"""All that a vote is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    ReviewDecided,
    ReviewRequested,
    Stage,
)
from promotion_assets.policy.model import RiskClass
from promotion_assets.policy.review import ReviewPolicy
from promotion_assets.review.questionnaire import Question, questions_for
from promotion_assets.review.slices import Slice
from promotion_assets.review.texts import EarlierAnswer

Verdict = Literal["approved", "rejected"]
Surface = Literal["page", "cli", "slack", "dagster"]


class Ballot(BaseModel):
    """One reviewer's vote as it was handed in.

    Attributes:
        request_id: the request that the reviewer had before her.
        answers: by question id; a ticked box is ``yes``.
        comment: why it is rejected; a remark where it is approved.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: str
    segment: str = DEFAULT_SEGMENT
    request_id: str = ""
    verdict: Verdict
    answers: Mapping[str, str] = Field(default_factory=dict)
    comment: str = ""


@dataclass(frozen=True)
class Opening:
    """What the server noted of one reviewer's reading.

    Attributes:
        first: when the reviewer first opened the request; ``None`` for never.
        parts: ids of the slices that were opened.
        view_digest: names what was shown last.
    """

    first: datetime | None = None
    parts: frozenset[str] = frozenset()
    view_digest: str = ""


@dataclass(frozen=True)
class Case:
    """A version under review, as it stands now.

    Attributes:
        request: the last request for it, open or not.
        evidence: digests by name, as they are now.
        problems: what keeps it from Production whatever reviewers say: the decision, the shadow.
        authors: names in lower case of those who made or registered it.
        requesters: names in lower case of those who asked for its promotion.
        reviews: every vote on this version so far.
        earlier: what was written in any review of the model before.
        frozen_by: the freeze window that is open now.
    """

    model: str
    version: str
    stage: Stage
    risk_class: RiskClass
    policy: ReviewPolicy
    evidence: Mapping[str, str]
    segment: str = DEFAULT_SEGMENT
    request: ReviewRequested | None = None
    problems: tuple[str, ...] = ()
    authors: frozenset[str] = frozenset()
    requesters: frozenset[str] = frozenset()
    reviews: tuple[ReviewDecided, ...] = ()
    earlier: tuple[EarlierAnswer, ...] = ()
    limitations: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = field(default=())
    frozen_by: str | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """What is asked."""
        return questions_for(self.risk_class, self.policy, self.limitations)

    @property
    def quorum(self) -> int:
        """How many different people must approve."""
        return self.policy.needed(self.risk_class)

    @property
    def barred(self) -> frozenset[str]:
        """Who cannot approve it, in lower case: nobody judges what is their own."""
        return self.authors | self.requesters

    def standing(self) -> tuple[ReviewDecided, ...]:
        """Return the last vote of each reviewer that was given on today's evidence."""
        last = {r.actor: r for r in self.reviews if dict(r.evidence) == dict(self.evidence)}
        return tuple(last.values())

    def changed(self) -> tuple[str, ...]:
        """Name what is different now from what the request was opened on."""
        before = self.request.evidence if self.request else {}
        return tuple(
            name
            for name in sorted(before.keys() | self.evidence.keys())
            if before.get(name) != self.evidence.get(name)
        )
