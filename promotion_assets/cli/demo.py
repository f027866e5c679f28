"""``promotion demo``: nine versions of a credit-risk model, judged before your eyes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from promotion_assets.cli.groups import Command

if TYPE_CHECKING:
    from rich.console import Console


@click.command("demo", cls=Command)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the demo lives; remove it to start anew.",
)
@click.option("--headless", is_flag=True, help="End after the table; start no services.")
def command(directory: Path, headless: bool) -> None:
    """Register nine versions of a credit-risk model, judge them, and show why.

    What is there from an earlier run is used again. Without --headless, MLflow and Dagster run
    on free local ports until Ctrl-C.

    \b
    promotion demo
    promotion demo --headless --directory /tmp/demo
    """
    from promotion_assets.demo.home import DemoHome
    from promotion_assets.demo.run import Platform, run_demo

    home = DemoHome(directory)
    # Dagster and MLflow read where they are from the environment of the process.
    os.environ.update(home.environment(os.environ))

    def _platform() -> Platform:
        from promotion_assets.demo.platform import LocalPlatform

        return LocalPlatform(home, os.environ)

    signal.signal(signal.SIGTERM, _interrupt)
    run_demo(home, os.environ, _console(), _platform, headless=headless)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # A log file has no width; the table wants some.
        return Console(highlight=False, width=140)
    return console


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # So that a terminated demo ends its services as an interrupted one does.
    raise KeyboardInterrupt
