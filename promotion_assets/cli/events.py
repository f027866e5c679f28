"""``promotion events``: take served events elsewhere, and remove old ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Group
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.group("events", cls=Group)
def command() -> None:
    """Export what servers wrote down: requests, shadows, exposures, outcomes.

    \b
    promotion events export credit-risk --to events/ --since 2026-03-01
    promotion events export credit-risk --format cloudevents > events.jsonl
    promotion events prune credit-risk
    """


@command.command("export")
@click.argument("model", type=MODEL)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "cloudevents"]),
    default="parquet",
    show_default=True,
    help="Parquet files by day, or one CloudEvent in JSON a line.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("events"),
    show_default=True,
    help="The folder of the Parquet files.",
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, UTC. Default: 30 days ago."
)
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="Day after the last. Default: tomorrow."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@click.pass_context
def export(
    ctx: click.Context,
    model: str,
    form: str,
    target: Path,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """Export events of MODEL, by whole days in UTC.

    A day that is exported again replaces what was there, so late events get in.

    \b
    promotion events export credit-risk --to s3-mount/events --since 2026-03-01
    """
    from promotion_assets.adapters.event_export import export_parquet
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.serving.cloudevents import cloud_event_lines
    from promotion_assets.serving.events import EVENTS

    opened = workspace(ctx)
    opened.policy_of(model)
    today = opened.clock().astimezone(UTC).date()
    first = since.date() if since else today - timedelta(days=30)
    last = until.date() if until else today + timedelta(days=1)
    log = event_log(opened)
    if form == "parquet":
        kept = "days that are whole are kept, and the same command writes the others"
        with long_work(f"exporting events of {model}", kept=kept):
            written = export_parquet(log, model, target, since=first, until=last)
        if as_json:
            say_json({str(path): rows for path, rows in written.items()})
        else:
            for path, rows in written.items():
                click.echo(f"{path}: {rows:,} events")
            if not written:
                click.echo(f"no events of {model} from {first} until {last}; nothing was written")
        return
    span: dict[str, Any] = {
        "since": datetime(first.year, first.month, first.day, tzinfo=UTC),
        "until": datetime(last.year, last.month, last.day, tzinfo=UTC),
    }
    for kind in EVENTS:
        for line in cloud_event_lines(kind, log.batches(kind, model, **span)):
            click.echo(line)


@command.command("prune")
@click.argument("model", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def prune(ctx: click.Context, model: str, as_json: bool) -> None:
    """Remove events of MODEL that are older than the policy keeps them; servers do so hourly.

    \b
    promotion events prune credit-risk
    """
    from promotion_assets.pipeline.event_source import event_log

    opened = workspace(ctx)
    before = opened.clock() - opened.policy_of(model).serving.retention
    removed = event_log(opened).prune(model, before)
    if as_json:
        say_json({"model": model, "removed": removed, "before": before.isoformat()})
    else:
        click.echo(f"{removed:,} events of {model} from before {before.date()} removed")
