"""``promotion deployment``: what pipelines report of what they deployed."""

from __future__ import annotations

from typing import Any

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Group
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("deployment", cls=Group)
def command() -> None:
    """Report on deployments, and read the reports.

    \b
    promotion deployment confirm evt_0123 --smoke-test passed --health healthy
    promotion deployment list credit-risk
    """


@command.command("confirm")
@click.argument("event")
@click.option(
    "--smoke-test",
    type=click.Choice(["passed", "failed"]),
    required=True,
    help="Did the deployed version answer as it should?",
)
@click.option(
    "--health",
    type=click.Choice(["healthy", "unhealthy"]),
    required=True,
    help="Is what serves it well?",
)
@click.option("--environment", default="production", show_default=True, help="Deployed to where.")
@click.option("--detail", default="", help="A remark or link, for the record.")
@actor_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def confirm(
    ctx: click.Context,
    event: str,
    smoke_test: str,
    health: str,
    environment: str,
    detail: str,
    actor: str,
    as_json: bool,
) -> None:
    """Record what became of the deployment that EVENT started.

    EVENT is the id of the notification, as PROMOTION_EVENT_ID or webhook-id carry it. From
    another machine, POST the same to /deployments/EVENT, signed.

    \b
    promotion deployment confirm evt_0123 --smoke-test passed --health healthy \\
        --environment production --detail https://ci.example.org/jobs/17
    """
    from promotion_assets.notification.heard import Report
    from promotion_assets.pipeline.deploying import confirm as record
    from promotion_assets.pipeline.notifying import Notifier

    opened = workspace(ctx)
    report = Report.model_validate(
        {
            "smoke_test": smoke_test,
            "health": health,
            "environment": environment[:100] or "production",
            "detail": detail[:2000],
        }
    )
    recorded = record(opened, Notifier(opened).outbox, event, report, actor=actor)
    if as_json:
        say_json(recorded.to_json())
        return
    click.echo(
        f"recorded: {recorded.model} version {recorded.version} in {recorded.environment}, "
        f"smoke test {recorded.smoke_test}, {recorded.health}"
    )


@command.command("list")
@click.argument("model", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def list_(ctx: click.Context, model: str, as_json: bool) -> None:
    """Show what was reported of MODEL's deployments, the newest last.

    \b
    promotion deployment list credit-risk --json
    """
    opened = workspace(ctx)
    opened.check_model(model)
    state = opened.ledger.state(model)
    reports: list[Any] = sorted(
        (report for reports in state.deployments.values() for report in reports),
        key=lambda report: report.reported_at,
    )
    if as_json:
        say_json({"deployments": [report.to_json() for report in reports]})
        return
    if not reports:
        click.echo(f"no deployment of {model} was reported")
        return
    say_table(
        "",
        ("version", "segment", "environment", "smoke test", "health", "at", "by", "detail"),
        [
            (
                r.version,
                r.segment,
                r.environment,
                r.smoke_test,
                r.health,
                f"{r.reported_at:%Y-%m-%d %H:%M}",
                r.actor,
                r.detail,
            )
            for r in reports
        ],
    )
