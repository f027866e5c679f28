"""The desk of a process that runs for long: it follows the policy's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from promotion_assets.pipeline.reviewing import ReviewDesk
from promotion_assets.pipeline.workspace import Workspace


@dataclass
class DeskSource:
    """Gives the desk, opened anew when the policy file has changed."""

    open: Callable[[], Workspace]
    _desk: ReviewDesk | None = None
    _read: tuple[int, int] = (0, 0)

    def __call__(self) -> ReviewDesk:
        """Return the desk over the policy as it stands."""
        desk = self._desk
        if desk is not None:
            found = desk.workspace.config.stat()
            if (found.st_mtime_ns, found.st_size) == self._read:
                return desk
        workspace = self.open()
        found = workspace.config.stat()
        self._desk, self._read = ReviewDesk(workspace), (found.st_mtime_ns, found.st_size)
        return self._desk
