"""The servers that are alive, and whether each has the candidate.

A share that half of them do not give is no share.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from promotion_assets.lifecycle.stages import ModelState
from promotion_assets.serving.events import Acknowledgement, EventReader, microseconds

#: A server that has said nothing for so long is taken for gone.
SILENT = timedelta(minutes=1)


def servers(
    events: EventReader, state: ModelState, segment: str, now: datetime
) -> tuple[list[Acknowledgement], list[str]]:
    """Return the servers that are alive, and what keeps them from giving the candidate a share."""
    assert state.traffic is not None
    version = state.rolling[segment]
    limit = microseconds(now - SILENT)
    alive = [a for a in events.acknowledged(state.model) if a.time_us >= limit]
    problems = []
    for said in alive:
        held = json.loads(said.digests)
        if said.generation < state.traffic.generation:
            why = f": {said.problem}" if said.problem else ""
            problems.append(
                f"server {said.worker} follows generation {said.generation} of the plan and not "
                f"yet {state.traffic.generation}{why}"
            )
        elif held.get(version) != state.digests[version]:
            problems.append(f"server {said.worker} has not loaded version {version}")
    return alive, problems
