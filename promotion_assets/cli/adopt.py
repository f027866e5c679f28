"""``promotion adopt``: take in a version that already serves."""

from __future__ import annotations

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL, SEGMENT, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("adopt", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option("--reason", required=True, help="Since when it serves, and who decided so.")
@click.option(
    "--segment", type=SEGMENT, default="default", show_default=True, help="In which segment."
)
@actor_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    version: str,
    reason: str,
    segment: str,
    actor: str,
    as_json: bool,
) -> None:
    """Take in VERSION of MODEL, which already served when the platform arrived.

    Once per model and segment, only while the ledger knows no Production for it. The version is
    evaluated at once; the verdict is recorded and does not undo the adoption.

    \b
    promotion adopt credit-risk 1 --reason "serves since 2025, decided by the credit committee"
    """
    from promotion_assets.defs.instance import evaluate_version, open_instance
    from promotion_assets.pipeline.evaluator import Evaluator
    from promotion_assets.pipeline.promoting import adopt

    opened = workspace(ctx)
    stage = adopt(Evaluator(opened, model, segment), version, actor=actor, reason=reason)
    kept = (
        f"the adoption is recorded; `promotion evaluate {model} {version}` makes the evaluation "
        "that was to follow"
    )
    with (
        open_instance(opened) as instance,
        long_work(f"preparing to evaluate {model} version {version}", kept=kept) as tell,
    ):
        decision = evaluate_version(opened, model, version, instance, tell)
    if as_json:
        say_json(
            {
                "model": model,
                "version": version,
                "segment": segment,
                "stage": str(stage),
                "verdict": decision.verdict,
                "reason": decision.reason,
            }
        )
    else:
        click.echo(f"{model} version {version} is adopted and in {stage}")
        click.echo(f"evaluated at once: {decision.verdict}, {decision.reason}")
