"""``promotion simulate``: a rollout's policy against made-up or recorded traffic, with a fault."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from promotion_assets.cli.completing import MODEL, SEGMENT
from promotion_assets.cli.groups import Command
from promotion_assets.cli.progress import long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.command("simulate", cls=Command)
@click.argument("model", type=MODEL)
@click.option(
    "--fault",
    type=click.Choice(["none", "errors", "slowdown", "group_harm", "drift"]),
    default="errors",
    show_default=True,
    help="What goes wrong: the candidate errs, is slow, or decides otherwise in a group; or both "
    "versions err more often, which is nobody's fault.",
)
@click.option(
    "--size",
    default=3.0,
    show_default=True,
    help="How many times as many errors, or as slow; for group_harm the change of the share "
    "decided positively in the group (-0.5).",
)
@click.option(
    "--group",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Part of the units that the harmed group is.",
)
@click.option(
    "--from-step", type=click.IntRange(1), default=1, show_default=True, help="Step it begins in."
)
@click.option(
    "--after-minutes",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long after that step's beginning.",
)
@click.option(
    "--runs", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Rollouts."
)
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same runs.")
@click.option("--units-per-hour", type=click.FloatRange(0, min_open=True), help="New units.")
@click.option("--error-rate", type=click.FloatRange(0, 1), help="Of the champion.")
@click.option("--positive-rate", type=click.FloatRange(0, 1), help="Of the champion's decisions.")
@click.option(
    "--recorded-days",
    type=click.FloatRange(0, min_open=True),
    help="Take traffic from the event log of the last days; the options above outweigh it.",
)
@click.option(
    "--segment", type=SEGMENT, default="default", show_default=True, help="Whose recorded traffic."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Play MODEL's rollout policy to its end, many times, before it is trusted.

    Prints how long a fault takes to be noticed, how many units meet it, and how often a candidate
    without a fault is taken back. Nothing is recorded and nothing is served.

    \b
    promotion simulate credit-risk --fault errors --size 3
    promotion simulate credit-risk --fault slowdown --size 1.2 --from-step 2 --runs 200
    promotion simulate credit-risk --fault group_harm --size -0.8 --recorded-days 7 --json
    """
    from promotion_assets.pipeline.rollout_look import policy_of_today
    from promotion_assets.rollout.simulation import Fault, simulate_many

    opened = workspace(ctx)
    model, segment = given["model"], given["segment"]
    opened.policy_of(model)
    policy = policy_of_today(opened, model).model_copy(update={"experiment": None})
    traffic = _traffic(opened, model, segment, given)
    fault = Fault(
        kind=given["fault"],
        size=given["size"],
        group=given["group"],
        from_step=_step(given["from_step"], len(policy.way)),
        after=timedelta(minutes=given["after_minutes"]),
    )
    found: dict[str, Any] = {"model": model, "seed": given["seed"], "traffic": vars(traffic)}
    with long_work("making traffic up", kept="nothing was recorded") as tell:
        for name, kind in (("fault", fault), ("no fault", Fault())):
            outcomes = []
            for number, one in enumerate(
                simulate_many(policy, traffic, kind, runs=given["runs"], seed=given["seed"])
            ):
                outcomes.append(one)
                tell(f"playing a rollout with {name}: {number + 1} of {given['runs']}")
            found[name.replace(" ", "_")] = summary(outcomes)
    found["family_rate"] = policy.family_rate
    if given["as_json"]:
        say_json(found)
        return
    _say(found, given)


def summary(outcomes: Sequence[Any]) -> dict[str, Any]:
    """Return what many rollouts came to; times are seconds."""
    import numpy as np

    def _spread(values: list[float]) -> dict[str, float] | None:
        if not values:
            return None
        return {"median": float(np.median(values)), "p90": float(np.quantile(values, 0.9))}

    runs = len(outcomes)
    back = [o for o in outcomes if o.ended == "roll_back"]
    noticed = [o.noticed.total_seconds() for o in back if o.noticed is not None]
    by: dict[str, int] = {}
    for outcome in back:
        by[outcome.guardrail or "timeout"] = by.get(outcome.guardrail or "timeout", 0) + 1
    done = [o.took.total_seconds() for o in outcomes if o.ended == "complete"]
    return {
        "runs": runs,
        "taken_back": len(back) / runs,
        "completed": len(done) / runs,
        "held": sum(o.ended == "hold" for o in outcomes) / runs,
        "by_guardrail": by,
        "seconds_to_notice": _spread(noticed),
        "units_met": _spread([float(o.met) for o in outcomes]),
        "units_harmed": _spread([float(o.harmed) for o in outcomes]),
        "seconds_to_complete": _spread(done),
    }


def _traffic(opened: Any, model: str, segment: str, given: dict[str, Any]) -> Any:
    from contextlib import closing
    from dataclasses import replace

    from promotion_assets.pipeline.event_source import event_log
    from promotion_assets.pipeline.rehearsing import recorded_traffic
    from promotion_assets.rollout.simulation import Traffic

    traffic = Traffic()
    if given["recorded_days"]:
        with closing(event_log(opened)) as events:
            traffic = recorded_traffic(opened, events, model, segment, given["recorded_days"])
    named = ("units_per_hour", "error_rate", "positive_rate")
    return replace(traffic, **{n: given[n] for n in named if given[n] is not None})


def _step(number: int, steps: int) -> int:
    if number > steps:
        raise click.UsageError(f"--from-step {number}: the policy has {steps} steps")
    return number - 1


def _say(found: dict[str, Any], given: dict[str, Any]) -> None:
    fault, none = found["fault"], found["no_fault"]
    traffic = found["traffic"]
    click.echo(
        f"{found['model']}: {traffic['units_per_hour']:,.0f} units an hour, "
        f"{traffic['error_rate']:.2%} errors, {traffic['positive_rate']:.1%} decided positively"
    )
    size = "" if given["fault"] == "none" else f" of size {given['size']:g}"
    click.echo(f"fault {given['fault']}{size} from step {given['from_step']} on:")
    by = ", ".join(f"{name} {count}" for name, count in fault["by_guardrail"].items())
    click.echo(f"  taken back in {fault['taken_back']:.1%} of {fault['runs']} runs" + _in(by))
    if fault["seconds_to_notice"]:
        click.echo(f"  noticed after {_times(fault['seconds_to_notice'])}")
        click.echo(f"  met by {_numbers(fault['units_met'])} units before")
        click.echo(f"  harmed {_numbers(fault['units_harmed'])} of them")
    click.echo(f"  completed all the same in {fault['completed']:.1%}, held in {fault['held']:.1%}")
    click.echo("no fault:")
    by = ", ".join(f"{name} {count}" for name, count in none["by_guardrail"].items())
    click.echo(
        f"  taken back in {none['taken_back']:.1%} of {none['runs']} runs"
        + _in(by)
        + f"; the policy allows {found['family_rate']:.1%}"
    )
    click.echo(f"  completed in {none['completed']:.1%}, held in {none['held']:.1%}")
    if none["seconds_to_complete"]:
        click.echo(f"  complete after {_times(none['seconds_to_complete'])}")


def _in(by: str) -> str:
    return f" ({by})" if by else ""


def _times(spread: dict[str, float]) -> str:
    return f"{_span(spread['median'])} (median), {_span(spread['p90'])} (9 of 10)"


def _numbers(spread: dict[str, float]) -> str:
    return f"{spread['median']:,.0f} (median), {spread['p90']:,.0f} (9 of 10)"


def _span(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"
