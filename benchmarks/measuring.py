"""How everything here is measured: best of several runs in one process, results compared first."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One line of results.json.

    Attributes:
        value: what was measured, in the unit of ``metric``.
        goal: what it should be, with a sign (``>= 20``), empty where there is none.
        peer: what it is compared with; ``peer_value`` is the peer's own figure.
    """

    job: str
    metric: str
    value: float
    goal: str
    met: bool | None
    peer: str = ""
    peer_value: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Timed:
    """The best of several runs: wall and CPU seconds, and what came out."""

    wall: float
    cpu: float
    result: Any


def best(work: Callable[[], T], runs: int = 5) -> Timed:
    """Run ``work`` several times and return the fastest run."""
    found: Timed | None = None
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        timed = Timed(time.perf_counter() - wall, time.process_time() - cpu, result)
        if found is None or timed.wall < found.wall:
            found = timed
    assert found is not None
    return found


def ratio(job: str, ours: Timed, peer: str, theirs: Timed, goal: float, scale: float = 1.0) -> Line:
    """Return how many times faster than a peer we are; ``scale`` extrapolates the peer's time."""
    value = theirs.wall * scale / ours.wall
    how = f"{peer} (extrapolated x{scale:g})" if scale != 1 else peer
    return Line(job, "times faster", value, f">= {goal:g}", value >= goal, how, theirs.wall * scale)


def cost(job: str, ours: Timed, peer: str, theirs: Timed, goal: float) -> Line:
    """Return our time as a multiple of a peer's."""
    value = ours.wall / theirs.wall
    return Line(job, "times its time", value, f"<= {goal:g}", value <= goal, peer, theirs.wall)


def growth(job: str, small: Timed, large: Timed, goal: float = 12) -> Line:
    """Return how much more CPU ten times the rows take, which other processes do not change."""
    value = large.cpu / small.cpu
    what = f"{job}: ten times the rows"
    return Line(what, "times the CPU", value, f"<= {goal:g}", value <= goal, "the tenth", small.cpu)


def seconds(job: str, ours: Timed) -> list[Line]:
    """Return wall and CPU seconds as they are, and the process's peak memory so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Line(job, "wall seconds", ours.wall, "", None),
        Line(job, "CPU seconds", ours.cpu, "", None),
        Line(job, "peak MiB of the process", peak, "", None),
    ]
