"""Commands and groups as this command line has them: exit codes in the help, nearest names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import click

EXIT_CODES = (
    "Exit codes: 0 done; 1 a refusal or a failed check; 2 wrong use; 3 a part is unreachable "
    "(MLflow, database, disk) and nothing changed; 130 stopped with Ctrl-C."
)


class Command(click.Command):
    """A command whose help ends with what its exit codes mean."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, unless the help has its own."""
        super().format_epilog(ctx, formatter)
        _write_exit_codes(self, formatter)


class Group(click.Group):
    """A group that names the nearest command where one is mistyped."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or name the nearest one."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(
                f"There is no command {args[0]!r}.{nearest(args[0], known, ctx.command_path)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, unless the help has its own."""
        super().format_epilog(ctx, formatter)
        _write_exit_codes(self, formatter)


def _write_exit_codes(command: click.Command, formatter: click.HelpFormatter) -> None:
    if "Exit codes:" not in (command.help or ""):
        formatter.write_paragraph()
        formatter.write_text(EXIT_CODES)


def nearest(word: str, known: Iterable[str], path: str) -> str:
    """Return a hint at the name that was probably meant."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else f" See `{path} --help`."


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(
        function
    )
