"""``promotion evaluate``: judge versions and record the decisions."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import in_short, say_json, say_table


@click.command("evaluate", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("versions", nargs=-1, required=True, type=VERSION)
@click.option("--json", "as_json", is_flag=True, help="Print the decisions as JSON.")
@click.pass_context
def command(ctx: click.Context, model: str, versions: tuple[str, ...], as_json: bool) -> None:
    """Judge VERSIONS of MODEL and record the decisions.

    Approved versions go to Staging, unless the policy leaves that to a person. Exit code 1 if
    any version is rejected.

    \b
    promotion evaluate credit-risk 2
    promotion evaluate credit-risk 2 3 4 --json
    """
    kept = (
        "decisions that were recorded stay, as `promotion status` shows; nothing else counts, and "
        "the same command judges the rest"
    )
    decisions = []
    with long_work("starting Dagster", kept=kept) as tell:
        from promotion_assets.defs.instance import evaluate_version, open_instance

        opened = workspace(ctx)
        with open_instance(opened) as instance:
            tell(f"preparing to evaluate {model}")
            for version in versions:
                decisions.append(evaluate_version(opened, model, version, instance, tell))
    if as_json:
        say_json([d.model_dump(mode="json") for d in decisions])
    else:
        say_table(
            "",
            ("version", "verdict", "deciding gate", "reason"),
            [
                (d.version, d.verdict, ", ".join(d.deciding_gates) or "-", in_short(d.reason))
                for d in decisions
            ],
        )
    if not all(d.approved for d in decisions):
        ctx.exit(1)
