"""``promotion shadow``: which versions get copies of live requests, and what they showed."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL, SEGMENT, VERSION
from promotion_assets.cli.groups import Group
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("shadow", cls=Group)
def command() -> None:
    """Look at shadows: Staging versions that get copies of live requests.

    \b
    promotion shadow status
    promotion shadow report credit-risk 2
    """


@command.command("status")
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def status(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Show which versions are shadows, after beginning and ending what is due.

    \b
    promotion shadow status credit-risk --json
    """
    from promotion_assets.pipeline.shadow_reporting import shadow_status

    opened = workspace(ctx)
    if model is not None:
        opened.policy_of(model)
    found = [
        one
        for name in ([model] if model else opened.policy.models)
        for one in shadow_status(opened, name)
    ]
    if as_json:
        say_json({"shadows": [vars(one) for one in found]})
        return
    if not found:
        click.echo("no shadow runs")
        return
    say_table(
        "",
        ("model", "segment", "version", "copied", "recorded", "in words"),
        [
            (
                one.model,
                one.segment,
                one.version,
                f"{one.share / 100:g} %",
                one.outcome or "nothing yet",
                one.summary,
            )
            for one in found
        ],
    )


@command.command("report")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option(
    "--segment", type=SEGMENT, default="default", show_default=True, help="Which segment."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def report(ctx: click.Context, model: str, version: str, segment: str, as_json: bool) -> None:
    """Make the shadow report of VERSION of MODEL, and record it if it says something new.

    Exit code 1 unless it passes.

    \b
    promotion shadow report credit-risk 2
    """
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.shadow_reporting import keep_report, make_report
    from promotion_assets.rollout.shadow_text import as_text

    opened = workspace(ctx)
    kept = "no report was recorded"
    with long_work(f"comparing the answers of {model} version {version}", kept=kept):
        made = make_report(opened, event_log(opened), model, version, segment)
    recorded = keep_report(opened, made)
    if as_json:
        say_json(
            {**made.model_dump(mode="json"), "digest": made.digest, "recorded": bool(recorded)}
        )
    else:
        click.echo(as_text(made))
        if recorded:
            click.echo(f"recorded as {recorded.report_digest[:12]}")
    if not made.passed:
        ctx.exit(1)
