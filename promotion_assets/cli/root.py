"""The root of the command line: global options, and one file a command group, loaded when used."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from promotion_assets.cli.groups import Group
from promotion_assets.cli.speaking import wants_colour

# Name of the command: module in this folder, and what the list of commands says of it. Modules
# are imported when their command is used: MLflow and Dagster take seconds to import.
COMMANDS = {
    "demo": ("demo", "Prepare the demo, evaluate its versions, and show them in the UI."),
    "init": ("init", "Write a first policy, from the registry and a data file."),
    "status": ("status", "Show champions, stages and verdicts."),
    "top": ("top", "Watch what serves, how it answers, and what waits for somebody."),
    "evaluate": ("evaluate", "Judge one version and record the decision."),
    "promote": ("promote", "Move a version to the next stage, if everything it needs is there."),
    "adopt": ("adopt", "Take in a version that already serves, once per model."),
    "rollback": ("rollback", "Take a model back to its previous champion, in a second."),
    "reconcile": ("reconcile", "Finish what stopped half way; report what was moved by hand."),
    "shadow": ("shadow", "Show which versions get copies of live requests, and how they answer."),
    "outcomes": ("outcomes", "Tell what became of requests, for shadows and challengers."),
    "events": ("events", "Export what servers wrote down, and remove what is old."),
    "serve": ("serve", "Answer requests by the traffic plan that the ledger attests."),
    "review": ("review", "Review what is in Staging: queue, evidence, questionnaire, page."),
    "reviewer": ("reviewer", "Give reviewers their tokens, and take them away."),
    "rollout": ("rollout", "Show what is rolling out and why it waits; step in where needed."),
    "simulate": ("simulate", "Play a rollout's policy to its end, with a fault, many times."),
    "traffic": ("traffic", "Show who answers which share, and render it for other stacks."),
    "explain": ("explain", "Say why a version was allowed to go live, or was not."),
    "replay": ("replay", "Make a past decision again and compare every number."),
    "policy": ("policy", "Check and describe the policy."),
    "doctor": ("doctor", "Check this installation, and say what to mend."),
    "webhook": ("webhook", "Tell others of what happens, and hear from them."),
    "deployment": ("deployment", "Report what became of a deployment, and read the reports."),
    "copy": ("copy", "Copy an approved version to another registry, with its attestation."),
    "audit": ("audit", "Verify the ledger or a bundle, offline; export and checkpoint."),
    "completion": ("completion", "Let the shell complete commands, models and versions."),
}


class LazyGroup(Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"promotion_assets.cli.{COMMANDS[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing them."""
        found = [
            (name, text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)
        ]
        if found:
            return [CompletionItem(name, help=text) for name, text in found]
        return click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The policy file. Default: PROMOTION_CONFIG, else promotion.yaml here.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where state lives. Default: PROMOTION_HOME, else .promotion beside the policy file.",
)
@click.option(
    "--debug",
    is_flag=True,
    help="Show the traceback of an error, for maintainers; PROMOTION_DEBUG=1 does the same.",
)
@click.version_option(package_name="promotion-assets")
@click.pass_context
def root(ctx: click.Context, config: Path | None, home: Path | None, debug: bool) -> None:
    """Promote machine learning models with evidence, and only with evidence.

    \b
    promotion demo --headless           see it stop the incident
    promotion status credit-risk        what runs, and what was refused
    promotion explain credit-risk 3     why

    Exit codes: 0 done; 1 a refusal or a failed check; 2 wrong use; 3 a part is unreachable (MLflow,
    database, disk) and nothing changed; 130 stopped with Ctrl-C.
    """
    if debug:
        # Where it is read when no context is left, and in what is started from here.
        os.environ["PROMOTION_DEBUG"] = "1"
    ctx.color = wants_colour()
    ctx.obj = {"config": config, "home": home}


def workspace(ctx: click.Context) -> Any:
    """Open the workspace that the global options name."""
    from promotion_assets.pipeline.workspace import Workspace

    return Workspace.open(config=ctx.obj["config"], home=ctx.obj["home"])
