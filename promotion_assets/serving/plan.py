"""The traffic plan: which version answers which share of which segment.

Versions stand in it by number and digest. An alias or a stage can move between the moment in
which it was judged and the one in which it is read, so a plan that holds one is not read at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from promotion_assets.errors import UsageError

WHOLE = 10_000
"""All of the traffic, in the plan's unit of basis points."""

Share = Annotated[int, Field(ge=0, le=WHOLE)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class _Planned(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Arm(_Planned):
    """One version as it may answer: its number, and the digest of the artifact's bytes."""

    version: Version
    digest: Digest


class SegmentPlan(_Planned):
    """Who answers in one segment.

    Attributes:
        match: request attributes and the values that belong to this segment; all must match.
            Without any, the segment is chosen by name or as the default.
        stable: the champion: answers whatever no other arm answers.
        previous: the version to go back to, kept loaded.
        candidate: the version that is rolling out, or the challenger of an experiment. With a
            share of 0 it is loaded and answers nothing.
        share: basis points of the units that the candidate answers.
        salt: of the rollout; the same at each of its steps, so that the first 5 % stay inside
            the 25 %.
        shadow: the version that gets copies of requests; its answers are never returned.
        shadow_share: basis points of the requests that are copied.
        shadow_salt: of its sampling, so that it is independent of the rollout's.
    """

    name: Annotated[str, Field(min_length=1)]
    match: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    stable: Arm
    previous: Arm | None = None
    candidate: Arm | None = None
    share: Share = 0
    salt: str = ""
    shadow: Arm | None = None
    shadow_share: Share = 0
    shadow_salt: str = ""

    @model_validator(mode="after")
    def _arms_fit(self) -> SegmentPlan:
        if self.candidate is None and self.share:
            raise ValueError(f"segment {self.name!r} gives {self.share} bp to no candidate")
        if self.candidate is not None and not self.salt:
            raise ValueError(f"segment {self.name!r} has a candidate and no salt")
        if self.candidate is not None and self.candidate.version == self.stable.version:
            raise ValueError(f"segment {self.name!r} has version {self.stable.version} twice")
        if self.shadow is None and self.shadow_share:
            raise ValueError(f"segment {self.name!r} copies requests to no shadow")
        if self.shadow is not None and not self.shadow_salt:
            raise ValueError(f"segment {self.name!r} has a shadow and no salt for it")
        return self

    def arms(self) -> tuple[Arm, ...]:
        """Return every version that a server holds loaded for this segment."""
        named = (self.stable, self.candidate, self.previous, self.shadow)
        return tuple(arm for arm in named if arm is not None)


class TrafficPlan(_Planned):
    """What a server of one model does, from one generation of the plan to the next.

    Attributes:
        generation: 1 for a model's first plan; each next one is greater by 1.
        segments: in the order in which they are matched.
        default: the segment of requests that no other segment matches.
    """

    model: Annotated[str, Field(min_length=1)]
    generation: Annotated[int, Field(ge=1)]
    segments: Annotated[tuple[SegmentPlan, ...], Field(min_length=1)]
    default: str

    @model_validator(mode="after")
    def _one_default(self) -> TrafficPlan:
        names = [segment.name for segment in self.segments]
        if len(set(names)) < len(names):
            raise ValueError(f"segments repeat: {', '.join(names)}")
        if self.default not in names:
            raise ValueError(f"the default segment {self.default!r} is none of {', '.join(names)}")
        return self

    def segment(self, name: str) -> SegmentPlan | None:
        """Return the segment called ``name``."""
        return next((s for s in self.segments if s.name == name), None)

    def arms(self) -> dict[str, Arm]:
        """Return every version that a server holds loaded, by number."""
        return {arm.version: arm for segment in self.segments for arm in segment.arms()}

    def with_segment(self, changed: SegmentPlan) -> TrafficPlan:
        """Return the next generation, with one segment replaced or added."""
        kept = tuple(changed if s.name == changed.name else s for s in self.segments)
        if changed.name not in {s.name for s in self.segments}:
            kept = (*kept, changed)
        return TrafficPlan(
            model=self.model,
            generation=self.generation + 1,
            segments=kept,
            default=self.default,
        )


def parse_plan(data: Mapping[str, JsonValue], source: str) -> TrafficPlan:
    """Read a plan from JSON types.

    Args:
        source: where it was found, for the message.

    Raises:
        UsageError: it is no valid plan; an alias or a stage in place of a version is none.
    """
    try:
        return TrafficPlan.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise UsageError(
            f"read the traffic plan in {source}",
            f"{where}: {first['msg']} (found {str(first['input'])[:80]!r})",
            "name each version by its number and by the 64 hexadecimal digits of its digest; an "
            "alias or a stage can move and is never read",
        ) from error
