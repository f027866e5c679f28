"""The reviewers' desk over one workspace: what every surface calls."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from promotion_assets.adapters.reviewer_store import open_access_store
from promotion_assets.errors import (
    AccessRefused,
    Conflict,
    PromotionError,
    ReviewNotAllowed,
    UsageError,
)
from promotion_assets.lifecycle.events import (
    DEFAULT_SEGMENT,
    AnyEvent,
    ReviewDecided,
    ReviewRefused,
    Stage,
)
from promotion_assets.pipeline.drill_case import gather_drill
from promotion_assets.pipeline.drilling import (
    events_of_vote,
    refused_in_drill,
    told_of,
    withdraw,
)
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.past_drills import all_drills, find_drill
from promotion_assets.pipeline.review_case import Gathered, frozen_view, gather, picture_files
from promotion_assets.pipeline.review_queue import queue, waiting
from promotion_assets.pipeline.review_requests import (
    Kept,
    carry_out_rejection,
    keep_request,
)
from promotion_assets.pipeline.trying import example_inputs, try_inputs
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.access import Access
from promotion_assets.review.case import Ballot, Case, Opening, Surface
from promotion_assets.review.figures import Figures, figures_of
from promotion_assets.review.identity import name_hash
from promotion_assets.review.ports import AccessStore, Answered, QueueItem, Shown
from promotion_assets.review.requests import closed_because
from promotion_assets.review.rules import Judgement, judge, may_approve

_VIEW = "view:"
_ATTEMPTS = 5
ONE_TIME = timedelta(hours=1)
BUSY_SECONDS = 120.0


@dataclass(frozen=True)
class ReviewDesk:
    """The :class:`promotion_assets.review.desk.Desk` on the platform's own steps."""

    workspace: Workspace
    _trying: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def store(self) -> AccessStore:
        """Tokens, sessions and openings."""
        return open_access_store(self.workspace.database_url)

    @cached_property
    def access(self) -> Access:
        """Who may come in."""
        return Access(self.store, self.workspace.ledger, self.workspace.clock, self._is_reviewer)

    def queue(self) -> tuple[QueueItem, ...]:
        """Return the open requests of all models, the oldest first, from the ledger alone."""
        return queue(self.workspace)

    def segment_of(self, model: str, version: str) -> str:
        """Return the segment that is meant where none is named.

        Raises:
            UsageError: the version waits for review in several.
        """
        known = self.workspace.policy_of(model).segments
        found = [i.segment for i in waiting(self.workspace, model) if i.version == version]
        if len(found) > 1 and DEFAULT_SEGMENT not in found:
            raise UsageError(
                f"opening the review of {model} version {version[:60]}",
                f"it waits in segments {', '.join(found)}",
                "name one of them: --segment here, segment=… in Slack, the link of one on the page",
            )
        if DEFAULT_SEGMENT in found or not found:
            return DEFAULT_SEGMENT if DEFAULT_SEGMENT in known else known[0]
        return found[0]

    def case(self, model: str, version: str, segment: str) -> Case:
        """Return the case as it stands, without noting that anybody has opened it."""
        return self._gather(self._evaluator(model, segment), version).case

    def show(self, model: str, version: str, segment: str, reviewer: str) -> Shown:
        """Return the request as it stands, and note that ``reviewer`` has opened it."""
        evaluator = self._evaluator(model, segment)
        if self._in_staging(evaluator, version):
            keep_request(evaluator, version, Kept())
        found = self._gather(evaluator, version)
        pictures = picture_files(evaluator, found)
        view = frozen_view(evaluator, found, pictures)
        case, now = found.case, self.workspace.clock()
        if case.request is not None and case.request.request_id:
            name = case.request.request_id
            self.store.open_part(name, reviewer, "", now)
            self.store.open_part(name, reviewer, f"{_VIEW}{view.digest}", now)
        return Shown(
            case=case,
            view=view,
            view_digest=view.digest,
            pictures=pictures,
            opened=self._opening(found, reviewer).parts,
            hindrances=may_approve(case, reviewer, now),
            closed="it is over" if found.drill and found.drill.ended else closed_because(case, now),
            told=self.told(model, version, segment, reviewer),
        )

    def told(self, model: str, version: str, segment: str, reviewer: str) -> tuple[str, ...]:
        """Return what ``reviewer`` may know of a drill; nothing of a real request."""
        drill = find_drill(self.workspace, model, version, segment)
        return told_of(drill) if drill is not None and drill.is_over_for(reviewer) else ()

    def open_slice(
        self, model: str, version: str, segment: str, reviewer: str, slice_id: str
    ) -> Shown:
        """Note that ``reviewer`` has opened a slice; only after the request itself."""
        shown = self.show(model, version, segment, reviewer)
        request = shown.case.request
        if request is not None and any(part.id == slice_id for part in shown.case.slices):
            self.store.open_part(request.request_id, reviewer, slice_id, self.workspace.clock())
        return shown

    def inputs(self, model: str, version: str, segment: str) -> Mapping[str, str]:
        """Return an example of the version's inputs, by name."""
        return example_inputs(*self._tried(model, version, segment))

    def try_inputs(
        self, model: str, version: str, segment: str, values: Mapping[str, str]
    ) -> Answered:
        """Score hand-made inputs on both versions, one such request at a time."""
        if not self._trying.acquire(timeout=BUSY_SECONDS):
            raise Conflict(
                f"trying inputs on {model} version {version}",
                "others are trying theirs",
                "try again in a minute",
            )
        try:
            evaluator, tried = self._tried(model, version, segment)
            return try_inputs(evaluator, tried, values)
        finally:
            self._trying.release()

    def vote(self, ballot: Ballot, reviewer: str, surface: Surface) -> ReviewDecided:
        """Record a vote; a rejection archives the version at once.

        Raises:
            ReviewNotAllowed: the rules do not let it through; the attempt is recorded.
            UsageError: there is no such model or version.
            LedgerUnreachable: nothing was recorded.
        """
        evaluator = self._evaluator(ballot.model, ballot.segment)
        for _ in range(_ATTEMPTS):
            found = self._gather(evaluator, ballot.version)
            opening = self._opening(found, reviewer)
            now = self.workspace.clock()
            judged = judge(found.case, ballot, reviewer, opening, now)
            if not judged.accepted:
                raise self._refused(found, ballot, reviewer, surface, judged)
            decided = _decided(found, ballot, reviewer, surface, opening, judged, now)
            events = events_of_vote(found, decided, now) if found.drill else [decided]
            try:
                self.workspace.ledger.append(events, expect_sequence=found.sequence)
            except Conflict:
                # Somebody else was first: judge again on what is there now.
                continue
            if found.drill is None:
                self._conclude(evaluator, decided)
            return decided
        raise Conflict(
            f"voting on {ballot.model} version {ballot.version}",
            f"others wrote to the ledger in each of {_ATTEMPTS} attempts; nothing was recorded",
            "look whether it still waits (`promotion review list`), and vote again",
        )

    def finish_later(self, ballot: Ballot, reviewer: str) -> str:
        """Return a one-time token that completes this vote on another surface, for an hour.

        Raises:
            ReviewNotAllowed: the vote would not be let through as it is.
        """
        found = self._gather(self._evaluator(ballot.model, ballot.segment), ballot.version)
        now = self.workspace.clock()
        judged = judge(found.case, ballot, reviewer, self._opening(found, reviewer), now)
        if not judged.accepted:
            raise self._refused(found, ballot, reviewer, "page", judged)
        token = f"once_{os.urandom(24).hex()}"
        content = json.dumps({"reviewer": reviewer, "ballot": ballot.model_dump(mode="json")})
        self.store.put_once(name_hash(token), content, now + ONE_TIME)
        return token

    def redeem(
        self,
        token: str,
        surface: Surface,
        reviewer: str | None = None,
        of: tuple[str, str] | None = None,
        segment: str | None = None,
    ) -> ReviewDecided:
        """Complete the vote of a one-time token; everything is judged once more.

        Args:
            reviewer: who must have finished it, where known.
            of: the model and version that it must be for, where known.
            segment: in which segment, where known.

        Raises:
            AccessRefused: the token is unknown, used, expired, somebody else's or of another
                version.
            ReviewNotAllowed: the rules do not let the vote through any more.
        """
        content = self.store.take_once(name_hash(token.strip()[:200]), self.workspace.clock())
        kept = json.loads(content) if content else None
        ballot = Ballot.model_validate(kept["ballot"]) if kept else None
        if (
            kept is None
            or ballot is None
            or (reviewer is not None and kept["reviewer"] != reviewer)
            or (of is not None and (ballot.model, ballot.version) != of)
            or (segment is not None and ballot.segment != segment)
        ):
            self.access.failed(surface, "a one-time token did not fit", "request_refused")
            raise AccessRefused(
                "completing a review",
                "the one-time token is unknown, used, expired, or not for this",
                "finish the questionnaire on the page again",
            )
        return self.vote(ballot, str(kept["reviewer"]), surface)

    def figures(self, models: Sequence[str] = ()) -> Figures:
        """Return how the team reviews, over ``models`` or all of the policy."""
        names = list(models or self.workspace.policy.models)
        drills = [drill for model in names for drill in all_drills(self.workspace, model)]
        return figures_of(self._events(names), drills)

    def reviewer_of_slack(self, slack_id: str) -> str | None:
        """Return the reviewer with the Slack identity ``TEAM/USER``."""
        for policy in self.workspace.policy.models.values():
            for entry in policy.review.reviewers:
                if entry.slack is not None and entry.slack == slack_id:
                    return entry.name
        return None

    def _is_reviewer(self, name: str) -> bool:
        policies = self.workspace.policy.models.values()
        return any(policy.review.reviewer(name) is not None for policy in policies)

    def _events(self, models: Iterable[str]) -> Iterator[AnyEvent]:
        for model in models:
            for recorded in self.workspace.ledger.events(model):
                yield recorded.event

    def _evaluator(self, model: str, segment: str) -> Evaluator:
        policy = self.workspace.policy_of(model)
        if segment not in policy.segments:
            raise UsageError(
                f"opening a review of {model}",
                f"there is no segment {segment[:60]!r}",
                f"known are {', '.join(policy.segments)}",
            )
        return Evaluator(self.workspace, model, segment)

    def _gather(self, evaluator: Evaluator, version: str) -> Gathered:
        drill = find_drill(self.workspace, evaluator.model, version, evaluator.segment)
        if drill is None:
            return gather(evaluator, version)
        found = gather_drill(evaluator, drill)
        if drill.ended is None and found.case.changed():
            withdraw(self.workspace, drill, f"changed since: {', '.join(found.case.changed())}")
        return found

    def _tried(self, model: str, version: str, segment: str) -> tuple[Evaluator, str]:
        """Return whose artifact answers where inputs are tried: a drill has none of its own."""
        evaluator = self._evaluator(model, segment)
        drill = find_drill(self.workspace, model, version, segment)
        return evaluator, drill.opened.source_version if drill else version

    def _in_staging(self, evaluator: Evaluator, version: str) -> bool:
        state = self.workspace.ledger.state(evaluator.model)
        return state.stage(version, evaluator.segment) is Stage.STAGING

    def _opening(self, found: Gathered, reviewer: str) -> Opening:
        request = found.case.request
        if request is None or not request.request_id:
            return Opening()
        parts = self.store.openings(request.request_id, reviewer)
        views = {part: at for part, at in parts.items() if part.startswith(_VIEW)}
        last = max(views, key=lambda part: views[part], default="")
        slices = frozenset(part for part in parts if part and not part.startswith(_VIEW))
        return Opening(parts.get(""), slices, last.removeprefix(_VIEW))

    def _refused(
        self,
        found: Gathered,
        ballot: Ballot,
        reviewer: str,
        surface: Surface,
        judged: Judgement,
    ) -> ReviewNotAllowed:
        refused = ReviewRefused(
            model=ballot.model,
            version=ballot.version,
            segment=ballot.segment,
            actor=reviewer,
            verdict=ballot.verdict,
            surface=surface,
            problems=tuple(problem[:500] for problem in judged.problems[:30]),
        )
        drill = found.drill
        self.workspace.ledger.append(
            [refused if drill is None else refused_in_drill(drill, refused)]
        )
        verb = "approve" if ballot.verdict == "approved" else "reject"
        return ReviewNotAllowed(
            f"{verb} {ballot.model} version {ballot.version}",
            judged.problems,
            "supply what is missing and hand it in again; where it says that you cannot approve, "
            "ask another reviewer",
        )

    def _conclude(self, evaluator: Evaluator, decided: ReviewDecided) -> None:
        if decided.verdict == "rejected":
            try:
                carry_out_rejection(evaluator, decided.version)
            except PromotionError:
                # The vote stands and is recorded; housekeeping archives the version.
                return
        self.workspace.checkpointer.publish()


def _decided(
    found: Gathered,
    ballot: Ballot,
    reviewer: str,
    surface: Surface,
    opening: Opening,
    judged: Judgement,
    now: datetime,
) -> ReviewDecided:
    request = found.case.request
    questions = {question.id for question in found.case.questions}
    return ReviewDecided(
        model=ballot.model,
        version=ballot.version,
        segment=ballot.segment,
        actor=reviewer,
        verdict=ballot.verdict,
        reviewed_at=now,
        evidence=dict(found.case.evidence),
        answers={name: text for name, text in ballot.answers.items() if name in questions},
        comment=ballot.comment.strip(),
        surface=surface,
        request_id=request.request_id if request else "",
        view_digest=opening.view_digest,
        seconds=judged.seconds,
        flags=judged.flags,
    )
