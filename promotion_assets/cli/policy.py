"""``promotion policy``: check and describe the policy."""

from __future__ import annotations

from pathlib import Path

import click

from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Group
from promotion_assets.cli.progress import counted, long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import in_short, say_json, say_table


@click.group("policy", cls=Group)
def command() -> None:
    """Check and describe the policy.

    \b
    promotion policy check
    promotion policy schema > promotion.schema.json
    promotion policy reference > policy.md
    promotion policy power credit-risk
    promotion policy backtest credit-risk stricter.yaml
    """


@command.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Read the policy strictly and say what it asks, with the digest that evaluations pin.

    \b
    promotion policy check
    promotion --config other.yaml policy check
    """
    policy = workspace(ctx).policy
    if as_json:
        say_json(
            {
                "valid": True,
                "models": {
                    name: {"digest": m.digest, "gates": list(m.gates)}
                    for name, m in policy.models.items()
                },
            }
        )
        return
    say_table(
        "",
        ("model", "task", "digest", "gates"),
        [(name, m.task, m.digest[:12], ", ".join(m.gates)) for name, m in policy.models.items()],
    )


@command.command("schema")
def schema() -> None:
    """Print the JSON schema of the policy file, for editors.

    \b
    promotion policy schema > promotion.schema.json
    """
    from promotion_assets.gates.catalogue import settings_models
    from promotion_assets.policy.model import Policy

    described = Policy.model_json_schema()
    gates = {name: model.model_json_schema() for name, model in settings_models().items()}
    definitions = described.setdefault("$defs", {})
    for name, gate in gates.items():
        definitions |= gate.pop("$defs", {})
        definitions[f"gate_{name}"] = gate
    definitions["ModelPolicy"]["properties"]["gates"] = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            name: {"anyOf": [{"$ref": f"#/$defs/gate_{name}"}, {"type": "null"}]} for name in gates
        },
    }
    say_json(described)


@command.command("reference")
def reference() -> None:
    """Print the policy reference as Markdown: every key with type, default, unit and meaning.

    \b
    promotion policy reference > policy.md
    """
    from promotion_assets.cli.policy_reference import policy_reference

    click.echo(policy_reference(), nl=False)


@command.command("power")
@click.argument("model", type=MODEL)
@click.argument("version", required=False, type=VERSION)
@click.option(
    "--power",
    type=click.FloatRange(0.5, 0.999),
    default=0.8,
    show_default=True,
    help="With which probability the effect shall be caught.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def power(ctx: click.Context, model: str, version: str | None, power: float, as_json: bool) -> None:
    """Say for each gate the smallest true effect that it would catch with this dataset.

    Computed on the evidence of the last evaluation of VERSION, or of MODEL where not given.

    \b
    promotion policy power credit-risk
    """
    from promotion_assets.gates.power import gate_power
    from promotion_assets.pipeline.evidence_store import last_evidence

    opened = workspace(ctx)
    opened.policy_of(model)
    with long_work(f"computing what {model}'s gates can see", kept="nothing was recorded"):
        found = gate_power(last_evidence(opened, model, version), power=power)
    if as_json:
        say_json([one.model_dump(mode="json") for one in found])
        return
    say_table(
        f"smallest true effect caught with probability {power:g}",
        ("gate", "measure", "of", "rows", "catches from", "limit", "sees"),
        [
            (
                one.gate,
                one.measure,
                one.subject,
                f"{one.rows:,}",
                "nothing" if one.detectable is None else f"{one.detectable:.3g}",
                "" if one.limit is None else f"{one.limit:.3g}",
                one.sees,
            )
            for one in found
        ],
    )


@command.command("backtest")
@click.argument("model", type=MODEL)
@click.argument("proposed", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def backtest(ctx: click.Context, model: str, proposed: Path, as_json: bool) -> None:
    """Run the policy file PROPOSED over all past evaluations of MODEL; list what would flip.

    Exit code 1 if a decision would flip.

    \b
    promotion policy backtest credit-risk stricter.yaml
    """
    from promotion_assets.errors import UsageError
    from promotion_assets.gates.catalogue import settings_models
    from promotion_assets.pipeline.backtest import backtest as run_backtest
    from promotion_assets.policy.load import load_policy

    opened = workspace(ctx)
    policy = load_policy(proposed, settings=settings_models, environ=opened.environ)
    if model not in policy.models:
        raise UsageError(
            f"backtesting {proposed.name} on {model}",
            f"it has {', '.join(sorted(policy.models))} and not {model!r}",
            "give a policy file that names the model",
        )
    with long_work(f"judging {model}'s past again", kept="nothing was recorded") as tell:
        again = run_backtest(opened, model, policy.models[model])
        found = list(counted(again, tell, lambda done: f"{done} evaluations judged again"))
    if as_json:
        say_json([{**vars(one), "flips": one.flips} for one in found])
    else:
        say_table(
            f"{len(found)} past evaluations, {sum(one.flips for one in found)} would flip",
            ("version", "was", "would be", "by", "reason"),
            [
                (
                    one.version,
                    one.was,
                    one.would_be,
                    ", ".join(one.deciding_gates),
                    in_short(one.reason),
                )
                for one in found
                if one.flips or one.would_be == "unknown"
            ],
        )
    if any(one.flips for one in found):
        ctx.exit(1)
