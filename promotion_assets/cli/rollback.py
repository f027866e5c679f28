"""``promotion rollback``: back to the version that served before."""

from __future__ import annotations

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL, SEGMENT
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("rollback", cls=Command)
@click.argument("model", type=MODEL)
@click.option("--reason", required=True, help="Why, for the record.")
@click.option(
    "--segment", type=SEGMENT, default="default", show_default=True, help="In which segment."
)
@click.option("--to", "to", help="A version that has been champion. Default: the previous one.")
@actor_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    reason: str,
    segment: str,
    to: str | None,
    actor: str,
    as_json: bool,
) -> None:
    """Take MODEL back to its previous champion. No gates, because seconds count.

    The artifact that is rolled back from is latched: it does not go live again until a person
    clears it. Repeating the command changes nothing.

    \b
    promotion rollback credit-risk --reason "declines doubled since noon"
    """
    from promotion_assets.lifecycle.rollback import rollback
    from promotion_assets.pipeline.late_registry import LateRegistry

    opened = workspace(ctx)
    opened.check_model(model)
    state = rollback(
        opened.ledger,
        LateRegistry(lambda: opened.registry),
        model,
        actor=actor,
        reason=reason,
        segment=segment,
        to=to,
    )
    opened.checkpointer.publish()
    champion = state.champions.get(segment)
    mirrored = state.intent is None
    if as_json:
        say_json({"model": model, "segment": segment, "champion": champion, "mirrored": mirrored})
        return
    click.echo(f"{model} is served by version {champion} in segment {segment!r}")
    if not mirrored:
        click.echo("MLflow does not show it yet; `promotion reconcile` finishes that")
