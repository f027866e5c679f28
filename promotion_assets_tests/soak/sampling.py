"""What processes hold, sampled over time, and the rule by which they are said to grow."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scipy.stats import theilslopes

MIB = 1024 * 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")
# The first part of a process' life: imports, first requests, caches that fill.
WARM_UP = 1 / 3
FEWEST = 12
# Slower than this takes a day to fill the memory of any machine that this runs on.
LIMIT_MIB_PER_HOUR = 24.0
# A request, a poll or a query that is under way at the moment of a sample.
SLACK = 3


@dataclass(frozen=True)
class Sample:
    """One look at one process."""

    at: float
    rss: int
    files: int
    threads: int


@dataclass
class Life:
    """Everything seen of one process."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the first sample to the last."""
        return self.samples[-1].at - self.samples[0].at

    def judged(self) -> Growth:
        """Return how it grew after its warm-up."""
        kept = self.samples[int(len(self.samples) * WARM_UP) :]
        slope, _, low, high = theilslopes(
            [s.rss / MIB for s in kept], [s.at / 3600 for s in kept], alpha=0.95
        )
        third = max(1, len(kept) // 3)
        return Growth(
            self.name,
            len(self.samples),
            self.seconds,
            kept[0].rss / MIB,
            kept[-1].rss / MIB,
            (float(slope), float(low), float(high)),
            (_middle(kept[:third], "files"), _middle(kept[-third:], "files")),
            (_middle(kept[:third], "threads"), _middle(kept[-third:], "threads")),
        )


@dataclass(frozen=True)
class Growth:
    """How one process grew.

    Attributes:
        slope: Theil and Sen's, of the resident memory in MiB an hour, with its 95 % interval.
        files, threads: the median of the first and of the last third after the warm-up.
    """

    name: str
    samples: int
    seconds: float
    first: float
    last: float
    slope: tuple[float, float, float]
    files: tuple[float, float]
    threads: tuple[float, float]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what grows: memory whose interval lies above 0 and whose slope is above the limit.

        Samples of one process resemble the ones before them, so that the interval is narrower
        than it says; the limit is there for that.
        """
        slope, low, _ = self.slope
        found = []
        if low > 0 and slope > LIMIT_MIB_PER_HOUR:
            found.append(f"{self.name}: memory grows by {slope:.0f} MiB an hour")
        for what, (before, after) in (("files", self.files), ("threads", self.threads)):
            if after > before + SLACK:
                found.append(f"{self.name}: open {what} went from {before:g} to {after:g}")
        return tuple(found)


def processes(groups: dict[int, str]) -> dict[int, str]:
    """Return the processes of process groups: what each is called, by its id.

    Args:
        groups: names by the id of the group's leader.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError):
            stat = (entry / "stat").read_text().rpartition(")")[2].split()
            service = groups.get(int(stat[2])) or groups.get(int(stat[3]))
            if service is not None and stat[0] != "Z":
                found[int(entry.name)] = _called(service, entry)
    return found


def sample(pid: int) -> Sample | None:
    """Look at one process; ``None`` where it has gone."""
    folder = Path(f"/proc/{pid}")
    with suppress(OSError, ValueError, IndexError):
        rss = int((folder / "statm").read_text().split()[1]) * PAGE
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        return Sample(time.monotonic(), rss, len(list((folder / "fd").iterdir())), int(stat[17]))
    return None


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return what processes have used, with the children that they have waited for."""
    used = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += sum(map(int, stat[11:15]))
    return used / TICKS


def _called(service: str, entry: Path) -> str:
    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    line = " ".join(words)
    for mark, name in (
        ("execute_run", "a run"),
        ("resource_tracker", "tracker"),
        ("shadow_worker", "shadow"),
        ("spawn_main", "worker"),
        ("scoring_worker", "a sandbox"),
        ("bwrap", "a sandbox"),
        ("unshare", "a sandbox"),
    ):
        if mark in line:
            return f"{service}: {name}"
    return service


def _middle(samples: Sequence[Sample], what: str) -> float:
    return float(statistics.median(getattr(each, what) for each in samples))
