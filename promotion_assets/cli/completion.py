"""``promotion completion``: let the shell complete commands, options, models and versions."""

from __future__ import annotations

import click

from promotion_assets.cli.groups import Command


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete commands, options, models, versions and segments.

    Put it into the shell's start-up file once, or load it for this session alone.

    \b
    promotion completion bash > ~/.local/share/bash-completion/completions/promotion
    promotion completion zsh > ~/.zfunc/_promotion
    promotion completion fish > ~/.config/fish/completions/promotion.fish
    source <(promotion completion bash)
    """
    from click.shell_completion import get_completion_class

    from promotion_assets.cli import COMPLETE
    from promotion_assets.cli.root import root

    kind = get_completion_class(shell)
    assert kind is not None
    # The script alone: whether the bash at hand is new enough is for the one that reads it.
    script = kind(root, {}, "promotion", COMPLETE)
    click.echo(script.source_template % script.source_vars())
