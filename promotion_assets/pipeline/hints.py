"""Hints that a version was registered: they bring the next look forward, and nothing more."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property

from promotion_assets.adapters.heard_store import DatabaseHeard, open_heard
from promotion_assets.notification.heard import Hint
from promotion_assets.pipeline.workspace import Workspace

# Long past every replay window.
KEPT = timedelta(days=7)


class Hints:
    """What waits when it is first asked for; what comes in during a look waits for the next."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @cached_property
    def waiting(self) -> tuple[Hint, ...]:
        """The hints that nobody has looked at.

        Raises:
            LedgerUnreachable: the database does not answer.
        """
        return self._heard.waiting()

    def take(self) -> None:
        """Note that they were looked at, and forget what is old.

        Raises:
            LedgerUnreachable: nothing was noted; they bring another look forward.
        """
        if self.waiting:
            now = self._workspace.clock()
            self._heard.take(self.waiting, now)
            self._heard.prune(now - KEPT)

    def close(self) -> None:
        """Close the database, if it was opened."""
        opened = vars(self).get("_heard")
        if opened is not None:
            opened.close()

    @cached_property
    def _heard(self) -> DatabaseHeard:
        return open_heard(self._workspace.database_url)
