"""``promotion policy``: check and describe the policy."""

from __future__ import annotations

import click

from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table


@click.group("policy")
def command() -> None:
    """Check and describe the policy.

    \b
    promotion policy check
    promotion policy schema > promotion.schema.json
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
