"""What happens to live traffic: the plans that servers follow, and the steps of rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue

from promotion_assets.lifecycle.event_base import DEFAULT_SEGMENT, Event
from promotion_assets.serving.plan import TrafficPlan

StepAction = Literal[
    "start",
    "advance",
    "hold",
    "bake",
    "complete",
    "roll_back",
    "pause",
    "resume",
    "skip",
    "abort",
]


class TrafficPlanned(Event):
    """Servers of the model follow this plan from now on.

    Attributes:
        cause: ``stages`` where a change of stages brought it about, ``shadow`` where a shadow
            begins or ends, ``rollout`` where the share of what is rolling out changes.
    """

    kind: Literal["TRAFFIC_PLANNED"] = "TRAFFIC_PLANNED"
    plan: TrafficPlan
    cause: Literal["stages", "shadow", "rollout"]
    reason: str


class RolloutStepped(Event):
    """A rollout was begun, moved on, held, or ended; or a person stepped in.

    Attributes:
        step: number of the step that it is at now, from 0.
        share_from, share_to: basis points of the candidate before and after.
        generation: of the traffic plan that holds from now on.
        statistics: the sufficient statistics and verdicts on which it was decided.
    """

    kind: Literal["ROLLOUT_STEP"] = "ROLLOUT_STEP"
    version: str
    segment: str = DEFAULT_SEGMENT
    action: StepAction
    step: int = Field(ge=0)
    share_from: int = Field(ge=0)
    share_to: int = Field(ge=0)
    generation: int = Field(ge=0)
    at: AwareDatetime
    reason: str
    statistics: Mapping[str, JsonValue] = Field(default_factory=dict)
