"""``promotion explain``: why a version was allowed to go live, or was not."""

from __future__ import annotations

from datetime import UTC, date, datetime

import click

from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("explain", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("version", required=False, type=VERSION)
@click.option("--at", "at", help="What was live then, and why: an ISO date or timestamp.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context, model: str, version: str | None, at: str | None, as_json: bool
) -> None:
    """Say everything that the ledger knows of VERSION of MODEL, or what was live at a time.

    \b
    promotion explain credit-risk 3
    promotion explain credit-risk --at 2026-11-24
    """
    from promotion_assets.audit.explain import explain, explain_at
    from promotion_assets.audit.explain_text import render, render_at

    if (version is None) == (at is None):
        raise click.UsageError("Give a VERSION, or --at with a date, and not both.", ctx)
    opened = workspace(ctx)
    if version is not None:
        found = explain(opened.ledger, model, version)
        say_json(found) if as_json else click.echo(render(found))
        return
    moment = _moment(at or "", ctx)
    if not opened.ledger.state(model).versions():
        opened.check_model(model)
    found = explain_at(opened.ledger, model, moment)
    say_json(found) if as_json else click.echo(render_at(found))


def _moment(text: str, ctx: click.Context) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no ISO date or timestamp.", ctx) from None
    if _is_date(text):
        moment = moment.replace(hour=23, minute=59, second=59, microsecond=999999)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_date(text: str) -> bool:
    """Whether a text that is ISO names a day alone, in any form: 2026-03-04, 20260304, 2026-W10."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
