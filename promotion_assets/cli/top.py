"""``promotion top``: what serves, how it answers, and what waits, again and again."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import console, say_json, say_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from promotion_assets.pipeline.glance import Glance

ATTENTION = ("", "model", "version", "what", "next")
LANES = ("model", "segment", "version", "role", "share", "requests/s", "failed", "mean", "servers")
# Rows that the screen keeps for what serves.
ROWS_FOR_LANES = 8


@click.command("top", cls=Command)
@click.argument("models", nargs=-1, type=MODEL)
@click.option(
    "--every", type=click.FloatRange(min=0.2), default=2.0, help="Seconds between two looks."
)
@click.option(
    "--window",
    type=click.IntRange(1, 3600),
    default=60,
    help="Seconds of requests that are counted.",
)
@click.option("--once", is_flag=True, help="Look once; so it is also where no terminal is.")
@click.option("--json", "as_json", is_flag=True, help="Look once and print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    models: tuple[str, ...],
    every: float,
    window: int,
    once: bool,
    as_json: bool,
) -> None:
    """Watch what serves of MODELS, or of all: shares, requests, failures, and what waits.

    What does not go on by itself stands first, each with the command that helps. Ctrl-C ends it.

    \b
    promotion top
    promotion top credit-risk --every 5
    promotion top --once
    """
    if as_json:
        say_json(_look(ctx, models, window))
    elif once or not console().is_terminal:
        _say(_look(ctx, models, window))
    else:
        _watch(ctx, models, every, window)


def _look(ctx: click.Context, models: tuple[str, ...], window: int) -> Glance:
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.glance import glance

    # Opened anew each time: what the policy says may change while somebody watches.
    opened = workspace(ctx)
    for model in models:
        opened.policy_of(model)
    with closing(opened), closing(event_log(opened)) as events:
        return glance(opened, events, models, window=timedelta(seconds=window))


def _say(found: Glance) -> None:
    click.echo(_headline(found))
    for title, columns, rows in _tables(found):
        click.echo()
        say_table(title, columns, rows)


def _watch(ctx: click.Context, models: tuple[str, ...], every: float, window: int) -> None:
    from rich.live import Live
    from rich.text import Text

    from promotion_assets.errors import PromotionError

    screen = console()
    # What is wrong from the start ends the command.
    shown = _screen(_look(ctx, models, window), screen.height)
    with Live(shown, console=screen, screen=True, auto_refresh=False) as live:
        live.refresh()
        try:
            while True:
                time.sleep(every)
                try:
                    shown = _screen(_look(ctx, models, window), screen.height)
                except PromotionError as error:
                    # What was seen last would be taken for what is.
                    shown = Text(str(error), style="red")
                live.update(shown, refresh=True)
        except KeyboardInterrupt:
            return


def _screen(found: Glance, height: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    room = max(3, height - ROWS_FOR_LANES - 6)
    parts: list[RenderableType] = [Text(_headline(found), style="bold")]
    for title, columns, rows in _tables(found):
        parts += [Text(), _table(title, columns, rows[:room])]
        if len(rows) > room:
            parts.append(Text(f"… and {len(rows) - room} more: promotion top --once"))
    return Group(*parts)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> RenderableType:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", pad_edge=False, show_edge=False, expand=True)
    for column in columns:
        table.add_column(column, overflow="fold", ratio=3 if column == "what" else None)
    for row in rows:
        table.add_row(*map(escape, row), style="red" if row[0] == "broken" else None)
    return table


def _headline(found: Glance) -> str:
    broken = sum(item["urgency"] == "broken" for item in found["attention"])
    waits = len(found["attention"]) - broken
    at = found["at"][:19].replace("T", " ")
    serving = len(found["lanes"])
    return f"{at} UTC   {broken} broken, {waits} waiting for somebody, {serving} serving"


def _tables(found: Glance) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    if found["attention"]:
        rows: list[tuple[str, ...]] = [
            (i["urgency"], i["model"] or "-", i["version"] or "-", i["what"], i["next_step"])
            for i in found["attention"]
        ]
        tables.append(("Does not go on by itself", ATTENTION, rows))
    title = f"Serves (requests of the last {found['window_seconds']:g} s)"
    tables.append((title, LANES, [_lane(one) for one in found["lanes"]]))
    return tables


def _lane(one: Any) -> tuple[str, ...]:
    def said(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    return (
        one["model"],
        one["segment"],
        one["version"],
        one["role"],
        f"{one['share'] / 100:g} %",
        said(one["per_second"], "{:.1f}"),
        said(one["failed"], "{:.2%}"),
        said(one["latency_ms"], "{:.1f} ms"),
        str(one["servers"]),
    )
