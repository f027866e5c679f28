"""Follows a guide: runs its shell blocks in order, in one folder, as a reader would.

In a guide

- a fenced block ``shell`` is run by bash, which stops at the first command that fails; folder and
  exported variables are kept for the next block;
- a fenced block ``text`` right after it shows what matters of its output: each line must come in
  this order, blanks count once, and ``…`` stands for anything;
- a comment ``<!-- exit: 1 -->`` before a block says with what it must end;
- ``<!-- serves: URL -->`` says that it runs until it is stopped: the address must answer then;
- ``<!-- elsewhere: FILE -->`` says that a test in that file runs it, because it takes minutes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promotion_assets.demo.services import free_port

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>\w+): (?P<value>.*?) -->\n)?"
    r"^```(?P<kind>\w*)\n(?P<text>.*?)^```$"
    r"(?:\n+^```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Block:
    """A block of a guide.

    Attributes:
        line: where it begins.
        output: the lines that its output must have, if the guide shows any.
        mark, value: of the comment before it.
    """

    line: int
    text: str
    output: tuple[str, ...]
    mark: str
    value: str

    @property
    def exit_code(self) -> int:
        """What it must end with."""
        return int(self.value) if self.mark == "exit" else 0


@dataclass(frozen=True)
class Ran:
    """What a block has done."""

    block: Block
    output: str
    seconds: float


def blocks(guide: Path) -> list[Block]:
    """Return the shell blocks of a guide, in order."""
    text = guide.read_text(encoding="utf-8")
    return [
        Block(
            line=text[: found.start("text")].count("\n") + 1,
            text=found["text"],
            output=tuple((found["output"] or "").splitlines()),
            mark=found["mark"] or "",
            value=found["value"] or "",
        )
        for found in BLOCK.finditer(text)
        if found["kind"] == "shell"
    ]


def missing_lines(shown: tuple[str, ...], printed: str) -> list[str]:
    """Return the lines of ``shown`` that ``printed`` does not have, in their order."""
    rest = _one_blank(printed)
    missing = []
    for line in filter(None, map(_one_blank, shown)):
        pattern = ".*?".join(re.escape(part) for part in re.split(r"\s*…\s*", line))
        found = re.search(pattern, rest, re.DOTALL)
        if found is None:
            missing.append(line)
        else:
            rest = rest[found.end() :]
    return missing


def follow(guide: Path, folder: Path, environ: Mapping[str, str]) -> list[Ran]:
    """Run the shell blocks of ``guide`` in ``folder``; fail with what a reader would see."""
    ran: list[Ran] = []
    state = folder.parent / f"{folder.name}.state"
    state.write_text(f"cd {folder}\n")
    for block in blocks(guide):
        where = f"{guide.name}, line {block.line}"
        if block.mark == "elsewhere":
            assert (REPOSITORY / block.value).is_file(), f"{where}: {block.value} is not there"
            continue
        began = time.monotonic()
        if block.mark == "serves":
            output = _serve(block, state, environ, where)
        else:
            output = _run(block, state, environ, where)
        missing = missing_lines(block.output, output)
        assert not missing, f"{where}: not printed: {missing}\n{output}"
        ran.append(Ran(block, output, time.monotonic() - began))
    return ran


def guide_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Return a fresh shell's environment, with the virtual environment active."""
    kept = {k: v for k, v in outer.items() if not k.startswith(("PROMOTION_", "MLFLOW_", "DAG"))}
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{kept.get('PATH', '')}"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "NO_COLOR": "1", "COLUMNS": "160"}
    return {**kept, **quiet, "PATH": path, "OMP_NUM_THREADS": "1"}


def _script(block: Block, state: Path) -> str:
    # What a block exports, and where it goes, is there for the next one.
    return f"""
keep() {{ code=$?; {{ export -p; printf 'cd %q\\n' "$PWD"; }} > '{state}'; exit $code; }}
. '{state}'
set -e
trap keep EXIT
{block.text}"""


def _run(block: Block, state: Path, environ: Mapping[str, str], where: str) -> str:
    done = subprocess.run(
        ["bash", "-c", _script(block, state)],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == block.exit_code, f"{where}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def _serve(block: Block, state: Path, environ: Mapping[str, str], where: str) -> str:
    asked = re.search(r":(\d+)", block.value)
    assert asked, f"{where}: {block.value} has no port"
    port = str(free_port())
    assert asked[1] in block.text, f"{where}: the port {asked[1]} is not in the command"
    log = state.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", f". {state}\nexec {block.text.replace(asked[1], port)}"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _answer(block.value.replace(asked[1], port), process, log, where)
    finally:
        # What it has started ends with it, as with Ctrl-C.
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)


def _answer(url: str, process: subprocess.Popen[bytes], log: Path, where: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=30) as answer:
            return str(answer.read().decode())
        time.sleep(0.25)
    raise AssertionError(f"{where}: {url} does not answer\n{log.read_text(errors='replace')}")


def _one_blank(text: str) -> str:
    return " ".join(text.split())
