"""Following the plan: read it, load what it names, try it, and only then let it hold.

A plan that cannot be followed changes nothing: the one before goes on, and health and metrics
say what is wrong. A ledger that does not answer changes nothing either; a server goes on by what
it verified last.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from promotion_assets.errors import IntegrityError, PromotionError, Unreachable
from promotion_assets.serving.engine import Engine
from promotion_assets.serving.events import Acknowledgement, EventStore
from promotion_assets.serving.generation import build
from promotion_assets.serving.metrics import Counted
from promotion_assets.serving.model import ModelSource, Planned, PlanSource
from promotion_assets.serving.plan import SegmentPlan
from promotion_assets.serving.shadow import ShadowLine
from promotion_assets.serving.writer import BackgroundWriter

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
# A plan that could not be followed is tried again: what it names may come within reach.
RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class Standing:
    """How a server process stands to the plan.

    Attributes:
        polled: seconds of the monotonic clock when the ledger was last read.
        refused: generation of a newer plan that cannot be followed; 0 where there is none.
        problem: why not, or why the ledger cannot be read.
    """

    polled: float
    refused: int = 0
    problem: str = ""


class Follower:
    """Keeps one server process at the plan.

    Args:
        worker: names the process in acknowledgements.
        now: the time, for retention.
    """

    def __init__(
        self,
        engine: Engine,
        plans: PlanSource,
        source: ModelSource,
        store: EventStore,
        writer: BackgroundWriter,
        *,
        worker: str,
        now: Callable[[], datetime],
        seconds: float = 1.0,
    ) -> None:
        self.engine = engine
        self.worker = worker
        self.seconds = seconds
        self.standing = Standing(time.monotonic())
        self._plans = plans
        self._source = source
        self.store = store
        self.writer = writer
        self._now = now
        self._retry = 0.0
        self._said: tuple[object, ...] = ()
        self._said_at = 0.0
        self._pruned = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plan-follower", daemon=True)

    def start(self) -> None:
        """Say by which plan it begins, and follow from now on."""
        self.acknowledge()
        self._thread.start()

    def poll(self) -> None:
        """Read the plan once, and follow it if it is another one."""
        try:
            planned = self._plans.read()
        except Unreachable as error:
            self._tell(replace(self.standing, problem=str(error)))
            return
        except PromotionError as error:
            self.engine.metrics.refuses_plan()
            self._tell(Standing(time.monotonic(), self.standing.refused, str(error)))
            return
        held = self.engine.generation
        if planned.plan == held.plan:
            self._tell(Standing(time.monotonic()))
            return
        again = planned.plan.generation == self.standing.refused
        if again and time.monotonic() < self._retry:
            return
        try:
            self._follow(planned)
        except Exception as error:
            if not isinstance(error, PromotionError):
                log.exception("following generation %d", planned.plan.generation)
            self._retry = time.monotonic() + RETRY_SECONDS
            self.engine.metrics.refuses_plan()
            self._tell(Standing(time.monotonic(), planned.plan.generation, str(error)))

    def _follow(self, planned: Planned) -> None:
        held = self.engine.generation
        if planned.plan.generation <= held.plan.generation:
            raise IntegrityError(
                f"following the plan of {planned.plan.model}",
                f"the ledger says generation {planned.plan.generation} after "
                f"{held.plan.generation}, and generations only grow",
                "run `promotion audit verify`; restart the server if the ledger was restored",
            )
        began = time.perf_counter()
        generation = build(planned, self._source, held, self.engine.recent)
        gone = self.engine.swap(generation)
        took = (time.perf_counter() - began) * 1000
        log.info(
            "generation %d holds: %s (%.0f ms)",
            planned.plan.generation,
            ", ".join(f"{s.name}: {_shown(s)}" for s in planned.plan.segments),
            took,
        )
        for note in generation.notes:
            log.warning("generation %d: %s", planned.plan.generation, note)
        self._tell(Standing(time.monotonic()))
        for line in gone:
            # A slow shadow must not hold up the next plan.
            threading.Thread(target=line.close, args=(self.engine.policy.drain_seconds,)).start()

    def acknowledge(self) -> None:
        """Say by which generation this process answers, if that is new or was said long ago."""
        generation, standing = self.engine.generation, self.standing
        digests = json.dumps(generation.digests(), sort_keys=True)
        said = (generation.plan.generation, digests, standing.refused, standing.problem)
        if said == self._said and time.monotonic() < self._said_at + HEARTBEAT_SECONDS:
            return
        number, clock = generation.plan.generation, self.engine.recorder.clock
        try:
            self.store.acknowledge(
                Acknowledgement(
                    self.engine.model,
                    self.worker,
                    clock(),
                    number,
                    digests,
                    standing.refused,
                    standing.problem,
                )
            )
        except Unreachable as error:
            log.debug("acknowledging generation %d: %s", number, error)
            return
        self._said, self._said_at = said, time.monotonic()

    def count(self) -> None:
        """Take what others counted into the metrics."""
        writer, engine = self.writer, self.engine
        dropped = {(kind, arm): n for (_, kind, arm), n in list(writer.total_drops.items())}
        opened: dict[str, int] = {}
        for segment in engine.generation.plan.segments:
            arm = segment.candidate
            if arm is not None and arm.digest in engine.breakers:
                opened[arm.version] = engine.breakers[arm.digest].opened
        shadow = {
            (line.arm.version, what): n
            for line in engine.lines.values()
            for what, n in _counts(line).items()
        }
        engine.metrics.count(Counted(writer.written, dropped, shadow, opened), writer.waiting)

    def close(self, seconds: float) -> None:
        """Stop following, answer and write down what waits, and say that the process ends."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        until = time.monotonic() + seconds
        for line in self.engine.lines.values():
            line.close(max(0.0, until - time.monotonic()))
        self.writer.close(max(1.0, until - time.monotonic()))
        self.count()
        try:
            self.store.leave(self.engine.model, self.worker)
        except Unreachable as error:
            log.warning("%s", error)

    def _run(self) -> None:
        while not self._ending.wait(self.seconds):
            try:
                self.poll()
                self.acknowledge()
                self.count()
                self._prune()
            except Exception:
                # Whatever it is, the plan that holds goes on holding.
                log.exception("following the plan")

    def _prune(self) -> None:
        if time.monotonic() < self._pruned + PRUNE_SECONDS:
            return
        self._pruned = time.monotonic()
        try:
            before = self._now() - self.engine.policy.retention
            removed = self.store.prune(self.engine.model, before)
        except Unreachable as error:
            log.warning("%s", error)
        else:
            log.info("%d events from before %s removed", removed, before.date())

    def _tell(self, standing: Standing) -> None:
        if standing.problem and standing.problem != self.standing.problem:
            log.warning("%s", standing.problem)
        self.standing = standing


def _counts(line: ShadowLine) -> dict[str, int]:
    return {
        "sampled": line.sampled,
        "dropped": line.dropped,
        "restarts": line.restarts,
        **{str(what): n for what, n in line.outcomes.items()},
    }


def _shown(segment: SegmentPlan) -> str:
    text = f"version {segment.stable.version}"
    if segment.candidate is not None:
        text += f", {segment.share / 100:g} % version {segment.candidate.version}"
    if segment.shadow is not None:
        text += f", shadow version {segment.shadow.version}"
    return text
