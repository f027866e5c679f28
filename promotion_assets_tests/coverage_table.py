"""Branch coverage of the domain code, package by package, by the tests of the domain's folders.

``python -m promotion_assets_tests.coverage_table`` runs the tests folder by folder, each in a
process of its own, and ends with 1 where fewer than 95 % of all branches were taken both ways.
Tests that kill processes or hold several of them against each other are left out: a killed
process writes down nothing, and what they show is no line of code. Processes that tests start
are measured, those that they become or fork too. What runs in a sandbox with an empty environment
is not seen, and tested in the tests' own environment too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "policy",
    "statistics",
    "evaluation",
    "gates",
    "decision",
    "serving",
    "rollout",
    "lifecycle",
    "audit",
    "review",
    "notification",
)
LEFT_OUT = (
    "lifecycle/test_kill.py",
    "lifecycle/test_race.py",
    "rollout/test_simulation.py",
    "statistics/test_sequential_oracles.py",
)
# Holds a duration against a limit, which measuring lengthens.
TIMED = ("serving/test_tracing.py::test_what_is_not_sampled_costs_next_to_nothing",)
# What a package refuses to strangers is tested beside the other attacks.
ALSO = {"serving": ("security/test_outcome_access.py",)}
GOAL = 95.0
COUNTED = (
    "num_statements",
    "covered_lines",
    "missing_lines",
    "num_branches",
    "covered_branches",
    "missing_branches",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests under coverage and print the table; 1 below the goal, or where a test fails."""
    parser = argparse.ArgumentParser(prog="coverage_table", description=__doc__)
    parser.add_argument("packages", nargs="*", help="only these; all where not given")
    parser.add_argument("--missing", action="store_true", help="name the lines and branches")
    given = parser.parse_args(arguments)
    chosen = tuple(given.packages) or PACKAGES
    if unknown := sorted(set(chosen) - set(PACKAGES)):
        parser.error(f"no packages of the domain: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="promotion-coverage-") as scratch:
        environment = {**os.environ, "COVERAGE_FILE": str(Path(scratch) / "data")}
        failed = [name for name in chosen if _run(name, environment)]
        _coverage(["combine", "--quiet"], environment)
        report = Path(scratch) / "report.json"
        _coverage(["json", "--quiet", "-o", str(report), "--fail-under=0"], environment)
        if given.missing:
            include = ",".join(f"promotion_assets/{name}/*" for name in chosen)
            wanted = ["report", "-m", "--skip-covered", "--fail-under=0", f"--include={include}"]
            _coverage(wanted, environment)
        reached = _print(json.loads(report.read_text()), chosen)
    for name in failed:
        print(f"the tests of {name} failed")
    return 1 if failed or reached < GOAL else 0


def _run(package: str, environment: dict[str, str]) -> int:
    tests = "promotion_assets_tests"
    ignored = [f"--ignore={tests}/{name}" for name in LEFT_OUT]
    timed = [f"--deselect={tests}/{name}" for name in TIMED]
    chosen = [f"{tests}/{name}" for name in (package, *ALSO.get(package, ()))]
    command = ["run", "-m", "pytest", "-q", *ignored, *timed, *chosen]
    return subprocess.run(
        [sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=False
    ).returncode


def _coverage(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "coverage", *command], cwd=ROOT, env=environment, check=True
    )


def _print(report: dict[str, dict[str, dict[str, dict[str, int]]]], chosen: Sequence[str]) -> float:
    """Print a row a package; return the share of branches taken in all of them, in per cent."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, found in report["files"].items():
        package = Path(name).parts[1]
        if package in chosen:
            for key in COUNTED:
                sums[package][key] += found["summary"][key]
                sums["in total"][key] += found["summary"][key]
    table = Table("package", *("lines", "missed", "branches", "missed", "lines %", "branches %"))
    for name in (*chosen, "in total"):
        told = sums[name]
        table.add_row(
            name,
            f"{told['num_statements']:,}",
            f"{told['missing_lines']:,}",
            f"{told['num_branches']:,}",
            f"{told['missing_branches']:,}",
            f"{_share(told['covered_lines'], told['num_statements']):.1f}",
            f"{_share(told['covered_branches'], told['num_branches']):.1f}",
        )
    Console().print(table)
    return _share(sums["in total"]["covered_branches"], sums["in total"]["num_branches"])


def _share(covered: int, of: int) -> float:
    return 100 * covered / of if of else 0.0


if __name__ == "__main__":
    sys.exit(main())
