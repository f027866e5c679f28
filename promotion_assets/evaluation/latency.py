"""Latency of single answers and of batches, candidate and champion taking turns.

One clock measures, ours: a model that runs in the child could lie with its own. What the pipe
adds to each request is the same for both models and recorded in the documentation's figures.
Load on the host slows both alike, because no more than a burst of requests of one model is made
before the other's turn.
"""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from promotion_assets.evaluation.answers import interpret
from promotion_assets.evaluation.frames import Frame
from promotion_assets.evaluation.sandbox import ChildFailure, SandboxedProcess
from promotion_assets.evaluation.scores import LatencySample, ScoringFailure
from promotion_assets.evaluation.session import Session

MIN_SAMPLES = 30
SINGLE_ROW_SHARE = 0.6
WARMUP_SHARE = 0.2
# Under load each model answers this many requests per place in the queue before the other's turn.
BURST_PER_PLACE = 4

Measured = tuple[LatencySample, ...] | ScoringFailure


@dataclass(frozen=True)
class LatencyPlan:
    """How latency is measured.

    Attributes:
        requests: single-row requests to each model.
        warmup: requests before these, not counted.
        batch_rows: rows of a batch request; 1 leaves batches out.
        batch_requests: batch requests to each model.
        concurrency: requests under way at once.
        budget_seconds: for all of it, both models together. A slow model is asked less often,
            yet never fewer than 30 times.
        seed: of the choice of rows and of whose turn is first.
    """

    requests: int = 200
    warmup: int = 20
    batch_rows: int = 100
    batch_requests: int = 40
    concurrency: int = 1
    budget_seconds: float = 4.0
    seed: int = 0


def measure_latency(
    candidate: Session, champion: Session | None, rows: pd.DataFrame, plan: LatencyPlan
) -> tuple[Measured, Measured | None]:
    """Return samples of single-row and of batch requests, for candidate and champion.

    Args:
        candidate: its session; the model is loaded if it is not yet.
        champion: its session, or ``None`` where there is no champion.
        rows: representative rows, features only; requests are drawn from them by ``plan.seed``.
        plan: how often, how long, at which concurrency.
    """
    if rows.empty:
        failure = ScoringFailure(kind="missing_input", reason="there is no row to ask about")
        return failure, failure if champion else None
    generator = np.random.default_rng(plan.seed)
    runners = [_Runner(session) for session in (candidate, champion) if session is not None]
    stages = [(1, plan.requests, plan.budget_seconds * SINGLE_ROW_SHARE)]
    if plan.batch_rows > 1:
        rest = plan.budget_seconds * (1 - SINGLE_ROW_SHARE)
        stages.append((plan.batch_rows, plan.batch_requests, rest))
    for size, requests, seconds in stages:
        _measure(runners, rows, size, requests, seconds, plan, generator)
    measured = [runner.measured(plan, runners) for runner in runners]
    return measured[0], measured[1] if champion else None


def _measure(
    runners: Sequence[_Runner],
    rows: pd.DataFrame,
    size: int,
    requests: int,
    seconds: float,
    plan: LatencyPlan,
    generator: np.random.Generator,
) -> None:
    """Make the requests of one size, in turns."""
    warmup = min(plan.warmup, requests)
    drawn = _draw(rows, (requests + warmup) * size, generator)
    for runner in runners:
        runner.hold(drawn, size, plan.concurrency)
    burst = 1 if plan.concurrency == 1 else BURST_PER_PLACE * plan.concurrency
    began = time.monotonic()
    for first in range(0, warmup, burst):
        if first and time.monotonic() - began > seconds * WARMUP_SHARE:
            break
        for runner in runners:
            runner.ask(range(first, min(first + burst, warmup)), size, plan.concurrency)
            runner.forget(size)
    began = time.monotonic()
    for first in range(0, requests, burst):
        if first >= MIN_SAMPLES and time.monotonic() - began > seconds * (1 - WARMUP_SHARE):
            break
        numbers = range(warmup + first, warmup + min(first + burst, requests))
        for turn in generator.permutation(len(runners)):
            runners[turn].ask(numbers, size, plan.concurrency)


def _draw(rows: pd.DataFrame, count: int, generator: np.random.Generator) -> pd.DataFrame:
    """Return ``count`` rows in random order, each as seldom as possible twice."""
    rounds = [generator.permutation(len(rows)) for _ in range(-(-count // len(rows)))]
    return rows.iloc[np.concatenate(rounds)[:count]].reset_index(drop=True)


@dataclass
class _Runner:
    """One model's requests and times."""

    session: Session
    milliseconds: dict[int, list[float]] = field(default_factory=dict)
    failure: ScoringFailure | None = None

    def hold(self, rows: pd.DataFrame, size: int, concurrency: int) -> None:
        self._ask(lambda child: self._hold(child, rows, size, concurrency))

    def ask(self, numbers: Sequence[int], size: int, concurrency: int) -> None:
        times = self._ask(lambda child: self._burst(child, list(numbers), size, concurrency))
        self.milliseconds.setdefault(size, []).extend(times or ())

    def forget(self, size: int) -> None:
        self.milliseconds.pop(size, None)

    def measured(self, plan: LatencyPlan, runners: Sequence[_Runner]) -> Measured:
        """Return a sample for each size of request, or why there is none."""
        if self.failure is not None:
            return self.failure
        return tuple(
            LatencySample(
                milliseconds=np.array(times),
                rows=size,
                concurrency=plan.concurrency,
                threads=self.session.limits.threads,
                cpu=cpu_name(),
                interleaved=len(runners) > 1 and all(r.failure is None for r in runners),
            )
            for size, times in self.milliseconds.items()
        )

    def _ask(self, work: Callable[[SandboxedProcess], list[float]]) -> list[float] | None:
        if self.failure is not None:
            return None
        result = self.session.ask(work)
        if isinstance(result, ScoringFailure):
            self.failure = result
            return None
        return result

    def _hold(
        self, child: SandboxedProcess, rows: pd.DataFrame, size: int, concurrency: int
    ) -> list[float]:
        path, _ = self.session.place(rows)
        deadline = time.monotonic() + self.session.limits.wall_seconds
        request = {"op": "hold", "path": str(path), "rows": size, "concurrency": concurrency}
        child.send(Frame(request), deadline)
        if self.session.expect(child, deadline).header.get("op") != "holding":
            raise ChildFailure("crash", "it broke the protocol before a latency measurement")
        path.unlink()
        return []

    def _burst(
        self, child: SandboxedProcess, numbers: list[int], size: int, concurrency: int
    ) -> list[float]:
        """Keep ``concurrency`` requests under way until all are answered; return their times."""
        deadline = time.monotonic() + self.session.limits.wall_seconds
        under_way: dict[str, float] = {}
        times: list[float] = []
        answers: list[Frame] = []
        waiting = iter(numbers)
        while len(times) < len(numbers):
            while len(under_way) < concurrency and (number := next(waiting, None)) is not None:
                # Not to be guessed, or a model could answer before it is asked.
                ticket = secrets.token_hex(8)
                request = Frame({"op": "predict", "id": ticket, "request": f"{size}:{number}"})
                under_way[ticket] = time.perf_counter()
                child.send(request, deadline)
            frame = self.session.expect(child, deadline)
            now = time.perf_counter()
            began = under_way.pop(str(frame.header.get("id")), None)
            if began is None:
                raise ChildFailure("crash", "it broke the protocol with an answer nobody asked for")
            times.append((now - began) * 1000)
            answers.append(frame)
        for frame in answers:
            interpret(frame, size, 0, self.session.question)
        return times


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the processor's name, for a figure means nothing without it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
