"""The platform as the surfaces of a review see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from promotion_assets.lifecycle.events import ReviewDecided
from promotion_assets.review.access import Access
from promotion_assets.review.case import Ballot, Surface
from promotion_assets.review.figures import Figures
from promotion_assets.review.ports import Answered, QueueItem, Shown


class Desk(Protocol):
    """What every surface calls; ``pipeline.reviewing`` gives it."""

    @property
    def access(self) -> Access:
        """Who may come in."""

    def queue(self) -> tuple[QueueItem, ...]:
        """Return the open requests of all models, the oldest first."""

    def show(self, model: str, version: str, segment: str, reviewer: str) -> Shown:
        """Return the request, and note that ``reviewer`` has opened it."""

    def open_slice(
        self, model: str, version: str, segment: str, reviewer: str, slice_id: str
    ) -> Shown:
        """Note that ``reviewer`` has opened a slice."""

    def segment_of(self, model: str, version: str) -> str:
        """Return the segment that is meant where none is named."""

    def told(self, model: str, version: str, segment: str, reviewer: str) -> tuple[str, ...]:
        """Return what ``reviewer`` may know of a drill; nothing of a real request."""

    def inputs(self, model: str, version: str, segment: str) -> Mapping[str, str]:
        """Return an example of the version's inputs, by name."""

    def try_inputs(
        self, model: str, version: str, segment: str, values: Mapping[str, str]
    ) -> Answered:
        """Score hand-made inputs on both versions, each in a sandbox of its own."""

    def vote(self, ballot: Ballot, reviewer: str, surface: Surface) -> ReviewDecided:
        """Record a vote.

        Raises:
            Refusal: the rules do not let it through; recorded as well.
        """

    def finish_later(self, ballot: Ballot, reviewer: str) -> str:
        """Return a one-time token that completes this vote on another surface."""

    def redeem(
        self,
        token: str,
        surface: Surface,
        reviewer: str | None = None,
        of: tuple[str, str] | None = None,
        segment: str | None = None,
    ) -> ReviewDecided:
        """Complete the vote of a one-time token, by whom and on what it must be where given."""

    def figures(self, models: Sequence[str] = ()) -> Figures:
        """Return how the team reviews."""

    def reviewer_of_slack(self, slack_id: str) -> str | None:
        """Return the reviewer with a Slack identity."""
