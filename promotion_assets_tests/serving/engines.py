"""Engines without HTTP: versions that say their number, and shadows and writers of a test."""

from __future__ import annotations

import time
from collections.abc import Sequence

from promotion_assets.policy.serving import Breaker, ServingPolicy, ShadowWorker
from promotion_assets.serving.engine import Engine
from promotion_assets.serving.events import Drop, Logged
from promotion_assets.serving.generation import Generation
from promotion_assets.serving.metrics import Metrics
from promotion_assets.serving.model import Answer, ModelFailed
from promotion_assets.serving.payload import Payload, read_invocation
from promotion_assets.serving.plan import Arm, SegmentPlan
from promotion_assets.serving.recorder import Recorder
from promotion_assets.serving.shadow import Answered, Copy, ShadowGone, ShadowLine, ShadowProcess
from promotion_assets_tests.serving.plans import MODEL, arm, plan
from promotion_assets_tests.serving.world import split_body

PAYLOAD = read_invocation(split_body([[1.0]], ["x"]), "application/json")


class Kept:
    """A writer that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[Logged] = []
        self.drops: list[Drop] = []

    def offer(self, event: Logged) -> bool:
        self.events.append(event)
        return True

    def dropped(self, drop: Drop) -> None:
        self.drops.append(drop)


class Says:
    """A model that answers its own version number, or fails."""

    signature = None
    how = "array"

    def __init__(self, of: Arm) -> None:
        self.arm = of
        self.fails = False

    def answer(self, payload: Payload) -> Answer:
        if self.fails:
            raise ModelFailed("it broke")
        return Answer([int(self.arm.version)], [float(self.arm.version)])


class Nobody:
    """A shadow process that is slow, or ends at once."""

    def __init__(self, seconds: float = 0.0, lives: int = 10**9) -> None:
        self.seconds, self.lives = seconds, lives

    def answers(self, copies: Sequence[Copy]):  # type: ignore[no-untyped-def]
        for copy in copies:
            time.sleep(self.seconds)
            self.lives -= 1
            if self.lives < 0:
                raise ShadowGone("crashed", "it is gone")
            yield Answered("answered", 1.0, ["0.5"] * copy.rows, [0.5] * copy.rows)

    def close(self) -> None:
        pass


def line(kept: Kept, process: ShadowProcess, of: Arm | None = None, **settings: int) -> ShadowLine:
    """Return the line to a shadow of a test."""
    numbers = iter(range(10**9))
    return ShadowLine(
        MODEL,
        of or arm("9"),
        ShadowWorker(**settings),
        lambda: process,
        kept,
        lambda: 0,
        lambda: str(next(numbers)),
    )


def generation(number: int, only: SegmentPlan) -> Generation:
    """Return a generation whose models say their version."""
    by = plan(only, generation=number)
    models = {a.version: Says(a) for a in (only.stable, only.candidate) if a is not None}
    return Generation(by, number, models, dict.fromkeys(models, 0.0))


def engine(first: Generation, kept: Kept, **breaker: float) -> Engine:
    """Return an engine without a shadow."""
    policy = ServingPolicy(breaker=Breaker.model_validate(breaker))
    recorder = Recorder(MODEL, kept, log_features=False)
    return Engine(first, policy, recorder, Metrics(), lambda of: line(kept, Nobody(), of))
