"""``promotion init``: a first policy, from the registry and a data file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.speaking import say_json
from promotion_assets.errors import UsageError


@click.command("init", cls=Command)
@click.argument("model", required=False, type=MODEL)
@click.option("--data", help="Labelled rows: a Parquet or CSV file, or any address of one.")
@click.option("--label", help="The label column. Default: the likeliest one.")
@click.option("--production", help="Rows that production sends now, for drift and types.")
@click.option("--owner", default="", help="Who is told, e.g. team:growth.")
@click.option("--version", "version", help="The version to measure. Default: what serves today.")
@click.option("--no-measure", is_flag=True, help="Do not load the model; defaults stand.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("promotion.yaml"),
    show_default=True,
    help="Where to write the policy; an existing file is never overwritten.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(
    model: str | None,
    data: str | None,
    label: str | None,
    production: str | None,
    owner: str,
    version: str | None,
    no_measure: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Write a commented promotion.yaml for MODEL, asking as little as possible.

    What the registry and the data say is not asked. Limits are proposed from what the version
    that serves today reaches on these rows, and each says so.

    \b
    promotion init churn --data labelled.parquet
    promotion init churn --data labelled.parquet --label churned --production last_week.parquet
    """
    from promotion_assets.pipeline.proposed_text import Asked
    from promotion_assets.pipeline.proposing import propose
    from promotion_assets.pipeline.workspace import unconfigured

    if output.exists():
        raise UsageError(
            f"writing {output}",
            "there is a policy already",
            "name another file with --output, or remove it",
        )
    opened = unconfigured(output)
    model = model or _the_model(opened.registry.models())
    data = data or _ask("Labelled rows (a file or an address)", "--data")
    with long_work("measuring what serves today", kept=f"{output} is not written"):
        proposal = propose(
            opened,
            Asked(
                folder=output.absolute().parent,
                model=model,
                data=data,
                label=label,
                production=production,
                owner=owner,
                version=version,
            ),
            measure=not no_measure,
        )
    output.write_text(proposal.text, encoding="utf-8")
    if as_json:
        say_json(
            {
                "policy": str(output),
                "model": model,
                "version": proposal.version,
                "task": proposal.guess.task,
                "label": proposal.guess.label,
                "not_measured": list(proposal.problems),
            }
        )
        return
    for problem in proposal.problems:
        click.echo(f"not measured: {problem}", err=True)
    click.echo(f"{output} is written; it was measured on version {proposal.version} of {model}.")
    click.echo("Read it, then:")
    click.echo("  promotion policy check")
    click.echo(f'  promotion adopt {model} {proposal.version} --reason "serves since …"')
    click.echo("  promotion doctor")


def _the_model(known: tuple[str, ...]) -> str:
    if len(known) == 1:
        return known[0]
    if not known:
        raise UsageError(
            "looking for models in MLflow",
            "none is registered",
            "register one, or set MLFLOW_TRACKING_URI to the right server",
        )
    return _ask(f"Which model ({', '.join(known)})", "the model's name")


def _ask(question: str, instead: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            "writing a policy",
            f"{question[0].lower()}{question[1:]} is not known",
            f"give {instead}",
        )
    return str(click.prompt(question))
