"""One generation of the plan with its versions loaded: built off the request path, then fixed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from promotion_assets.errors import IntegrityError, PromotionError, RequestRefused
from promotion_assets.serving.model import Model, ModelFailed, ModelSource, Planned, as_json
from promotion_assets.serving.payload import Payload
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan
from promotion_assets.serving.smoke import made_up

# What takes longer must not hold up other requests' reading and writing.
INLINE_MS = 5.0


@dataclass(frozen=True)
class Generation:
    """A plan and what answers by it.

    Attributes:
        sequence: of the ledger entry that it was read after.
        models: by version: all that may answer, and those to go back to.
        milliseconds: what a version took for the request of its smoke test.
        notes: what is not as it should be and does not stop it, in sentences.
    """

    plan: TrafficPlan
    sequence: int
    models: Mapping[str, Model]
    milliseconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def quick(self) -> bool:
        """Whether a small request is answered faster than it is handed to another thread."""
        return max(self.milliseconds.values(), default=0.0) < INLINE_MS

    def digests(self) -> dict[str, str]:
        """Return the digest of each version that is loaded."""
        return {version: model.arm.digest for version, model in self.models.items()}

    def shadows(self) -> dict[str, Arm]:
        """Return the shadows of the plan, by digest."""
        arms = (segment.shadow for segment in self.plan.segments)
        return {arm.digest: arm for arm in arms if arm is not None}


def build(
    planned: Planned, source: ModelSource, before: Generation | None, recent: Payload | None
) -> Generation:
    """Load, verify and try what the plan names and is not loaded yet.

    Without a version to go back to a plan still holds; without one that answers it does not.

    Args:
        before: whose versions are taken over where number and digest are the same.
        recent: a request that was answered; what new versions are tried with.

    Raises:
        PromotionError: a version that may answer cannot be had, is not what the plan says, or
            does not answer.
    """
    models: dict[str, Model] = {}
    took: dict[str, float] = {}
    notes: list[str] = []
    for arm, essential in _needed(planned.plan).items():
        kept = before.models.get(arm.version) if before is not None else None
        if before is not None and kept is not None and kept.arm == arm:
            models[arm.version] = kept
            took[arm.version] = before.milliseconds[arm.version]
            continue
        try:
            model = source.load(arm)
            took[arm.version] = _try(model, recent, notes)
        except PromotionError as error:
            if essential:
                raise
            notes.append(f"version {arm.version}, to go back to, is not ready: {error}")
        else:
            models[arm.version] = model
    return Generation(planned.plan, planned.sequence, models, took, tuple(notes))


def answering(segment: SegmentPlan) -> tuple[Arm, ...]:
    """Return who may answer in a segment: never its shadow."""
    return tuple(arm for arm in (segment.stable, segment.candidate) if arm is not None)


def _needed(plan: TrafficPlan) -> dict[Arm, bool]:
    """Return what is loaded here, and whether it may answer; shadows are in their own process."""
    needed = {arm: True for segment in plan.segments for arm in answering(segment)}
    for segment in plan.segments:
        if segment.previous is not None:
            needed.setdefault(segment.previous, False)
    return needed


def _try(model: Model, recent: Payload | None, notes: list[str]) -> float:
    """Have a version answer, before anybody gets its answers; return the milliseconds it took.

    Raises:
        IntegrityError: it answers nothing that can be sent on.
    """
    payload = recent or made_up(model.signature)
    if payload is None:
        notes.append(f"version {model.arm.version} has no signature and was not tried")
        return 0.0
    try:
        model.answer(payload)
        began = time.perf_counter()
        answer = model.answer(payload)
        took = (time.perf_counter() - began) * 1000
        for prediction in answer.predictions:
            as_json(prediction)
    except (ModelFailed, RequestRefused) as error:
        if recent is None:
            # Values that nobody ever sent may be beyond what it has learnt.
            notes.append(f"version {model.arm.version} did not answer made-up values: {error}")
            return 0.0
        raise IntegrityError(
            f"trying version {model.arm.version} with a request that was answered",
            str(error),
            "plan another version; the plan that held before still does",
        ) from error
    return took
