"""The whole tree of commands, as a person could type it."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click

from promotion_assets.cli.root import root


class Place(NamedTuple):
    """A command, and the words that lead to it."""

    words: tuple[str, ...]
    command: click.Command
    context: click.Context


def walk() -> Iterator[Place]:
    """Yield every command and group, the root first."""
    yield from _below(("promotion",), root, click.Context(root, info_name="promotion"))


def _below(
    words: tuple[str, ...], command: click.Command, context: click.Context
) -> Iterator[Place]:
    yield Place(words, command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            below = click.Context(found, parent=context, info_name=name)
            yield from _below((*words, name), found, below)


def examples(command: click.Command) -> list[list[str]]:
    """Return the words of each example in a command's help, from ``promotion`` on."""
    said = inspect.cleandoc(command.help or "")
    blocks = re.findall(r"^\x08\n(.*?)(?:\n\n|\Z)", said, re.MULTILINE | re.DOTALL)
    lines = [
        line.strip() for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()
    ]
    found = []
    for line in lines:
        at = line.find("promotion ")
        if at < 0 or line.startswith("curl"):
            continue
        # What the shell does with the output, and what two spaces set apart, is no part of it.
        words = re.split(r"\s{2,}(?=\S)|\s>\s|\)$", line[at:])[0]
        found.append(shlex.split(words))
    return found
