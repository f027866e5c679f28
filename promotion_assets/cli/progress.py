"""Long work: what it is at, on a terminal, and what is kept where it is stopped."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

import click

from promotion_assets.cli.speaking import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Tell = Callable[[str], None]
T = TypeVar("T")
BETWEEN_LOOKS = 0.1


class Stopped(click.Abort):
    """Ctrl-C in the middle of long work; ``said`` is what was being done and what is kept."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@contextmanager
def long_work(doing: str, *, kept: str) -> Iterator[Tell]:
    """Show on a terminal's standard error what is going on, and for how long already.

    Args:
        doing: what it begins with.
        kept: what Ctrl-C leaves, and how to go on; a sentence of its own.

    Yields:
        A function that is told what is going on now.

    Raises:
        Stopped: in place of ``KeyboardInterrupt``.
    """
    now = doing
    with _standard_error() as stream:
        bar = _bar(console(file=stream))
        task = bar.add_task(doing)

        def _tell(text: str) -> None:
            nonlocal now
            now = text
            bar.update(task, description=text)

        try:
            with bar:
                yield _tell
        except KeyboardInterrupt:
            raise Stopped(f"stopped while {now}; {kept}") from None


def _bar(shown: Console) -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description} …", markup=False),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
        disable=not shown.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextmanager
def _standard_error() -> Iterator[TextIO]:
    """Give a copy of standard error, which stays one while a step's own goes to its log."""
    error = sys.stderr
    try:
        copy = os.dup(error.fileno())
    except (OSError, ValueError):
        yield error
        return
    with os.fdopen(copy, "w", encoding=error.encoding, errors=error.errors) as stream:
        yield stream


def counted(items: Iterable[T], tell: Tell, said: Callable[[int], str]) -> Iterator[T]:
    """Yield ``items``, and tell from time to time how many there were."""
    last = time.monotonic()
    for number, item in enumerate(items, start=1):
        if time.monotonic() - last > BETWEEN_LOOKS:
            last = time.monotonic()
            tell(said(number))
        yield item
