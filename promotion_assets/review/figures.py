"""How a team reviews: time to decide, share flagged, agreement, rejections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from promotion_assets.lifecycle.events import (
    AnyEvent,
    ReviewDecided,
    ReviewRefused,
    ReviewReminded,
    ReviewRequested,
)
from promotion_assets.review.drills import Drill, DrillFigures, drill_figures


@dataclass(frozen=True)
class Figures:
    """Figures over all reviews of a team.

    Attributes:
        median_seconds: from first opening to the vote.
        flagged: share of the votes with a flag.
        rejected: share of the votes that reject.
        agreement: of the requests with two votes or more, the share in which all agree; ``None``
            where there is none.
        refused: attempts that the rules refused.
        by_reviewer: votes, flagged votes and rejections of each reviewer.
        flags: the flagged votes: reviewer, model, version, flag.
        drills: how the team does in drills.
    """

    requests: int
    votes: int
    median_seconds: float | None
    flagged: float | None
    rejected: float | None
    agreement: float | None
    refused: int
    expired: int
    by_reviewer: Mapping[str, tuple[int, int, int]]
    flags: tuple[tuple[str, str, str, str], ...]
    drills: DrillFigures


def figures_of(events: Iterable[AnyEvent], drills: Iterable[Drill] = ()) -> Figures:
    """Return the figures of a history; drills are counted apart."""
    votes: list[ReviewDecided] = []
    requests = refused = expired = 0
    for event in events:
        match event:
            case ReviewDecided():
                votes.append(event)
            case ReviewRequested():
                requests += 1
            case ReviewRefused():
                refused += 1
            case ReviewReminded(what="expired"):
                expired += 1
    seconds = [vote.seconds for vote in votes if vote.seconds is not None]
    return Figures(
        requests=requests,
        votes=len(votes),
        median_seconds=median(seconds) if seconds else None,
        flagged=_share(sum(1 for v in votes if v.flags), len(votes)),
        rejected=_share(sum(1 for v in votes if v.verdict == "rejected"), len(votes)),
        agreement=_agreement(votes),
        refused=refused,
        expired=expired,
        by_reviewer=_by_reviewer(votes),
        drills=drill_figures(drills),
        flags=tuple((v.actor, v.model, v.version, f) for v in votes for f in v.flags),
    )


def _agreement(votes: Iterable[ReviewDecided]) -> float | None:
    by_request: dict[str, dict[str, str]] = defaultdict(dict)
    for vote in votes:
        if vote.request_id:
            by_request[vote.request_id][vote.actor] = vote.verdict
    several = [set(given.values()) for given in by_request.values() if len(given) > 1]
    return _share(sum(1 for verdicts in several if len(verdicts) == 1), len(several))


def _by_reviewer(votes: Iterable[ReviewDecided]) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for vote in votes:
        given, flagged, rejected = found.get(vote.actor, (0, 0, 0))
        found[vote.actor] = (
            given + 1,
            flagged + bool(vote.flags),
            rejected + (vote.verdict == "rejected"),
        )
    return dict(sorted(found.items()))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
