"""How the command speaks: tables to people, JSON to programs, errors in three parts."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from promotion_assets.errors import PromotionError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

VERDICT_STYLE = {"approved": "green", "rejected": "red", "pending": "yellow"}
# What a reason needs to be read; with less room, each row becomes a paragraph.
LEAST_LAST_COLUMN = 24
PLAIN_ASCII = "plain_ascii"
PLAIN = {
    "…": "...",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "·": "-",
    "\u00d7": "x",
    "\u2013": "-",
    "\u2014": "-",
    "≠": "!=",
    "±": "+/-",
    "μ": "u",
    "ε": "eps",
}


def speak_plainly_where_needed(*streams: TextIO) -> None:
    """Let streams that know few characters get the nearest ones, in place of an exception.

    Click takes ASCII for a mistake and writes UTF-8 there, so it is told another name for it.
    """
    codecs.register_error("promotion-plain", _plain)
    codecs.register(_plain_ascii)
    for stream in streams:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None or _knows_all(stream):
            continue
        if codecs.lookup(stream.encoding).name == "ascii":
            reconfigure(encoding=PLAIN_ASCII, errors="promotion-plain")
        else:
            reconfigure(errors="promotion-plain")


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != PLAIN_ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        name=PLAIN_ASCII,
        encode=ascii_.encode,
        decode=ascii_.decode,
        incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder,
        streamreader=ascii_.streamreader,
        streamwriter=ascii_.streamwriter,
    )


def _knows_all(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    return "".join(PLAIN.get(one, "?") for one in part), error.end


def wants_colour() -> bool | None:
    """Return what the environment says of colours; ``None`` leaves it to what is at the end.

    ``NO_COLOR`` (no-color.org) outweighs ``FORCE_COLOR`` (force-color.org).
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def console(*, file: TextIO | None = None, width: int | None = None) -> Console:
    """Return a console that respects ``NO_COLOR`` and the width of the terminal."""
    from rich.console import Console

    class Speaking(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Speaking(file=file, highlight=False, soft_wrap=False, width=width)


def say_json(value: Any) -> None:
    """Print ``value`` as JSON and nothing else."""
    whole = not _knows_all(sys.stdout)
    click.echo(json.dumps(value, indent=2, ensure_ascii=whole, sort_keys=False, default=str))


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of which nothing is cut off.

    On a terminal the last column is folded into the room that is left; where there is little,
    each row is a paragraph. In a pipe or a file each row is one line, however long.
    """
    shown = console()
    whole = _table(title, columns, rows)
    natural = shown.measure(whole, options=shown.options.update(max_width=1_000_000)).maximum
    if not shown.is_terminal and "COLUMNS" not in os.environ:
        shown = console(width=max(natural, 80))
    elif natural > shown.width and rows:
        last = max(len(columns[-1]), *(len(row[-1]) for row in rows))
        if natural - last + LEAST_LAST_COLUMN > shown.width:
            _say_paragraphs(shown, title, columns, rows)
            return
    shown.print(whole)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(column, overflow="fold", no_wrap=not last, ratio=1 if last else None)
    for row in rows:
        table.add_row(*(_styled(cell) for cell in row))
    return table


def _say_paragraphs(
    shown: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    from rich.table import Table

    if title:
        shown.print(title, markup=False)
    for number, row in enumerate(rows):
        if number:
            shown.print()
        paragraph = Table.grid(padding=(0, 2))
        paragraph.add_column(no_wrap=True)
        paragraph.add_column(overflow="fold", ratio=1)
        for column, cell in zip(columns, row, strict=True):
            if cell:
                paragraph.add_row(f"{column}:", _styled(cell))
        shown.print(paragraph)


def in_short(reason: str) -> str:
    """Return what a reason says, without the advice and the lists that follow it."""
    return reason.partition(". Next:")[0].partition("; too small to judge")[0]


def say_error(error: PromotionError) -> None:
    """Print an error's three parts, one a line, to standard error."""
    say_problem(error.doing, error.problem, error.next_step)


def say_problem(doing: str, problem: str, next_step: str) -> None:
    """Print what was being done, what is wrong, and what to do next, to standard error."""
    click.echo(
        f"{click.style('error', fg='red', bold=True)}: {doing}\n"
        f"  problem: {problem}\n"
        f"  next:    {next_step}",
        err=True,
        color=wants_colour(),
    )


def _styled(cell: str) -> str:
    from rich.markup import escape

    style = VERDICT_STYLE.get(cell)
    return f"[{style}]{escape(cell)}[/{style}]" if style else escape(cell)
