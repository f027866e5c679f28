"""The documentation is true: targets, commands and options exist, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from promotion_assets.cli.root import COMMANDS, root
from promotion_assets.gates.catalogue import settings_models
from promotion_assets.policy.load import load_policy

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md")])
FENCED = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def commands(page: Path, program: str) -> list[str]:
    """Return what follows ``program`` wherever code in ``page`` begins with it."""
    text = page.read_text()
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
    lines += SPAN.findall(FENCED.sub("", text))
    lines = [line.strip().removeprefix("$ ") for line in lines]
    return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]


def pages() -> list[object]:
    """Return every page, called by its path."""
    return [pytest.param(page, id=str(page.relative_to(REPOSITORY))) for page in PAGES]


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that ``words`` begin with, and the words after it."""
    command: click.Command = root
    context = click.Context(root, info_name="promotion")
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r} in {' '.join(words)!r}"
        command = found
        context = click.Context(found, parent=context, info_name=name)
    return command, rest


def options(command: click.Command) -> set[str]:
    """Return every option that a command takes."""
    own = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return {*own, "--help"}


@pytest.mark.parametrize("page", pages())
def test_commands_in_the_documentation_exist(page: Path) -> None:
    """Each ``promotion …`` names a command and options that the command line knows."""
    for line in commands(page, "promotion"):
        if line.startswith("…"):
            continue
        command, rest = find(re.findall(r"\"[^\"]*\"|[^\s\"]+", line))
        unknown = {w.partition("=")[0] for w in rest if w.startswith("--")} - options(command)
        assert not unknown, f"{page.name}: promotion {line} has no {', '.join(unknown)}"


@pytest.mark.parametrize("page", pages())
def test_make_targets_in_the_documentation_exist(page: Path) -> None:
    """Each ``make …`` names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[0] for line in commands(page, "make")} <= targets


@pytest.mark.parametrize("page", pages())
def test_local_links_lead_somewhere(page: Path) -> None:
    """Each relative link and picture is a file of the repository."""
    for target in LINK.findall(page.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name: str) -> None:
    """``promotion NAME --help`` has a sentence, and each of its options a help text."""
    command, _ = find([name])
    assert (command.help or "").strip()
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            assert option.help, f"{name} {option.opts[0]}"


def test_readme_names_every_target_that_a_developer_uses() -> None:
    """The targets that have a description in ``make help`` are in the README."""
    makefile = (REPOSITORY / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    said = {line.split()[0] for line in commands(REPOSITORY / "README.md", "make")}
    assert described - said <= {"help", "install", "install-dev"}


def test_policy_in_the_readme_is_valid(tmp_path: Path) -> None:
    """The example policy can be copied as it stands."""
    (block,) = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    config = tmp_path / "promotion.yaml"
    config.write_text(block)
    policy = load_policy(config, settings=settings_models, environ={})
    assert set(policy.models) == set(yaml.safe_load(block)["models"])


def test_tests_in_the_documentation_exist() -> None:
    """Each test that a page names is one: a table of cases does not outlive its tests."""
    sources = "\n".join(p.read_text() for p in Path(__file__).parent.rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`(test_\w+)`", page.read_text()))
        assert named <= there, f"{page.name}: {', '.join(sorted(named - there))}"


def test_architecture_shows_the_package_as_it_is() -> None:
    """Its picture names each module and folder of the package, and no other."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    picture = next(block for block in FENCED.findall(page) if block.startswith("promotion_assets/"))
    shown = set(re.findall(r"^  (\S+)", picture, re.MULTILINE))
    package = REPOSITORY / "promotion_assets"
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert shown == folders | {path.name for path in package.glob("[!_]*.py")}


def test_modules_in_the_documentation_exist() -> None:
    """Each ``folder/module.py`` that a page names is there."""
    for page in PAGES:
        for name in re.findall(r"`([\w/]+/\w+\.py)`", page.read_text()):
            places = (REPOSITORY / name, REPOSITORY / "promotion_assets" / name)
            assert any(place.exists() for place in places), f"{page.name}: {name}"
