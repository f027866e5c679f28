"""The demo from an empty folder to the table of verdicts, and on to the user interfaces."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promotion_assets.cli.speaking import in_short
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.prepare import alone_in, prepare
from promotion_assets.demo.services import free_port, services_of, started, watch
from promotion_assets.demo.versions import MODEL, VERSIONS, Version

CHAMPION = VERSIONS[0]
REVIEWER = "priya"
ADOPTION = "serves since before the platform arrived"
_STYLE = {"approved": "green", "rejected": "red", "pending": "yellow"}


class Platform(Protocol):
    """What the demo asks of the platform: the same as its command line offers."""

    def adopt(self, model: str, version: str, reason: str) -> None:
        """Take in the version that serves already."""

    def evaluate(self, model: str, version: str) -> None:
        """Judge a version and record the decision; no matter if it was judged just so before."""

    def status(self, model: str) -> Mapping[str, Any]:
        """Return one model's part of ``promotion status --json``."""

    def shadow(self, report: Callable[[str], None]) -> tuple[str, ...]:
        """Play traffic to the version in Staging as a shadow; return a short account."""


@dataclass(frozen=True)
class Row:
    """One line of the table of verdicts."""

    version: str
    title: str
    verdict: str
    deciding_gates: tuple[str, ...]
    reason: str
    stage: str


def run_demo(
    home: DemoHome,
    environ: Mapping[str, str],
    console: Console,
    platform: Callable[[], Platform],
    *,
    headless: bool,
) -> None:
    """Prepare what is missing, judge what is not judged, play the shadow's traffic, run the UIs.

    Without ``headless`` this returns only by an interrupt, after all services have ended.

    Raises:
        PromotionError: a part failed; running the demo again continues from there.
    """
    with alone_in(home):
        report = _reporter(console)
        console.print(f"[bold]Preparing[/bold] the demo in {escape(str(home.root))}")
        prepare(home, environ, report)
        console.print(f"[bold]Judging[/bold] nine versions of {MODEL}")
        judge(platform(), report)
        console.print(verdict_table(rows_of(platform().status(MODEL))))
        console.print("[bold]Shadowing[/bold]: four days of customers, on a fast clock")
        for line in platform().shadow(report):
            console.print(escape(line), soft_wrap=True)
        if not headless:
            _serve(home, environ, console)


def judge(platform: Platform, report: Callable[[str], None]) -> None:
    """Adopt the champion where there is none, and have every version evaluated."""
    known = platform.status(MODEL)
    if not known["champions"]:
        platform.adopt(MODEL, str(CHAMPION.number), ADOPTION)
        report(f"v{CHAMPION.number} {CHAMPION.title}: adopted, it {ADOPTION}")
    for version in VERSIONS:
        _evaluate(platform, version, report)


def rows_of(status: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return a row for each of the nine versions, in their order."""
    titles = {str(version.number): version.title for version in VERSIONS}
    found = {entry["version"]: entry for entry in status["versions"]}
    return tuple(
        Row(
            version=number,
            title=title,
            verdict=found[number]["verdict"],
            deciding_gates=tuple(found[number]["deciding_gates"]),
            reason=in_short(found[number]["reason"]),
            stage=found[number]["stage"],
        )
        for number, title in titles.items()
    )


def verdict_table(rows: tuple[Row, ...]) -> Table:
    """Return the table of verdicts."""
    table = Table(title=f"{MODEL}: what may go to Staging, and what may not", title_justify="left")
    table.add_column("version", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("deciding gate")
    table.add_column("reason", ratio=1)
    for row in rows:
        style = _STYLE.get(row.verdict, "")
        table.add_row(
            f"{row.version} {escape(row.title)}",
            f"[{style}]{row.verdict}[/{style}]" if style else row.verdict,
            ", ".join(row.deciding_gates) or "none",
            escape(row.reason),
        )
    return table


def _evaluate(platform: Platform, version: Version, report: Callable[[str], None]) -> None:
    started_at = time.monotonic()
    platform.evaluate(MODEL, str(version.number))
    entry = {e["version"]: e for e in platform.status(MODEL)["versions"]}[str(version.number)]
    gates = f" by {', '.join(entry['deciding_gates'])}" if entry["deciding_gates"] else ""
    seconds = time.monotonic() - started_at
    report(f"v{version.number} {version.title}: {entry['verdict']}{gates} ({seconds:.1f} s)")


def _reporter(console: Console) -> Callable[[str], None]:
    begun = time.monotonic()

    def _report(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.0f} s[/dim]  {escape(line)}")

    return _report


def sign_in_hint(home: DemoHome) -> str:
    """Say how to sign in to the reviews, which ask for a personal token."""
    command = f"promotion --config {home.config} reviewer add {REVIEWER}"
    return f"  Sign in to the reviews with the token that this prints:\n  {escape(command)}"


def _serve(home: DemoHome, environ: Mapping[str, str], console: Console) -> None:
    services = services_of(home, free_port)
    console.print("\n[bold]Starting[/bold] MLflow, Dagster, server and reviews (about 20 s)")
    with started(services, home.environment(environ), home.logs) as running:
        for one in running:
            if one.service.url is not None:
                console.print(f"  {one.service.name:<8} {one.service.url}")
        console.print(sign_in_hint(home), soft_wrap=True)
        console.print("Ctrl-C ends all of it.")
        watch(running)
