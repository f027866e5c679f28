"""Mutants of the domain code: which faults of one token would no test notice?

``python -m promotion_assets_tests.mutants decide --sample 100`` copies the tree, lets mutmut make
every mutant of one part, draws a sample by a fixed seed, runs only that part's tests against each
one, prints those that survived, and how many there are with their interval. Mutants that change
nothing but the wording of a text are no part of the population: tests hold what a message names,
not how it is spelt.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promotion_assets.statistics.intervals import wilson

ROOT = Path(__file__).parents[1]
# What mutmut's workers end with; anything else is a death that a test has caused.
SURVIVED, NOT_REACHED, NOT_RUN = 0, 33, None


@dataclass(frozen=True)
class Part:
    """Source files to mutate, as patterns below the package, and the tests that must notice."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


def _files(form: str, names: str) -> tuple[str, ...]:
    return tuple(form.format(name) for name in names.split())


PARTS = {
    "decide": Part(
        ("rollout/decide.py",), ("rollout/test_decide.py", "rollout/test_decide_limits.py")
    ),
    "lifecycle": Part(
        _files(
            "lifecycle/{}.py",
            "champions deviations fold intents mirror promotion reconcile rollback rollouts"
            " stages traffic transitions",
        ),
        _files(
            "lifecycle/test_{}.py",
            "deviations folding promotion reconcile refusals rollback transitions",
        ),
    ),
    "audit": Part(
        _files("audit/{}.py", "bundle_verify checkpoint entries ledger merkle note verify"),
        _files(
            "audit/test_{}.py",
            "bundle bundle_parts checkpoint entries golden keys ledger_store merkle tampering",
        ),
    ),
    "gates": Part(("gates/*.py",), ("gates",)),
    "statistics": Part(("statistics/*.py",), ("statistics",)),
}


def main(arguments: list[str] | None = None) -> int:
    """Mutate one part in a copy of the tree; 1 where a mutant survived."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--sample", type=int, default=0, help="mutants to draw; 0 for all")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--only", default="", help="only mutants whose name holds this text")
    parser.add_argument("--keep", type=Path, help="directory to work in, and to leave behind")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="promotion-mutants-") as scratch:
        home = given.keep or Path(scratch)
        _copy(home, PARTS[given.part])
        _in(home, "-c", "from mutmut.__main__ import create_mutants; create_mutants(1)")
        known = {name: said for name, said in _mutants(home) if given.only in name}
        names = sorted(known)
        if given.sample and given.sample < len(names):
            names = sorted(random.Random(given.seed).sample(names, given.sample))
        _in(home, "-m", "mutmut", "run", "--max-children", "1", *names)
        ended = dict(_ended(home))
    survivors = [name for name in names if ended.get(name) in (SURVIVED, NOT_REACHED, NOT_RUN)]
    for name in survivors:
        print(f"\n{name}{' (no test reaches it)' if ended.get(name) else ''}\n{known[name]}")
    rate = wilson(len(survivors), len(names))
    print(
        f"\n{given.part}: {len(names)} of {len(known)} mutants tried (seed {given.seed}), "
        f"{len(names) - len(survivors)} killed, {len(survivors)} survived: "
        f"{len(survivors) / len(names):.1%} ({rate.low:.1%} to {rate.high:.1%} at 95 %)"
    )
    return 1 if survivors else 0


def _copy(home: Path, part: Part) -> None:
    """Copy what git knows, and tell mutmut what to mutate and which tests to run."""
    home.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    beside = [
        path.name for path in home.iterdir() if path.name not in ("promotion_assets", "mutants")
    ]
    tests = [f"promotion_assets_tests/{name}" for name in part.tests]
    missing = [name for name in tests if not (home / name).exists()]
    if missing:
        raise SystemExit(f"no such tests: {', '.join(missing)}; correct PARTS")
    settings = {
        "source_paths": ["promotion_assets"],
        "only_mutate": [f"promotion_assets/{pattern}" for pattern in part.sources],
        "also_copy": beside,
        "pytest_add_cli_args": ["-p", "no:randomly", "-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": tests,
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    with (home / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mutmut]\n")
        file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def _in(home: Path, *command: str) -> None:
    log = home / "mutmut.log"
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, *command], cwd=home, stdout=file, stderr=file, check=False
        )
    if done.returncode:
        said = log.read_text(errors="replace").replace("\r", "\n")[-4000:]
        raise SystemExit(f"mutmut ended with {done.returncode}:\n{said}")


def _ended(home: Path) -> Iterator[tuple[str, int | None]]:
    for meta in sorted((home / "mutants").rglob("*.meta")):
        yield from json.loads(meta.read_text())["exit_code_by_key"].items()


def _mutants(home: Path) -> Iterator[tuple[str, str]]:
    """Name every mutant that is more than another wording, with what it changes."""
    for meta in sorted((home / "mutants").rglob("*.meta")):
        source = meta.with_suffix("").read_text()
        lines = source.splitlines()
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef)
        }
        for name in json.loads(meta.read_text())["exit_code_by_key"]:
            mutant = functions[name.rpartition(".")[2]]
            original = functions[mutant.name.rpartition("__mutmut_")[0] + "__mutmut_orig"]
            if _shape(mutant) == _shape(original):
                continue
            before, after = (lines[node.lineno : node.end_lineno] for node in (original, mutant))
            changed = difflib.unified_diff(before, after, n=0, lineterm="")
            yield name, "\n".join(line for line in changed if line[:2] not in ("--", "++", "@@"))


def _shape(function: ast.FunctionDef) -> str:
    """Return the function's syntax without its name and with every prose alike.

    A text with a space in it is prose; one without is a word that code compares.
    """
    body = ast.parse("\n".join(ast.unparse(node) for node in function.body))
    for node in ast.walk(body):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            node.value = " "
    return ast.dump(body)


if __name__ == "__main__":
    sys.exit(main())
