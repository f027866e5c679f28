"""``make soak``: run the platform for so many minutes of processor time, and see what grows.

``python -m promotion_assets_tests.soak [--cpu-minutes 24] [--keep FOLDER]``; SIGTERM ends it early,
and what was seen until then is judged. Minutes count from the first rollout on: the code server
imports 110 MiB of libraries when it first needs them for one, which is no growth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from promotion_assets.adapters.event_log import EventLog
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets_tests.end_to_end.rolling_models import MODEL
from promotion_assets_tests.notification.receivers import receiver
from promotion_assets_tests.soak.life import Customers, Home, approve_what_waits
from promotion_assets_tests.soak.sampling import (
    FEWEST,
    LIMIT_MIB_PER_HOUR,
    WARM_UP,
    Growth,
    Life,
    cpu_seconds,
    processes,
    sample,
)
from promotion_assets_tests.waiting import answers, until

SAMPLE_SECONDS = 3.0
REGISTER_SECONDS = 75.0
APPROVE_SECONDS = 10.0
# A receiver that fails every fourth time, and is slow to be believed.
MOODS: list[int | str] = [200, 200, 200, 500]
# Of the whole time; what lived shorter is no long-lived process.
LONG = 0.5


@dataclass
class Soak:
    """One run."""

    home: Home
    customers: Customers
    lives: dict[int, Life] = field(default_factory=dict)
    files: list[tuple[float, int]] = field(default_factory=list)
    used: float = 0.0
    ended: bool = False
    _past: dict[int, float] = field(default_factory=dict)
    _before: float = 0.0

    def begin_anew(self) -> None:
        """Count from now: whatever a process imports when it first needs it is there."""
        self.lives.clear()
        self.files.clear()
        self._before += self.used
        self.used = 0.0

    def look(self) -> None:
        """Sample every process, and count temporary files."""
        found = processes(self.home.groups)
        for pid, name in found.items():
            seen = sample(pid)
            if seen is not None:
                self.lives.setdefault(pid, Life(name, pid)).samples.append(seen)
            self._past[pid] = max(self._past.get(pid, 0.0), cpu_seconds([pid]))
        leaders = set(self.home.groups)
        # What leaders and code servers have waited for is in their own figure.
        whole = sum(t for pid, t in self._past.items() if pid in leaders or pid in found)
        self.used = whole - self._before
        count = sum(len(names) for _, _, names in os.walk(self.home.folder / "tmp"))
        self.files.append((time.monotonic(), count))

    def growths(self) -> list[Growth]:
        """Return how each long-lived process grew."""
        whole = self.files[-1][0] - self.files[0][0]
        lives = [
            life
            for life in self.lives.values()
            if len(life.samples) >= FEWEST and life.seconds >= LONG * whole
        ]
        return [life.judged() for life in sorted(lives, key=lambda life: life.name)]

    def left_files(self) -> tuple[int, int]:
        """Return the fewest temporary files in the first and in the last third."""
        kept = self.files[int(len(self.files) * WARM_UP) :]
        third = max(1, len(kept) // 3)
        return min(n for _, n in kept[:third]), min(n for _, n in kept[-third:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--cpu-minutes", type=float, default=24.0)
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    asked = parser.parse_args(arguments)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="promotion-soak-"))
    console = Console(width=max(100, Console().width))
    try:
        problems = run(folder.absolute(), asked.cpu_minutes * 60, console)
    finally:
        if asked.keep is None:
            _remove(folder)
    for problem in problems:
        console.print(f"[bold red]{problem}[/]", highlight=False)
    console.print("nothing grows" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def run(folder: Path, cpu: float, console: Console) -> list[str]:
    """Live for ``cpu`` seconds of processor time; return what is wrong at the end."""
    with receiver() as hook:
        hook.on_post = lambda _: hook.answers.extend(MOODS if len(hook.answers) < 8 else [])
        home = Home(folder, hook.url.rpartition(":")[2].strip("/"))
        console.print(f"preparing {folder}")
        home.prepare()
        soak = Soak(home, Customers(home.port))
        signal.signal(signal.SIGTERM, lambda *_: setattr(soak, "ended", True))
        try:
            home.start()
            until(
                lambda: answers(home.port, "/v2/health/ready"), "the server answers", 300, every=0.5
            )
            soak.customers.start()
            began = time.monotonic()
            versions = _live(soak, cpu, console)
            took = time.monotonic() - began
            soak.customers.stop()
            problems = _accounts(soak, console)
        finally:
            _end(home)
        with home.workspace() as opened:
            waiting = Notifier(opened).outbox.depth()
        console.print(_shown(soak.growths(), soak))
        console.print(
            f"{soak.used / 60:.1f} CPU minutes in {took / 60:.1f} minutes: "
            f"{soak.customers.answered:,} answers by versions "
            f"{', '.join(sorted(soak.customers.versions))}, {soak.customers.told:,} outcomes, "
            f"{versions} versions registered, {len(hook.posts):,} deliveries tried, "
            f"outbox {waiting}",
            highlight=False,
        )
    for growth in soak.growths():
        problems += growth.problems
    before, after = soak.left_files()
    if after > before + 10:
        problems.append(f"temporary files went from {before} to {after}")
    return problems


def _live(soak: Soak, cpu: float, console: Console) -> int:
    home, seed, warm = soak.home, 0, False
    registered = approved = said = time.monotonic()
    while soak.used < cpu and not soak.ended:
        soak.look()
        now = time.monotonic()
        if not warm and len(soak.customers.versions) > 1:
            warm = True
            soak.begin_anew()
            console.print("a candidate answers: what grows is looked at from here on")
        answers(home.reviews, "/login")
        answers(home.webhooks, "/metrics")
        answers(home.port, "/metrics")
        # The first one alone, as each later one takes the shadow's copies from the one before.
        if now > registered + REGISTER_SECONDS and (warm or not seed):
            seed += 1
            # Beside the samples: on a busy machine it takes minutes.
            threading.Thread(target=home.register, args=(seed,), daemon=True).start()
            registered = time.monotonic()
        if now > approved + APPROVE_SECONDS:
            for version in approve_what_waits(home):
                console.print(f"version {version} is approved")
            approved = time.monotonic()
        if now > said + 60:
            line = f"{soak.used / 60:.1f} of {cpu / 60:.0f} CPU minutes"
            console.print(f"{line}, {soak.customers.answered:,} answers, {seed} versions")
            said = now
        dead = [n for n, p in home.started.items() if p.poll() is not None]
        assert not dead, f"{dead} ended by itself; see {home.folder / 'logs'}"
        time.sleep(SAMPLE_SECONDS)
    return seed


def _accounts(soak: Soak, console: Console) -> list[str]:
    """Hold what customers saw against what is written down, and the ledger against its key."""
    problems = []
    asked = soak.customers
    with soak.home.workspace() as opened, closing(event_log(opened)) as events:
        # What is still missing then is told below.
        with suppress(AssertionError):
            until(
                lambda: _rows(events, "request") + _dropped(events) >= asked.answered,
                "every answer is accounted for",
                every=0.5,
            )
        rows, dropped = _rows(events, "request"), _dropped(events)
        outcomes = _rows(events, "outcome")
    console.print(
        f"{asked.answered:,} answers: {rows:,} written down, {dropped:,} counted as dropped; "
        f"{asked.told:,} outcomes told, {outcomes:,} written down",
        highlight=False,
    )
    if rows + dropped != asked.answered:
        problems.append(f"{asked.answered} answers, and {rows} + {dropped} accounted for")
    if outcomes != asked.told:
        problems.append(f"{asked.told} outcomes told, and {outcomes} written down")
    if asked.refused:
        problems.append(f"{asked.refused} requests were not answered")
    said = json.loads(soak.home.audit())
    console.print(f"the ledger has {said['entries']:,} entries and verifies", highlight=False)
    return [*problems, *(str(problem) for problem in said["problems"])]


def _rows(events: EventLog, kind: str) -> int:
    return sum(batch.num_rows for batch in events.batches(kind, MODEL))  # type: ignore[arg-type]


def _dropped(events: EventLog) -> int:
    return sum(n for key, n in events.drops(MODEL).items() if key.startswith("request:"))


def _shown(growths: Sequence[Growth], soak: Soak) -> Table:
    shown = Table(title=f"after a warm-up of {WARM_UP:.0%}", box=None, pad_edge=False)
    shown.add_column("process")
    for name in ("samples", "minutes", "MiB", "MiB an hour (95 %)", "files", "threads", "verdict"):
        shown.add_column(name, justify="right")
    for g in growths:
        slope, low, high = g.slope
        shown.add_row(
            g.name,
            f"{g.samples}",
            f"{g.seconds / 60:.1f}",
            f"{g.first:.0f} → {g.last:.0f}",
            f"{slope:+.1f} ({low:+.1f} to {high:+.1f})",
            f"{g.files[0]:g} → {g.files[1]:g}",
            f"{g.threads[0]:g} → {g.threads[1]:g}",
            "grows" if g.problems else "flat",
        )
    before, after = soak.left_files()
    shown.caption = (
        f"flat: the interval includes 0 or the slope is at most {LIMIT_MIB_PER_HOUR:g} MiB an "
        f"hour; files and threads stay. Temporary files: {before} → {after}. Databases: "
        + ", ".join(
            f"{path.name} {path.stat().st_size / 1024**2:.1f} MiB"
            for path in sorted((soak.home.folder / "home").glob("*.db"))
        )
    )
    return shown


def _end(home: Home) -> None:
    for process in home.started.values():
        process.terminate()
    deadline = time.monotonic() + 20
    for process in home.started.values():
        with suppress(Exception):
            process.wait(max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(path).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
