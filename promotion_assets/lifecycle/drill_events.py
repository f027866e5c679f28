"""Drills of reviewers: events of their own kinds, in a history that is no model's.

A drill is a request for review of a version that does not exist, made to see whether reviewers
notice what is wrong with it. Its events stand under the name :func:`journal_of`, which no
registered model can have, and nothing else may stand there: so a vote on a drill is never an
approval of anything, whoever reads the ledger and however.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from promotion_assets.lifecycle.event_base import DEFAULT_SEGMENT, Event

# MLflow refuses a colon in a model's name.
PREFIX = "drills:"


class DrillEvent(Event):
    """Base of a drill's events; ``model`` is the journal, ``version`` a number nobody has.

    Attributes:
        request_id: names the drill, in the form of any request.
    """

    version: str
    segment: str = DEFAULT_SEGMENT
    request_id: str = Field(min_length=1)


class DrillOpened(DrillEvent):
    """A known-bad candidate was put into the queue.

    Attributes:
        evidence: digests by name that a vote on it is bound to; ``model`` is no artifact's.
        source_version: the real version whose evidence it was made of.
        defect: the kind of defect.
        told: what is wrong with it, for whoever has voted.
        case_digest: SHA-256 of what is shown, kept in the store under it.
        after_requests: real requests of the model until then.
    """

    kind: Literal["DRILL_OPENED"] = "DRILL_OPENED"
    evidence: Mapping[str, str]
    assigned: tuple[str, ...] = ()
    requested_at: AwareDatetime
    expires_at: AwareDatetime
    source_version: str
    defect: str
    told: tuple[str, ...] = Field(min_length=1)
    case_digest: str
    after_requests: int = Field(ge=0)


class DrillAnswered(DrillEvent):
    """A reviewer has voted on a drill; the attributes are those of a vote."""

    kind: Literal["DRILL_ANSWERED"] = "DRILL_ANSWERED"
    verdict: Literal["approved", "rejected"]
    reviewed_at: AwareDatetime
    evidence: Mapping[str, str]
    answers: Mapping[str, JsonValue] = Field(default_factory=dict)
    comment: str = ""
    surface: str = ""
    view_digest: str = ""
    seconds: float | None = None
    flags: tuple[str, ...] = ()


class DrillRefused(DrillEvent):
    """A vote on a drill was not let through, for what any vote would have been refused."""

    kind: Literal["DRILL_REFUSED"] = "DRILL_REFUSED"
    verdict: Literal["approved", "rejected"]
    surface: str = ""
    problems: tuple[str, ...] = Field(min_length=1)


class DrillReminded(DrillEvent):
    """Reviewers were reminded of a drill as of any request that waits."""

    kind: Literal["DRILL_REMINDED"] = "DRILL_REMINDED"
    assigned: tuple[str, ...] = ()


class DrillEnded(DrillEvent):
    """A drill is over: ``caught`` by a rejection, ``missed`` by a quorum of approvals.

    It ``expired`` where nobody has decided, and was ``withdrawn`` where what it was made of has
    changed, or a real version has come by its number.
    """

    kind: Literal["DRILL_ENDED"] = "DRILL_ENDED"
    outcome: Literal["caught", "missed", "expired", "withdrawn"]
    reason: str


AnyDrillEvent = DrillOpened | DrillAnswered | DrillRefused | DrillReminded | DrillEnded


def journal_of(model: str) -> str:
    """Return the name under which the drills of a model are recorded."""
    return f"{PREFIX}{model}"


def is_journal(model: str) -> bool:
    """Whether a name is that of a journal of drills."""
    return model.startswith(PREFIX)
