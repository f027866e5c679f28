"""``promotion traffic``: who answers now, who answered when, and the plan for other stacks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Group
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("traffic", cls=Group)
def command() -> None:
    """Look at traffic plans: which version answers which share of which segment.

    \b
    promotion traffic show credit-risk
    promotion traffic history credit-risk
    promotion traffic render credit-risk --format istio --bucket-header x-promotion-bucket
    """


@command.command("show")
@click.argument("model", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def show(ctx: click.Context, model: str, as_json: bool) -> None:
    """Show the plan that servers of MODEL follow, and which of them do.

    \b
    promotion traffic show credit-risk --json
    """
    from promotion_assets.pipeline.alive_servers import SILENT
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.serving.events import microseconds

    plan = _plan(ctx, model)
    opened = workspace(ctx)
    said = event_log(opened).acknowledged(model)
    if as_json:
        say_json({"plan": plan.model_dump(mode="json"), "servers": [one._asdict() for one in said]})
        return
    click.echo(f"{model}, generation {plan.generation}, default segment {plan.default!r}")
    say_table(
        "",
        ("segment", "arm", "version", "share", "digest"),
        [row for segment in plan.segments for row in _rows(segment)],
    )
    for one in said:
        why = f", refused {one.refused}: {one.problem}" if one.refused else ""
        gone = ""
        if one.time_us < microseconds(opened.clock() - SILENT):
            gone = f"; silent since {datetime.fromtimestamp(one.time_us / 1e6, UTC):%F %T} UTC"
        does = "followed" if gone else "follows"
        click.echo(f"server {one.worker} {does} generation {one.generation}{why}{gone}")


@command.command("history")
@click.argument("model", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def history(ctx: click.Context, model: str, as_json: bool) -> None:
    """List every plan that MODEL had, in order.

    \b
    promotion traffic history credit-risk
    """
    from promotion_assets.pipeline.past_plans import plans

    opened = workspace(ctx)
    opened.check_model(model)
    found = plans(opened, model)
    if as_json:
        say_json({"plans": found})
        return
    say_table(
        "",
        ("generation", "since", "by", "why", "who answers"),
        [
            (str(p["generation"]), p["at"][:19], p["actor"], p["reason"], p["traffic"])
            for p in found
        ],
    )


@command.command("render")
@click.argument("model", type=MODEL)
@click.option(
    "--format",
    "target",
    type=click.Choice(["kserve", "istio", "envoy"]),
    required=True,
    help="For which stack.",
)
@click.option(
    "--bucket-header",
    help="Header that carries the unit's bucket, so that a unit keeps its arm (istio, envoy).",
)
@click.option(
    "--storage",
    default="pvc://models/{model}/{digest}",
    show_default=True,
    help="Where artifacts lie (kserve); {model}, {version}, {digest} are filled in.",
)
@click.option("--port", default=80, show_default=True, help="Port of the arms' services (istio).")
@click.option("--namespace", default="", help="Kubernetes namespace of the objects.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def render(
    ctx: click.Context,
    model: str,
    target: str,
    bucket_header: str | None,
    storage: str,
    port: int,
    namespace: str,
    as_json: bool,
) -> None:
    """Print MODEL's plan as another serving stack reads it; what is lost is said on stderr.

    \b
    promotion traffic render credit-risk --format kserve --storage "s3://models/{digest}"
    promotion traffic render credit-risk --format envoy --bucket-header x-promotion-bucket
    """
    import yaml

    from promotion_assets.serving.render_envoy import render_envoy
    from promotion_assets.serving.render_istio import render_istio
    from promotion_assets.serving.render_kserve import render_kserve
    from promotion_assets.serving.rendering import Target

    plan = _plan(ctx, model)
    how = {"kserve": render_kserve, "istio": render_istio, "envoy": render_envoy}[target]
    rendered = how(plan, Target(bucket_header, storage, port, namespace))
    if as_json:
        say_json({"documents": rendered.documents, "notes": rendered.notes})
        return
    click.echo(yaml.safe_dump_all(rendered.documents, sort_keys=False, width=100), nl=False)
    for note in rendered.notes:
        click.echo(f"note: {note}", err=True)


def _plan(ctx: click.Context, model: str) -> Any:
    from promotion_assets.errors import UsageError

    opened = workspace(ctx)
    opened.check_model(model)
    plan = opened.ledger.state(model).traffic
    if plan is None:
        raise UsageError(
            f"looking up the traffic plan of {model}",
            "it has none, because it has no champion",
            f"take in what serves today: `promotion adopt {model} VERSION --reason …`",
        )
    return plan


def _rows(segment: Any) -> list[tuple[str, ...]]:
    whole = 10_000
    arms = [
        ("stable", segment.stable, f"{(whole - segment.share) / 100:g} %"),
        ("candidate", segment.candidate, f"{segment.share / 100:g} %"),
        ("shadow", segment.shadow, f"copies of {segment.shadow_share / 100:g} %"),
        ("previous", segment.previous, "kept loaded"),
    ]
    return [
        (segment.name, name, arm.version, share, arm.digest[:12])
        for name, arm, share in arms
        if arm is not None
    ]
