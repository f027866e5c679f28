"""Guides are followed as a stranger would: every command runs and prints what the guide shows."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from promotion_assets_tests.guides.runner import (
    REPOSITORY,
    blocks,
    follow,
    guide_environment,
    missing_lines,
)

OWN_MODEL = REPOSITORY / "docs" / "your-own-model.md"
TEN_MINUTES = 600.0


def test_own_model_guide_is_followed_in_under_ten_minutes(tmp_path: Path) -> None:
    """From an empty folder to verdicts on a model of one's own, by the guide's commands alone."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    before = _processor_seconds()
    ran = follow(OWN_MODEL, folder, guide_environment(os.environ))
    used = _processor_seconds() - before
    total = sum(step.seconds for step in ran)
    commands = sum(_commands(step.block.text) for step in ran)
    print(
        f"\n{OWN_MODEL.name}: {len(ran)} steps, {commands} commands, "
        f"{total:.0f} s in all, of the processor {used:.0f} s"
    )
    for step in ran:
        print(f"  line {step.block.line}: {step.seconds:.1f} s")
    # A host that does ten things at once must not fail a guide, so it is the processor's time.
    assert used < TEN_MINUTES
    assert (folder / "churn" / ".promotion" / "ledger.db").is_file()


def test_runner_stops_at_a_command_that_fails(tmp_path: Path) -> None:
    """A guide whose command ends with another code than it says is not taken for true."""
    guide = tmp_path / "guide.md"
    guide.write_text("```shell\nexport A=1\n```\n\n```shell\ntest $A = 2\necho never\n```\n")
    with pytest.raises(AssertionError, match=r"guide\.md, line 6: exit 1"):
        follow(guide, tmp_path, guide_environment(os.environ))
    guide.write_text("<!-- exit: 3 -->\n```shell\nexit 3\n```\n\n```text\n```\n")
    assert [step.block.exit_code for step in follow(guide, tmp_path, dict(os.environ))] == [3]


def test_runner_holds_output_against_what_is_shown(tmp_path: Path) -> None:
    """Lines must be there, in order; blanks count once, and … stands for anything."""
    assert missing_lines(("a  b", "c … e"), "x\na b\nc d e\n") == []
    assert missing_lines(("c d e", "a b"), "a b\nc d e\n") == ["a b"]
    assert missing_lines(("a … z",), "a b c") == ["a … z"]
    guide = tmp_path / "guide.md"
    guide.write_text("```shell\ncd /\necho one\n```\n\n```text\ntwo\n```\n")
    (found,) = blocks(guide)
    assert found.output == ("two",)
    with pytest.raises(AssertionError, match="not printed"):
        follow(guide, tmp_path, dict(os.environ))


def _processor_seconds() -> float:
    """The time that all ended children of this process have computed."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _commands(text: str) -> int:
    """Count the commands of a block; what is written into a file is none."""
    inside, count = False, 0
    for line in text.splitlines():
        if inside:
            inside = line != "EOF"
            continue
        inside = line.endswith("<<'EOF'")
        count += not inside and bool(line.strip())
    return count
