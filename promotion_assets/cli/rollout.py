"""``promotion rollout``: what is rolling out and why it waits; pause, resume, skip, abort, tick."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import closing
from typing import Any

import click

from promotion_assets.cli.actors import actor_option
from promotion_assets.cli.completing import MODEL, SEGMENT, VERSION
from promotion_assets.cli.groups import Group, json_option
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("rollout", cls=Group)
def command() -> None:
    """Look after rollouts: they go on, hold and go back by themselves.

    Each look is a tick. Dagster's sensor `rollouts` ticks by itself; where there is no Dagster,
    `promotion rollout tick --every 30` does the same.

    \b
    promotion rollout status
    promotion rollout tick credit-risk
    promotion rollout pause credit-risk --reason "release of the app at noon"
    promotion rollout abort credit-risk --reason "support sees wrong letters"
    promotion rollout clear-latch credit-risk 7 --reason "the letters were wrong, not the model"
    """


@command.command("status")
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def status(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Show what is rolling out, what each guardrail says, and what it waits for.

    \b
    promotion rollout status credit-risk --json
    """
    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.rollout_status import rollouts

    opened = workspace(ctx)
    if model is not None:
        opened.policy_of(model)
    found = list(rollouts(opened, event_log(opened), [model] if model else opened.policy.models))
    if as_json:
        say_json({"rollouts": found})
        return
    if not found:
        click.echo("nothing is rolling out")
    for each in found:
        _say(each)


@command.command("tick")
@click.argument("models", nargs=-1, type=MODEL)
@click.option(
    "--every", type=click.FloatRange(min=0.2), help="Go on looking, so many seconds apart."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, a line a look.")
@click.pass_context
def tick_(ctx: click.Context, models: tuple[str, ...], every: float | None, as_json: bool) -> None:
    """Look at the rollouts of MODELS, or of all, and do what is due.

    Any number of these and Dagster's sensor may run at once: whoever decides first is recorded.

    \b
    promotion rollout tick
    promotion rollout tick credit-risk --every 30
    """
    from promotion_assets.errors import Unreachable
    from promotion_assets.pipeline.event_source import event_log

    while True:
        # Opened anew each time: a rollout begins by the policy of its day.
        opened = workspace(ctx)
        for model in models:
            opened.policy_of(model)
        try:
            with closing(opened.ledger), closing(event_log(opened)) as events:
                _tick_once(opened, events, models or tuple(opened.policy.models), as_json)
        except Unreachable as error:
            if every is None:
                raise
            # Shares stay as they are; servers protect themselves until it answers again.
            click.echo(str(error), err=True)
        if every is None:
            return
        time.sleep(every)


STEERING = {
    "pause": """Keep the share of MODEL's candidate as it is. Guardrails still take it back.

    \b
    promotion rollout pause credit-risk --reason "release of the app at noon"
    """,
    "resume": """Go on after a pause or a hold; the step's time begins anew, by the policy of today.

    \b
    promotion rollout resume credit-risk --reason "the release is out"
    """,
    "skip": """Go to the last step at once: only for an artifact that was champion a short time ago.

    \b
    promotion rollout skip credit-risk --reason "it served until yesterday"
    """,
    "abort": """Take all traffic of MODEL back to the champion; the candidate's artifact is latched.

    \b
    promotion rollout abort credit-risk --reason "support sees wrong letters"
    """,
}


def _steering(what: str, said: str) -> None:
    """Add the command by which a person steps in."""

    @command.command(what, help=said)
    @click.argument("model", type=MODEL)
    @click.option("--reason", required=True, help="Why, for the record.")
    @click.option(
        "--segment",
        type=SEGMENT,
        help="In which segment. Default: the one in which something rolls out.",
    )
    @actor_option
    @json_option
    @click.pass_context
    def _(ctx: click.Context, /, **given: Any) -> None:
        _step_in(ctx, what, **given)


for _what, _said in STEERING.items():
    _steering(_what, _said)


def _step_in(
    ctx: click.Context,
    what: str,
    *,
    model: str,
    segment: str | None,
    reason: str,
    actor: str,
    as_json: bool,
) -> None:
    from promotion_assets.lifecycle.rollouts import segment_plan, standing
    from promotion_assets.pipeline import rollout_steering

    opened = workspace(ctx)
    opened.check_model(model)
    segment = segment or _only_segment(opened.ledger.state(model).rolling, model)
    act = {
        "pause": rollout_steering.pause,
        "resume": rollout_steering.resume,
        "skip": rollout_steering.skip,
        "abort": rollout_steering.abort,
    }[what]
    state = act(opened, model, segment, actor=actor, reason=reason)
    plan = standing(state, segment)
    share = segment_plan(state, segment).share
    if as_json:
        rolling = plan.version if plan else None
        say_json({"model": model, "segment": segment, "rolling": rolling, "share": share})
        return
    if plan is None:
        click.echo(f"{model} is served by version {state.champions[segment]} alone")
    else:
        click.echo(f"version {plan.version} answers {share / 100:g} % in segment {segment!r}")


@command.command("clear-latch")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option("--reason", required=True, help="Why it may serve again, for the record.")
@actor_option
@json_option
@click.pass_context
def clear_latch_(
    ctx: click.Context, model: str, version: str, reason: str, actor: str, as_json: bool
) -> None:
    """Let the artifact of VERSION be promoted again, after it was taken back from production.

    Nothing else changes: it needs an evaluation, a shadow report and an approval like any other.

    \b
    promotion rollout clear-latch credit-risk 7 --reason "the letters were wrong, not the model"
    """
    from promotion_assets.lifecycle.rollback import clear_latch
    from promotion_assets.pipeline.rollout_steering import digest_of

    opened = workspace(ctx)
    opened.check_model(model)
    digest = digest_of(opened.ledger.state(model), model, version)
    clear_latch(opened.ledger, model, digest, actor=actor, reason=reason)
    opened.checkpointer.publish()
    if as_json:
        say_json({"model": model, "version": version, "digest": digest, "latched": False})
        return
    click.echo(f"the artifact of {model} version {version} ({digest[:12]}) is latched no more")


def _only_segment(rolling: Collection[str], model: str) -> str:
    from promotion_assets.errors import UsageError

    if len(rolling) > 1:
        raise UsageError(
            f"looking for what is rolling out of {model}",
            f"something is, in {len(rolling)} segments: {', '.join(sorted(rolling))}",
            "name one of them with --segment",
        )
    return next(iter(rolling), "default")


def _tick_once(opened: Any, events: Any, models: tuple[str, ...], as_json: bool) -> None:
    from promotion_assets.pipeline.rollouts import tick

    for model in models:
        for segment in opened.ledger.state(model).rolling:
            done = tick(opened, events, model, segment)
            if as_json:
                click.echo(_line(done))
            else:
                click.echo(f"{model}: {done.sentence()}")


def _line(done: Any) -> str:
    import json

    look = done.look
    return json.dumps(
        {
            "model": look.model,
            "segment": look.segment,
            "version": look.plan.version if look.plan else None,
            "action": look.action.kind if look.action else None,
            "recorded": done.done,
            "reason": done.conflict or (look.action.reason if look.action else ""),
        }
    )


def _say(each: dict[str, Any]) -> None:
    way = " → ".join(f"{share / 100:g} %" for share in each["steps"])
    click.echo(
        f"{each['model']} version {each['version']} in segment {each['segment']!r} beside "
        f"champion {each['champion']}: {each['share'] / 100:g} % of {way}"
    )
    click.echo(f"  next: {each['next'].replace('_', ' ')}: {each['reason']}")
    if each["not_before"]:
        click.echo(f"  not before {each['not_before'][:19]}")
    if each["note"]:
        click.echo(f"  {each['note']}")
    if each["guardrails"]:
        say_table(
            "",
            ("guardrail", "says", "e-value", "limit", "because"),
            [
                (
                    f["guardrail"],
                    f["verdict"],
                    "" if f["e_value"] is None else f"{f['e_value']:.3g}",
                    "" if f["limit"] is None else f"{f['limit']:.3g}",
                    f["reason"],
                )
                for f in each["guardrails"]
            ],
        )
