"""What is printed fits where it goes: colours, widths, few characters, and readers that leave."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from promotion_assets_tests.cli.homes import REASON, make_home
from promotion_assets_tests.cli.terminals import environment, promotion
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.registries import SCRIPTS

RED = ("\x1b[31m", "\x1b[1;31m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with versions that were rejected for long reasons."""
    made = make_home(tmp_path_factory.mktemp("terminal"))
    made.world.close()
    return made.folder


def piped(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``promotion`` with its output in pipes."""
    return subprocess.run(
        [str(SCRIPTS / "promotion"), *command],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("asked", "coloured"),
    [({}, True), ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False)],
)
def test_colours_in_a_terminal_unless_somebody_wants_none(
    folder: Path, asked: dict[str, str], coloured: bool
) -> None:
    """NO_COLOR outweighs all else, in tables and in errors."""
    for words in (["status"], ["status", "credit-rsk"]):
        with promotion(folder, *words, **asked) as terminal:
            terminal.end()
            assert any(red in terminal.written for red in RED) is coloured, terminal.written


@pytest.mark.parametrize(("asked", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
def test_no_colours_in_pipes_unless_somebody_forces_them(
    folder: Path, asked: dict[str, str], coloured: bool
) -> None:
    """A log is free of escapes; a CI that shows colours can have them."""
    assert (b"\x1b[" in piped(folder, "status", **asked).stdout) is coloured
    assert (b"\x1b[" in piped(folder, "status", "credit-rsk", **asked).stderr) is coloured


@pytest.mark.parametrize("columns", [40, 80])
def test_nothing_is_cut_off_however_narrow_the_terminal(folder: Path, columns: int) -> None:
    """Versions stand whole, reasons are folded, no line is longer than the terminal."""
    with promotion(folder, "status", columns=columns) as terminal:
        assert terminal.end() == 0
        lines = terminal.plain.splitlines()
    # The first line names the model and its champion, and is not folded by us.
    assert max(map(len, lines[1:])) <= columns
    said = "".join(" ".join(lines).replace("│", " ").split())
    for number in ("2", "3"):
        assert number in said
    assert said.count("".join(["accuracy,", "fairness"])) == 2
    assert "…" not in said
    assert said.count("forth") == REASON.count("forth") * 2


def test_a_row_is_a_line_in_a_pipe(folder: Path) -> None:
    """So that grep finds a version with its whole reason."""
    lines = piped(folder, "status").stdout.decode().splitlines()
    (found,) = [line for line in lines if line.startswith("3 ")]
    assert found.endswith(REASON)


def test_few_characters_are_enough(folder: Path) -> None:
    """An arrow becomes ->, JSON stays JSON, and nothing ends in an exception."""
    coding = "ascii"
    said = piped(folder, "rollout", "status", PYTHONIOENCODING=coding)
    assert said.returncode == 0, said.stderr
    assert ": 0 % of 5 % -> 25 % ->" in said.stdout.decode(coding)
    found = piped(folder, "rollout", "status", "--json", PYTHONIOENCODING=coding)
    assert json.loads(found.stdout.decode("ascii"))["rollouts"][0]["model"] == MODEL
    odd = piped(folder, "status", "größe…", PYTHONIOENCODING=coding)
    assert odd.returncode == 2
    assert b"Traceback" not in odd.stderr


def test_a_terminal_of_the_posix_locale_gets_what_it_can_show(folder: Path) -> None:
    """LANG=C without Python's UTF-8 mode."""
    poor = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with promotion(folder, "status", PYTHONIOENCODING="", **poor) as terminal:
        assert terminal.end() == 0
        assert terminal.written.isascii()


@pytest.mark.parametrize("words", [("status",), ("status", "--json")])
def test_a_reader_that_leaves_is_no_error(folder: Path, words: tuple[str, ...]) -> None:
    """``promotion status | head -0``: silent, and not 0, since not all was said."""
    program = subprocess.Popen(
        [str(SCRIPTS / "promotion"), *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.close()
    assert program.stderr is not None
    complaint = program.stderr.read()
    program.stderr.close()
    assert program.wait(timeout=120) == 141
    assert complaint == b""


def test_debug_shows_the_traceback_and_nothing_else_does(folder: Path) -> None:
    """For maintainers, by an option or by the environment."""
    plain = piped(folder, "status", "credit-rsk")
    assert b"Traceback" not in plain.stderr
    assert b"did you mean 'credit-risk'" in plain.stderr
    for said in (
        piped(folder, "--debug", "status", "credit-rsk"),
        piped(folder, "status", "credit-rsk", PROMOTION_DEBUG="1"),
    ):
        assert said.returncode == 2
        assert b"Traceback" in said.stderr
        assert said.stderr.decode().endswith(plain.stderr.decode())
