"""Whoever asks for help finds what it does, how it is typed, and what its exit code means."""

from __future__ import annotations

import contextlib

import click
import pytest

from promotion_assets.cli.root import root
from promotion_assets_tests.cli.walking import Place, examples, walk

PLACES = {" ".join(place.words): place for place in walk()}
LEAVES = {words: p for words, p in PLACES.items() if not isinstance(p.command, click.Group)}
# What they print is for people, a program's own format already, or nothing at all.
WITHOUT_JSON = {
    "promotion completion",
    "promotion demo",
    "promotion policy reference",
    "promotion policy schema",
    "promotion review serve",
    "promotion serve",
    "promotion webhook serve",
}


@pytest.mark.parametrize("words", sorted(PLACES))
def test_help_says_what_how_and_with_which_exit_codes(words: str) -> None:
    """A first sentence, an example that begins as one types it, exit codes, and every option."""
    place = PLACES[words]
    first = (place.command.help or "").split("\n\n")[0]
    assert first.strip().endswith("."), first
    assert any(" ".join(words_).startswith(words) for words_ in examples(place.command))
    shown = place.command.get_help(place.context)
    assert "Exit codes: 0" in shown
    for option in place.command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{words} {option.opts[0]}"


@pytest.mark.parametrize("words", sorted(PLACES))
def test_every_example_can_be_typed(words: str) -> None:
    """Commands, options, choices and the number of arguments in examples are real ones."""
    for example in examples(PLACES[words].command):
        place, rest = _find(example)
        with contextlib.suppress(NotThere):
            _parse(place, rest)


@pytest.mark.parametrize("words", sorted(LEAVES))
def test_programs_can_read_what_is_printed(words: str) -> None:
    """``--json`` is there unless it would be of no use, and then it is known why."""
    has = any("--json" in option.opts for option in LEAVES[words].command.params)
    assert has is (words not in WITHOUT_JSON)


def test_mistyped_commands_are_told_the_nearest_at_every_level() -> None:
    """In groups as at the top."""
    from click.testing import CliRunner

    for words, near in ((["statsu"], "status"), (["rollout", "abrt"], "abort")):
        said = CliRunner().invoke(root, words)
        assert said.exit_code == 2
        assert f"Did you mean '{near}'?" in said.output
    assert (
        "promotion audit --help"
        in CliRunner().invoke(root, ["audit", "qqqqq"], prog_name="promotion").output
    )


class NotThere(Exception):
    """A file of the example's own, which nobody has here."""


def _parse(place: Place, rest: list[str]) -> None:
    try:
        place.command.make_context(place.words[-1], rest, parent=place.context.parent)
    except click.BadParameter as error:
        if "does not exist" not in str(error):
            raise
        raise NotThere from error


def _find(example: list[str]) -> tuple[Place, list[str]]:
    """Return the command that an example calls, and what it is given."""
    words, rest = [example[0]], list(example[1:])
    while rest:
        if rest[0].startswith("--") and " ".join(words) == "promotion":
            known = {name for option in root.params for name in option.opts}
            assert rest[0] in known, example
            flag = next(o for o in root.params if rest[0] in o.opts)
            rest = rest[1 if isinstance(flag, click.Option) and flag.is_flag else 2 :]
            continue
        if " ".join((*words, rest[0])) not in PLACES:
            break
        words.append(rest.pop(0))
    return PLACES[" ".join(words)], rest
