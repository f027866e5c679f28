"""``promotion copy``: take an approved version to another registry."""

from __future__ import annotations

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("copy", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option(
    "--to",
    "to",
    required=True,
    help="The policy's next environment, or the address of an MLflow registry.",
)
@click.option("--as", "name", help="The model's name there. Default: its name here.")
@actor_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(
    ctx: click.Context,
    model: str,
    version: str,
    to: str,
    name: str | None,
    actor: str,
    as_json: bool,
) -> None:
    """Copy an approved VERSION of MODEL to another registry, with its attestation.

    Bytes, signature, parameters, metrics, tags and inputs are read back and verified there
    before the version is registered. Repeating the command gives the same version; one that
    was stopped goes on. The target's credentials are in variables that begin with
    PROMOTION_TARGET_, such as PROMOTION_TARGET_MLFLOW_TRACKING_TOKEN.

    \b
    promotion copy credit-risk 2 --to staging
    promotion copy credit-risk 2 --to https://mlflow.example.org
    promotion copy credit-risk 2 --to https://mlflow.example.org --as credit --json
    """
    from promotion_assets.pipeline.copying import Order, copy
    from promotion_assets.pipeline.environments import address_of

    opened = workspace(ctx)
    opened.policy_of(model)
    order = Order(model, version, address_of(opened, to), name or model, actor)
    kept = "what has arrived stays there unregistered, and the same command goes on from it"
    with long_work(f"copying {model} version {version}", kept=kept) as tell:
        copied = copy(opened, order, reach=tell)
    event = copied.event
    if as_json:
        say_json(
            {
                "model": model,
                "version": version,
                "to": event.target_registry,
                "name": event.target_model,
                "target_version": event.target_version,
                "run_id": event.target_run_id,
                "digest": event.model_digest,
                "target_digest": event.target_digest,
                "content_digest": event.content_digest,
                "attestation_digest": event.attestation_digest,
                "notes": list(copied.notes),
            }
        )
        return
    click.echo(
        f"{model} version {version} is version {event.target_version} of {event.target_model} "
        f"at {event.target_registry}"
    )
    for note in copied.notes:
        click.echo(f"  note: {note}")
