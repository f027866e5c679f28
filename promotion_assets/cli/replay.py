"""``promotion replay``: make a past decision again and compare every number."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.command("replay", cls=Command)
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option("--rescore", is_flag=True, help="Load and score the pinned artifacts again, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, model: str, version: str, rescore: bool, as_json: bool) -> None:
    """Make the last decision on VERSION again from its pinned evidence.

    Every number is compared with the recorded one. Exit code 1 on a difference.

    \b
    promotion replay credit-risk 3
    promotion replay credit-risk 3 --rescore
    """
    from promotion_assets.pipeline.replay import replay

    kept = "a replay changes nothing"
    with long_work(f"judging {model} version {version} again", kept=kept):
        found = replay(workspace(ctx), model, version, rescore=rescore)
    if as_json:
        say_json(
            {
                "model": model,
                "version": version,
                "decision": found.decision_digest,
                "same": found.same,
                "compared": found.compared,
                "rescored": list(found.rescored),
                "differences": [vars(d) for d in found.differences],
            }
        )
    else:
        word = "all as recorded" if found.same else f"{len(found.differences)} differ"
        click.echo(f"decision {found.decision_digest[:12]}: {found.compared} values, {word}")
        for line in found.rescored:
            click.echo(f"scored again: {line}")
        if not found.same:
            rows = [(d.where, str(d.recorded), str(d.now)) for d in found.differences]
            say_table("", ("what", "recorded", "now"), rows)
    if not found.same:
        ctx.exit(1)
