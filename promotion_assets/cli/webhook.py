"""``promotion webhook``: who is told of what, sending it, and hearing from outside."""

from __future__ import annotations

import time
from typing import Any

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.groups import Group, json_option
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table

MOST_DEAD = 20


@click.group("webhook", cls=Group)
def command() -> None:
    """Tell others of what happens, and hear from them; see docs/notifications.md.

    \b
    promotion webhook add ops --url https://hooks.example.org/in --secret-env OPS_HOOK_SECRET
    promotion webhook list
    promotion webhook test ops
    promotion webhook deliver --loop
    promotion webhook serve
    """


@command.command("add")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["webhook", "slack", "gitlab", "github", "email"]),
    default="webhook",
    show_default=True,
    help="What is at the other end.",
)
@click.option("--url", default="", help="Where to send; ${NAME} is taken from the environment.")
@click.option("--event", "events", multiple=True, help="An outgoing event; all where not given.")
@click.option("--model", "models", multiple=True, help="A model's name or pattern; default all.")
@click.option("--secret-env", help="Variable with the key that signs; its name, not the key.")
@click.option("--authorization-env", help="Variable with the Authorization header, or token.")
@click.option("--channel", help="Slack: the channel.")
@click.option("--project", help="GitLab: number or path of the project.")
@click.option("--ref", help="GitLab: the branch or tag to run.")
@click.option("--repository", help="GitHub: owner/name.")
@click.option("--from", "sender", help="E-mail: the sender.")
@click.option("--to", multiple=True, help="E-mail: a recipient.")
@click.option("--username", help="E-mail: the name to sign in with.")
@click.option(
    "--insecure-skip-tls-verify",
    "unverified",
    is_flag=True,
    help="Do not verify the receiver's certificate: anybody on the way can read along.",
)
@actor_option
@json_option
@click.pass_context
def add(
    ctx: click.Context, /, name: str, actor: str, unverified: bool, as_json: bool, **given: Any
) -> None:
    """Add the subscription NAME. What the policy names need not be added.

    \b
    promotion webhook add ops --url https://hooks.example.org/in --secret-env OPS_HOOK_SECRET
    promotion webhook add deploy --kind gitlab --url https://gitlab.example.org --project 42 \\
        --ref main --authorization-env GITLAB_TRIGGER_TOKEN \\
        --event MODEL_VERSION_TRANSITIONED_TO_PRODUCTION --model credit-risk
    """
    notifier = _notifier(ctx)
    subscription = _subscription(name, given, verify_tls=not unverified)
    from promotion_assets.errors import UsageError

    taken = {each.name for each in notifier.subscriptions()}
    clock = notifier.workspace.clock
    if name in taken or not notifier.outbox.add(subscription, actor, clock()):
        raise UsageError(
            f"adding the subscription {name!r}",
            "there is one of that name",
            f"take another name, or `promotion webhook remove {name}` first",
        )
    if as_json:
        say_json({"name": name, "added": True})
        return
    click.echo(f"{name} is told of what happens from now on; try `promotion webhook test {name}`")


@command.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show who is told of what, what waits, and dead letters with their reason.

    \b
    promotion webhook list --json
    """
    from promotion_assets.pipeline.overview import overview

    found = overview(_notifier(ctx), most_dead=MOST_DEAD)
    if as_json:
        say_json(found)
        return
    if not found["subscriptions"]:
        click.echo("nobody is told of anything; see `promotion webhook add --help`")
    else:
        say_table(
            "",
            ("name", "kind", "from", "pending", "dead", "url", "events"),
            [
                (
                    s["name"],
                    s["kind"],
                    s["source"],
                    str(s["pending"]),
                    str(s["dead"]),
                    s["url"],
                    ", ".join(s["events"]),
                )
                for s in found["subscriptions"]
            ],
        )
    for waiting in found["waiting"]:
        click.echo(
            f"waits: {waiting['subscription']} has not got {waiting['type']} {waiting['id']} "
            f"after {waiting['attempts']} attempts: {waiting['problem']}"
        )
    for dead in found["dead_letters"]:
        click.echo(
            f"dead letter: {dead['subscription']} did not get {dead['type']} {dead['id']}: "
            f"{dead['problem']}"
        )


@command.command("test")
@click.argument("name")
@json_option
@click.pass_context
def test(ctx: click.Context, name: str, as_json: bool) -> None:
    """Send a test to NAME now. Exit code 1 where it does not arrive.

    \b
    promotion webhook test ops
    """
    from promotion_assets.notification.addresses import NotSent

    try:
        event = _notifier(ctx).test(name)
    except NotSent as error:
        if as_json:
            say_json({"name": name, "delivered": False, "problem": error.problem})
        else:
            click.echo(f"it did not arrive: {error.problem}", err=True)
        ctx.exit(1)
    if as_json:
        say_json({"name": name, "delivered": True, "id": event.id})
        return
    click.echo(f"{name} has taken {event.id}")


@command.command("remove")
@click.argument("name")
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, as_json: bool) -> None:
    """Remove NAME, and give up what waits for it. Exit code 1 where there was none.

    \b
    promotion webhook remove ops
    """
    from promotion_assets.errors import UsageError

    notifier = _notifier(ctx)
    if name in {each.name for each in notifier.workspace.policy.subscriptions()}:
        raise UsageError(
            f"removing the subscription {name!r}",
            "the policy names it",
            f"take it out of {notifier.workspace.config.name}",
        )
    removed = notifier.outbox.remove(name)
    dropped = notifier.outbox.drop(name)
    gone = bool(removed or dropped)
    if as_json:
        say_json({"name": name, "removed": gone, "given_up": dropped})
        ctx.exit(0 if gone else 1)
    if not gone:
        click.echo(
            f"there is no subscription called {name}; see `promotion webhook list`", err=True
        )
        ctx.exit(1)
    click.echo(f"{name} is removed; {dropped} notifications to it were given up")


@command.command("retry")
@click.argument("name")
@click.option("--event", "event_id", help="The id of one dead letter; all of NAME if not given.")
@json_option
@click.pass_context
def retry(ctx: click.Context, name: str, event_id: str | None, as_json: bool) -> None:
    """Make dead letters to NAME pending again. Exit code 1 where there is none.

    \b
    promotion webhook retry ops
    """
    notifier = _notifier(ctx)
    revived = notifier.outbox.revive(notifier.named(name).name, event_id)
    if as_json:
        say_json({"name": name, "revived": revived})
    else:
        click.echo(f"{revived} dead letters to {name} will be tried again")
    if not revived:
        ctx.exit(1)


@command.command("deliver")
@click.option("--loop", is_flag=True, help="Go on until stopped with Ctrl-C.")
@click.option("--every", default=5.0, show_default=True, help="Seconds between two rounds.")
@json_option
@click.pass_context
def deliver(ctx: click.Context, loop: bool, every: float, as_json: bool) -> None:
    """Send what is due. The Dagster sensor `notifications` does the same.

    Exit code 1 where something did not arrive; it is tried again later.

    \b
    promotion webhook deliver
    promotion webhook deliver --loop --every 2
    """
    from promotion_assets.errors import Unreachable

    while True:
        try:
            done = _notifier(ctx).deliver()
        except Unreachable as error:
            if not loop:
                raise
            click.echo(str(error), err=True)
            time.sleep(every)
            continue
        if as_json:
            say_json({"delivered": done.delivered, "problems": list(done.problems)})
        elif done.delivered or done.problems or not loop:
            click.echo(f"{done.delivered} delivered")
            for problem in done.problems:
                click.echo(f"  {problem}", err=True)
        if not loop:
            ctx.exit(1 if done.problems else 0)
        time.sleep(every)


@command.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8091, show_default=True, help="Port to listen on.")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int) -> None:
    """Hear MLflow's webhooks and reports of deployments; show metrics. Stop it with Ctrl-C.

    POST /mlflow, POST /deployments/ID, GET /metrics, GET /health/live, GET /health/ready.

    \b
    promotion webhook serve --port 8091
    """
    import uvicorn

    from promotion_assets.adapters.http_server import MOST_CONNECTIONS, listening
    from promotion_assets.notification.web import webhook_app
    from promotion_assets.pipeline.listening import ListenerSource

    source = ListenerSource(lambda: workspace(ctx))
    source().ready()
    click.echo(f"webhooks are heard at http://{host}:{port}")
    uvicorn.run(
        webhook_app(source),
        host=host,
        port=port,
        log_level="warning",
        limit_concurrency=MOST_CONNECTIONS,
        **listening(),
    )


def _notifier(ctx: click.Context) -> Any:
    from promotion_assets.pipeline.notifying import Notifier

    return Notifier(workspace(ctx))


def _subscription(name: str, given: dict[str, Any], *, verify_tls: bool) -> Any:
    from pydantic import ValidationError

    from promotion_assets.errors import UsageError
    from promotion_assets.policy.notifications import Subscription

    values = {key: value for key, value in given.items() if value}
    try:
        return Subscription.model_validate({"name": name, "verify_tls": verify_tls, **values})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"adding the subscription {name!r}",
            f"{where}: {said}" if where else said,
            "correct it; see `promotion webhook add --help`",
        ) from None
