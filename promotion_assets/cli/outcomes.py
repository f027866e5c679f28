"""``promotion outcomes``: what later became of requests, and how much of it can be used."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Group
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.group("outcomes", cls=Group)
def command() -> None:
    """Tell the platform what became of requests; shadows and challengers are judged by it.

    \b
    promotion outcomes import credit-risk paid.parquet --label default
    promotion outcomes status credit-risk --json
    """


@command.command("import")
@click.argument("model", type=MODEL)
@click.argument("source")
@click.option("--query", help="What to ask, where SOURCE is a database's URL.")
@click.option("--request-id", default="request_id", show_default=True, help="Column of the id.")
@click.option("--label", default="label", show_default=True, help="Column of the true value.")
@click.option(
    "--observed-at",
    default="observed_at",
    show_default=True,
    help="Column of the time at which it became known; now, where there is no such column.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def import_(
    ctx: click.Context,
    model: str,
    source: str,
    query: str | None,
    request_id: str,
    label: str,
    observed_at: str,
    as_json: bool,
) -> None:
    """Take in outcomes of MODEL from SOURCE: Parquet, CSV, any address, or a database.

    Importing the same again changes nothing. Exit code 1 if any row is no outcome.

    \b
    promotion outcomes import credit-risk s3://lake/paid/2026-11.parquet
    promotion outcomes import credit-risk paid.csv --request-id order --label defaulted
    """
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.outcomes import OutcomeColumns, import_outcomes

    opened = workspace(ctx)
    columns = OutcomeColumns(request_id, label, observed_at)
    kept = "outcomes that were told stay, and telling them again changes nothing"
    with long_work(f"taking in outcomes of {model}", kept=kept):
        found = import_outcomes(opened, event_log(opened), model, source, columns, query=query)
    if as_json:
        say_json(vars(found))
    else:
        click.echo(
            f"{found.told:,} outcomes told: {found.new:,} new, {found.duplicate:,} told before, "
            f"{found.refused:,} refused"
        )
        if found.unknown:
            click.echo(f"  {found.unknown:,} of requests that are not in the log")
        if found.late:
            click.echo(f"  {found.late:,} too late to be used")
        for reason in found.reasons:
            click.echo(f"  {reason}", err=True)
    if found.refused:
        ctx.exit(1)


@command.command("status")
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def status(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Show how many outcomes there are, and how many are late, unknown, duplicate or corrected.

    \b
    promotion outcomes status credit-risk --json
    """
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.outcomes import outcome_status

    opened = workspace(ctx)
    names = [model] if model else list(opened.policy.models)
    found = [outcome_status(opened, event_log(opened), name) for name in names]
    if as_json:
        say_json({"models": [one.to_json() for one in found]})
        return
    for one in found:
        click.echo(
            f"{one.model}: {one.outcomes:,} outcomes ({one.positive:,} positive), "
            f"{one.unknown:,} of unknown requests, {one.late:,} late, {one.corrected:,} corrected, "
            f"{one.duplicate:,} duplicate, {one.refused:,} refused; "
            f"last told {one.last or 'never'}"
        )
