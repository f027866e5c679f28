"""``promotion doctor``: is this installation fit, and what to mend where it is not."""

from __future__ import annotations

import click

from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check every part of this installation, and say what to mend. Changes nothing.

    Exit code 1 where something must be mended, 3 where only another system does not answer;
    warnings alone leave with 0.

    \b
    promotion doctor
    promotion doctor --json
    """
    from promotion_assets.pipeline.doctor import Finding, examine

    opened = workspace(ctx)
    found: list[Finding] = []
    for finding in examine(opened):
        found.append(finding)
        if not as_json:
            _say(finding)
    failed = [f for f in found if f.level == "failure"]
    if as_json:
        say_json({"fit": not failed, "findings": [vars(f) for f in found]})
    else:
        warned = sum(f.level == "warning" for f in found)
        click.echo(f"{len(found)} checks, {len(failed)} to mend, {warned} to think about")
    if failed:
        ctx.exit(3 if all(f.unreachable for f in failed) else 1)


_MARKS = {
    "ok": ("ok     ", "green"),
    "warning": ("warning", "yellow"),
    "failure": ("MEND   ", "red"),
}


def _say(finding: object) -> None:
    from promotion_assets.pipeline.doctor import Finding

    assert isinstance(finding, Finding)
    mark, colour = _MARKS[finding.level]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.check}: {finding.found}")
    if finding.mend:
        click.echo(f"{' ' * 9}{finding.mend}")
