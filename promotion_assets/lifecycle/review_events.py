"""What happens in human reviews: requests, votes, refusals, and the access of reviewers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from promotion_assets.lifecycle.event_base import DEFAULT_SEGMENT, Event


class ReviewRequested(Event):
    """A Staging version awaits human review.

    Attributes:
        evidence: digests by name of what is to be judged, as in :class:`ReviewDecided`.
        request_id: names the request; a version whose evidence changed gets another one.
        assigned: whose turn it is.
        requested_at, expires_at: when it was opened, and when it closes by itself.
    """

    kind: Literal["REVIEW_REQUESTED"] = "REVIEW_REQUESTED"
    version: str
    segment: str = DEFAULT_SEGMENT
    evidence: Mapping[str, str] = Field(default_factory=dict)
    request_id: str = ""
    assigned: tuple[str, ...] = ()
    requested_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None


class ReviewReminded(Event):
    """Nobody has decided on an open request for a while, or its time is over.

    ``what`` is ``reminder`` or ``expired``.
    """

    kind: Literal["REVIEW_REMINDED"] = "REVIEW_REMINDED"
    version: str
    segment: str = DEFAULT_SEGMENT
    request_id: str
    what: Literal["reminder", "expired"]
    assigned: tuple[str, ...] = ()


class ReviewRefused(Event):
    """Somebody tried to approve or reject and was not allowed to; ``problems`` say why."""

    kind: Literal["REVIEW_REFUSED"] = "REVIEW_REFUSED"
    version: str
    segment: str = DEFAULT_SEGMENT
    verdict: Literal["approved", "rejected"]
    surface: str = ""
    problems: tuple[str, ...] = Field(min_length=1)


class AccessRecorded(Event):
    """Something happened to a reviewer's access: given, taken away, tried in vain.

    ``model`` is the journal of access, which no registered model can be called. ``source`` is
    where it came from, an address or a surface.
    """

    kind: Literal["REVIEWER_ACCESS"] = "REVIEWER_ACCESS"
    what: Literal["token_issued", "token_revoked", "login_failed", "locked_out", "request_refused"]
    reviewer: str = ""
    source: str = ""
    detail: str = ""


class ReviewDecided(Event):
    """One reviewer has approved or rejected one version on exactly this evidence.

    Attributes:
        actor: the reviewer.
        evidence: digests by name of what the reviewer judged: ``decision``, ``model``,
            ``dataset``, ``policy``, ``champion`` (its digest), ``shadow`` and ``review`` (the
            rules of the review).
        surface: through which surface it came.
        request_id: the request that it answers.
        view_digest: digest of what the reviewer was shown, which is kept under it.
        seconds: from first opening to the vote, by the server's clock.
        flags: what about it wants an auditor's look.
    """

    kind: Literal["REVIEW_DECIDED"] = "REVIEW_DECIDED"
    version: str
    segment: str = DEFAULT_SEGMENT
    verdict: Literal["approved", "rejected"]
    reviewed_at: AwareDatetime
    evidence: Mapping[str, str]
    answers: Mapping[str, JsonValue] = Field(default_factory=dict)
    comment: str = ""
    surface: str = ""
    request_id: str = ""
    view_digest: str = ""
    seconds: float | None = None
    flags: tuple[str, ...] = ()
