"""``promotion reconcile``: bring ledger and registry together."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("reconcile", cls=Command)
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Finish what stopped half way, and report what was changed in MLflow past the platform.

    Of MODEL, or of every model. Exit code 1 if MLflow does not show what the ledger says.

    \b
    promotion reconcile
    promotion reconcile credit-risk --json
    """
    from promotion_assets.pipeline.reconciling import reconcile_model, sentences

    opened = workspace(ctx)
    models = [model] if model else list(opened.policy.models)
    kept = "what was finished stays, and the same command goes on"
    found = []
    with long_work("comparing the ledger with MLflow", kept=kept) as tell:
        for name in models:
            tell(f"comparing the ledger with MLflow: {name}")
            found.append(reconcile_model(opened, name))
    if as_json:
        say_json(
            [{"model": one.model, "agrees": one.agrees, "found": sentences(one)} for one in found]
        )
    else:
        for one in found:
            for sentence in sentences(one):
                click.echo(f"{one.model}: {sentence}")
    if not all(one.agrees for one in found):
        ctx.exit(1)
