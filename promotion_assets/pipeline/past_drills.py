"""The drills of a model, read from the ledger alone."""

from __future__ import annotations

from promotion_assets.lifecycle.drill_events import journal_of
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.review.drills import Drill, drills_of


def all_drills(workspace: Workspace, model: str) -> tuple[Drill, ...]:
    """Return every drill of a model, in order."""
    recorded = workspace.ledger.events(journal_of(model))
    return drills_of(model, (entry.event for entry in recorded))


def find_drill(workspace: Workspace, model: str, version: str, segment: str) -> Drill | None:
    """Return the drill that goes by a number, unless a real version has come by it."""
    for drill in reversed(all_drills(workspace, model)):
        withdrawn = drill.ended is not None and drill.ended.outcome == "withdrawn"
        if drill.place == (segment, version) and not withdrawn:
            known = version in workspace.ledger.state(model).versions()
            return None if known else drill
    return None


def none_to_keep(workspace: Workspace, model: str) -> bool:
    """Whether a model has no open drill and may get none."""
    if workspace.policy_of(model).review.drill.enabled:
        return False
    return all(drill.ended is not None for drill in all_drills(workspace, model))
