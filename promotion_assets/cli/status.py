"""``promotion status``: champions, stages and verdicts."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import in_short, say_json, say_table


@click.command("status", cls=Command)
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Show champions, stages and verdicts of MODEL, or of every model.

    \b
    promotion status
    promotion status credit-risk --json
    """
    from promotion_assets.audit.status import status

    opened = workspace(ctx)
    if model is not None:
        opened.check_model(model)
    found = status(opened.ledger, [model] if model else opened.models)
    if as_json:
        say_json(found)
        return
    for one in found["models"]:
        champions = ", ".join(f"{seg}: version {v}" for seg, v in one["champions"].items())
        click.echo(f"{one['model']}   champion {champions or 'none yet'}")
        say_table(
            "",
            ("version", "stage", "verdict", "deciding gate", "reason"),
            [
                (
                    v["version"],
                    v["stage"],
                    v["verdict"],
                    ", ".join(v["deciding_gates"]) or "-",
                    in_short(v["reason"]),
                )
                for v in one["versions"]
            ],
        )
