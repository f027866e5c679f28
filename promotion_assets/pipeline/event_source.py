"""The event log of a workspace."""

from __future__ import annotations

from promotion_assets.adapters.event_log import EventLog, event_log_url, open_event_log
from promotion_assets.pipeline.workspace import Workspace


def event_log(workspace: Workspace) -> EventLog:
    """Return where servers of this workspace write their events down.

    Raises:
        UsageError: the environment names a database that is not supported.
    """
    return open_event_log(event_log_url(workspace.home, workspace.environ))
