"""How the command speaks: tables to people, JSON to programs, errors in three parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from promotion_assets.errors import PromotionError

VERDICT_STYLE = {"approved": "green", "rejected": "red", "pending": "yellow"}


def console(*, stderr: bool = False) -> Console:
    """Return a console that respects ``NO_COLOR`` and the width of the terminal."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def say_json(value: Any) -> None:
    """Print ``value`` as JSON and nothing else."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False, default=str))


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the last column takes the room that is left."""
    table = Table(title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", ratio=1 if number == len(columns) - 1 else None)
    for row in rows:
        table.add_row(*(_styled(cell) for cell in row))
    console().print(table)


def in_short(reason: str) -> str:
    """Return what a reason says, without the advice and the lists that follow it."""
    return reason.partition(". Next:")[0].partition("; too small to judge")[0]


def say_error(error: PromotionError) -> None:
    """Print an error's three parts, one a line, to standard error."""
    click.echo(
        f"{click.style('error', fg='red', bold=True)}: {error.doing}\n"
        f"  problem: {error.problem}\n"
        f"  next:    {error.next_step}",
        err=True,
    )


def _styled(cell: str) -> str:
    from rich.markup import escape

    style = VERDICT_STYLE.get(cell)
    return f"[{style}]{escape(cell)}[/{style}]" if style else escape(cell)
