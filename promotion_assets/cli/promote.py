"""``promotion promote``: move a version to the next stage."""

from __future__ import annotations

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL, SEGMENT, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("promote", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Choice(["staging", "production"], case_sensitive=False),
    help="The stage to move to.",
)
@click.option("--reason", default="", help="Why, for the record.")
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
    to: str,
    reason: str,
    segment: str,
    actor: str,
    as_json: bool,
) -> None:
    """Move VERSION of MODEL to a stage, if everything that it needs is there.

    Everything is verified afresh: the decision, and the digests of artifact, dataset and policy.
    There is no way around, for anyone.

    \b
    promotion promote credit-risk 2 --to staging
    """
    from promotion_assets.lifecycle.events import Stage
    from promotion_assets.pipeline.evaluator import Evaluator
    from promotion_assets.pipeline.promoting import promote

    opened = workspace(ctx)
    evaluator = Evaluator(opened, model, segment)
    target = Stage.STAGING if to.lower() == "staging" else Stage.PRODUCTION
    stage = promote(evaluator, version, target, actor=actor, reason=reason)
    if as_json:
        say_json({"model": model, "version": version, "segment": segment, "stage": str(stage)})
    else:
        click.echo(f"{model} version {version} is in {stage}")
