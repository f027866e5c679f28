"""``promotion reviewer``: access of the people who review."""

from __future__ import annotations

from typing import Any

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.groups import Group, json_option
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("reviewer", cls=Group)
def command() -> None:
    """Give reviewers their tokens, and take them away.

    Who may review stands in the policy (`review.reviewers`); a token proves who it is.

    \b
    promotion reviewer add ana
    promotion reviewer list
    promotion reviewer revoke ana
    """


@command.command("add")
@click.argument("name")
@actor_option
@json_option
@click.pass_context
def add(ctx: click.Context, name: str, actor: str, as_json: bool) -> None:
    """Issue a token for NAME, and print it this once.

    \b
    promotion reviewer add ana
    """
    token = _desk(ctx).access.issue(name, actor)
    if as_json:
        say_json({"reviewer": name, "token": token})
        return
    click.echo(token)
    click.echo(f"This is {name}'s token; it is stored hashed and not shown again.", err=True)


@command.command("revoke")
@click.argument("name")
@actor_option
@json_option
@click.pass_context
def revoke(ctx: click.Context, name: str, actor: str, as_json: bool) -> None:
    """End every token and session of NAME at once. Exit code 1 where there was none.

    \b
    promotion reviewer revoke ana
    """
    ended = _desk(ctx).access.revoke(name, actor)
    if as_json:
        say_json({"reviewer": name, "ended": ended})
    else:
        click.echo(f"{ended} tokens of {name} ended")
    if not ended:
        ctx.exit(1)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Show every reviewer of the policy, and who holds a token.

    \b
    promotion reviewer list
    """
    desk = _desk(ctx)
    held: dict[str, list[str]] = {}
    for token in desk.store.tokens():
        if token.revoked_at is None:
            held.setdefault(token.reviewer, []).append(token.issued_at.date().isoformat())
    rows = [
        {"name": r.name, "model": model, "role": r.role, "tokens": held.get(r.name, [])}
        for model, policy in desk.workspace.policy.models.items()
        for r in policy.review.reviewers
    ]
    if as_json:
        say_json({"reviewers": rows})
        return
    if not rows:
        click.echo("no model's policy names a reviewer; see `review.reviewers` in promotion.yaml")
        return
    say_table(
        "",
        ("name", "model", "role", "tokens issued"),
        [(r["name"], r["model"], r["role"] or "-", ", ".join(r["tokens"]) or "none") for r in rows],
    )


def _desk(ctx: click.Context) -> Any:
    from promotion_assets.pipeline.reviewing import ReviewDesk

    return ReviewDesk(workspace(ctx))
