"""Shells complete commands, options, models and versions, fast, and never print an error."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from promotion_assets_tests.cli.homes import make_home
from promotion_assets_tests.cli.terminals import environment
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.registries import SCRIPTS

PROMOTION = str(SCRIPTS / "promotion")
SHELLS = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with judged versions, and a registry that has one more."""
    made = make_home(tmp_path_factory.mktemp("completion"))
    made.world.close()
    with closing(sqlite3.connect(made.folder / "mlflow.db")) as registry, registry:
        registry.execute("CREATE TABLE model_versions (name TEXT, version INTEGER)")
        registry.execute("INSERT INTO model_versions VALUES (?, 11)", (MODEL,))
    return made.folder


def asked(folder: Path, line: str, **more: str) -> tuple[list[str], str, float]:
    """Return what is offered where ``line`` ends, what is on stderr, and the CPU seconds."""
    words = line.split(" ")
    before = os.times()
    said = subprocess.run(
        [PROMOTION],
        cwd=folder,
        env=environment(
            _PROMOTION_COMPLETE="bash_complete",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1),
            **more,
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after = os.times()
    spent = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    assert said.returncode == 0
    offered = [one.partition(",")[2] for one in said.stdout.splitlines() if one]
    return offered, said.stderr, spent


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("promotion sta", ["status"]),
        ("promotion rollout p", ["pause"]),
        ("promotion status --j", ["--json"]),
        ("promotion status cred", [MODEL]),
        (f"promotion evaluate {MODEL} ", ["11", "4", "3", "2", "1"]),
        (f"promotion evaluate {MODEL} 4 1", ["11", "1"]),
        (f"promotion explain {MODEL} 1", ["11", "1"]),
        (f"promotion rollback {MODEL} --segment E", ["EU"]),
        ("promotion promote x 1 --to pro", ["production"]),
        ("promotion explain no-such-model ", []),
    ],
)
def test_what_is_offered(folder: Path, line: str, offered: list[str]) -> None:
    """Names come from the policy, versions from ledger and registry, the newest first."""
    found, complaint, _ = asked(folder, line)
    assert found == offered
    assert complaint == ""


def test_nothing_is_offered_and_nothing_said_where_parts_are_missing_or_broken(
    folder: Path, tmp_path: Path
) -> None:
    """No policy, a broken one, a ledger that is no database, a server as database."""
    assert asked(tmp_path, "promotion status ")[:2] == ([], "")
    (tmp_path / "promotion.yaml").write_text("models: [")
    assert asked(tmp_path, "promotion status ")[:2] == ([], "")
    (tmp_path / "promotion.yaml").write_text("models: {m: {}}")
    (tmp_path / ".promotion").mkdir()
    (tmp_path / ".promotion" / "ledger.db").write_text("no database")
    assert asked(tmp_path, "promotion explain m ")[:2] == ([], "")
    there = {"PROMOTION_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/x"}
    assert asked(folder, f"promotion explain {MODEL} ", **there)[:2] == (["11"], "")


def test_an_answer_comes_at_once(folder: Path) -> None:
    """Less than 0.3 s of this machine's time, so no library that takes longer is imported."""
    line = f"promotion evaluate {MODEL} "
    assert min(asked(folder, line)[2] for _ in range(3)) < 0.3
    heavy = ["pydantic", "sqlalchemy", "mlflow", "dagster", "pandas", "numpy"]
    said = subprocess.run(
        [sys.executable, "-X", "importtime", PROMOTION],
        cwd=folder,
        env=environment(_PROMOTION_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD="3"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert not imported & set(heavy)


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_one_that_the_shell_understands(folder: Path, shell: str) -> None:
    """``promotion completion`` prints it without reading a policy."""
    script = subprocess.run(
        [PROMOTION, "completion", shell],
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert script.stderr == ""
    checked = subprocess.run(
        [shell, "-n"], input=script.stdout, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


ASK = {
    "bash": """
        eval "$(promotion completion bash)"
        COMP_WORDS=(promotion explain {model} ""); COMP_CWORD=3
        _promotion_completion promotion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        compdef() {{ :; }}
        compadd() {{ :; }}
        _describe() {{ print -l -- ${{(P)3}}; }}
        eval "$(promotion completion zsh)"
        words=(promotion explain {model} ""); CURRENT=4
        compadd() {{ while [[ $# -gt 0 && $1 != -a ]]; do shift; done; print -l -- ${{(P)2}}; }}
        _promotion_completion
    """,
    "fish": """
        promotion completion fish | source
        complete -C "promotion explain {model} "
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_versions(folder: Path, shell: str) -> None:
    """With the script loaded, the shell's own function offers the ledger's versions."""
    said = subprocess.run(
        [shell, "-c", ASK[shell].format(model=MODEL)],
        cwd=folder,
        env=environment(
            PATH=f"{SCRIPTS}:{os.environ['PATH']}", HOME=str(folder), XDG_CONFIG_HOME=str(folder)
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.stderr == ""
    assert set(said.stdout.split()) == {"11", "4", "3", "2", "1"}


def test_bash_is_among_the_shells() -> None:
    """So that the tests above were not run on nothing."""
    assert "bash" in SHELLS
