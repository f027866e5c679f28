"""Drills: what is known of them, when the next one is due, and how a team does in them.

A drill looks like any other request. It is made of a real version's evidence with a defect put in
(:mod:`.defects`), stands under a number that no registered version has, and is judged by the same
rules. Whoever has voted is told. Votes are events of a kind of their own in a journal of their own
(:mod:`promotion_assets.lifecycle.drill_events`), so that none of them approves anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from promotion_assets.lifecycle.drill_events import (
    DrillAnswered,
    DrillEnded,
    DrillOpened,
    DrillRefused,
    DrillReminded,
)
from promotion_assets.lifecycle.events import AnyEvent, ReviewDecided, ReviewRequested
from promotion_assets.policy.review import DrillPolicy


@dataclass(frozen=True)
class Drill:
    """One drill, folded from its events.

    Attributes:
        model: the real model whose queue it is in.
        refused: votes that the rules refused.
    """

    model: str
    opened: DrillOpened
    answers: tuple[DrillAnswered, ...] = ()
    refused: int = 0
    reminded: bool = False
    ended: DrillEnded | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Segment and version, as the queue shows them."""
        return self.opened.segment, self.opened.version

    @property
    def request(self) -> ReviewRequested:
        """The request as reviewers see it. It is in no ledger."""
        return ReviewRequested(
            model=self.model,
            version=self.opened.version,
            segment=self.opened.segment,
            evidence=self.opened.evidence,
            request_id=self.opened.request_id,
            assigned=self.opened.assigned,
            requested_at=self.opened.requested_at,
            expires_at=self.opened.expires_at,
        )

    @property
    def votes(self) -> tuple[ReviewDecided, ...]:
        """The votes in the form in which the rules read votes. They are in no ledger."""
        return tuple(
            ReviewDecided(**{**dict(answer), "kind": "REVIEW_DECIDED", "model": self.model})
            for answer in self.answers
        )

    def is_over_for(self, reviewer: str) -> bool:
        """Whether ``reviewer`` may be told: after a vote, or when it is over."""
        return self.ended is not None or any(a.actor == reviewer for a in self.answers)


@dataclass(frozen=True)
class DrillFigures:
    """How a team does in drills; only those that are over count, so that none is given away.

    Attributes:
        caught, missed, expired: drills by how they ended.
        catch_rate: of the caught and the missed, the share caught; ``None`` where there is none.
        by_reviewer: votes and rejections of each reviewer.
        missed_defects: how often each kind of defect was missed.
    """

    drills: int
    caught: int
    missed: int
    expired: int
    catch_rate: float | None
    by_reviewer: Mapping[str, tuple[int, int]]
    missed_defects: Mapping[str, int]


def drills_of(model: str, events: Iterable[AnyEvent]) -> tuple[Drill, ...]:
    """Return the drills of ``model`` from the events of its journal, in order."""
    found: dict[str, Drill] = {}
    for event in events:
        match event:
            case DrillOpened():
                found[event.request_id] = Drill(model, event)
            case DrillAnswered():
                drill = found[event.request_id]
                found[event.request_id] = replace(drill, answers=(*drill.answers, event))
            case DrillRefused():
                drill = found[event.request_id]
                found[event.request_id] = replace(drill, refused=drill.refused + 1)
            case DrillReminded():
                found[event.request_id] = replace(found[event.request_id], reminded=True)
            case DrillEnded():
                found[event.request_id] = replace(found[event.request_id], ended=event)
    return tuple(found.values())


def chance(policy: DrillPolicy, model: str, number: int) -> Random:
    """Return the chance that everything about a model's drill ``number`` is chosen by."""
    return Random(f"{policy.seed}:{model}:{number}")  # noqa: S311 - it guards no secret


def is_due(
    policy: DrillPolicy,
    model: str,
    past: Sequence[Drill],
    requested: int,
    first_request: datetime | None,
    now: datetime,
) -> bool:
    """Whether the next drill is to be opened now; one at a time, and not to be foreseen.

    Args:
        requested: real requests of the model until now.
        first_request: when the first of them was opened, as far as known.
    """
    if not policy.enabled or any(drill.ended is None for drill in past):
        return False
    dice = chance(policy, model, len(past))
    last = past[-1].opened if past else None
    if policy.per_requests is not None:
        gap = dice.randint((policy.per_requests + 1) // 2, policy.per_requests * 3 // 2)
        if requested - (last.after_requests if last else 0) >= max(gap, 1):
            return True
    since = last.requested_at if last else first_request
    if policy.per_days is not None and since is not None:
        return now - since >= timedelta(days=policy.per_days * dice.uniform(0.5, 1.5))
    return False


def drill_figures(drills: Iterable[Drill]) -> DrillFigures:
    """Return how a team does."""
    over = [drill for drill in drills if drill.ended is not None]
    ends = [drill.ended.outcome for drill in over if drill.ended]
    by_reviewer: dict[str, tuple[int, int]] = {}
    missed: dict[str, int] = {}
    for drill in over:
        for answer in drill.answers:
            votes, rejections = by_reviewer.get(answer.actor, (0, 0))
            rejected = answer.verdict == "rejected"
            by_reviewer[answer.actor] = (votes + 1, rejections + rejected)
        if drill.ended and drill.ended.outcome == "missed":
            missed[drill.opened.defect] = missed.get(drill.opened.defect, 0) + 1
    caught, decided = ends.count("caught"), ends.count("caught") + ends.count("missed")
    return DrillFigures(
        drills=len(over) - ends.count("withdrawn"),
        caught=caught,
        missed=ends.count("missed"),
        expired=ends.count("expired"),
        catch_rate=caught / decided if decided else None,
        by_reviewer=dict(sorted(by_reviewer.items())),
        missed_defects=dict(sorted(missed.items())),
    )
