"""``make fuzz``: every target for a time, a table, and exit code 1 where one finds something.

``python -m promotion_assets_tests.fuzz [TARGET …] [--seconds 60] [--keep .fuzz]``
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from promotion_assets_tests.fuzz.guided import MARK
from promotion_assets_tests.fuzz.targets import NAMES

# Starting a target, and whatever libFuzzer does at its end.
MARGIN_SECONDS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where finds are kept")
    asked = parser.parse_args(arguments)
    unknown = set(asked.targets) - set(NAMES)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    console = Console()
    results = []
    for name in asked.targets or NAMES:
        with console.status(f"{name}, for {asked.seconds:g} s"):
            results.append(run_target(name, asked.seconds, asked.keep))
    console.print(table(results))
    finds = [(r["target"], place, kept) for r in results for place, kept in r["finds"].items()]
    for target, place, kept in finds:
        console.print(f"[bold red]{target}[/]: {place}; input kept as {asked.keep / kept}")
    return 1 if finds else 0


def run_target(name: str, seconds: float, keep: Path) -> dict[str, Any]:
    """Run one target in a process of its own; one that dies is a find as well."""
    command = [sys.executable, "-m", "promotion_assets_tests.fuzz.guided", name, str(seconds)]
    # Two threads of OpenMP that wait for each other on a busy host would look like a hang.
    environ = os.environ | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    keep.mkdir(parents=True, exist_ok=True)
    log = keep / f"{name}.log"
    with log.open("w") as said:
        try:
            done = subprocess.run(
                [*command, str(keep)],
                stdout=said,
                stderr=subprocess.STDOUT,
                env=environ,
                check=False,
                timeout=seconds + MARGIN_SECONDS,
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    found: dict[str, Any] = (
        json.loads(lines[-1].removeprefix(MARK))
        if lines
        else {"target": name, "inputs": 0, "seconds": seconds, "slowest": 0, "finds": {}}
    )
    edges = re.findall(r"\bcov: (\d+)", text)
    found["edges"] = int(edges[-1]) if edges else None
    if code != 0:
        found["finds"][f"its process ended with {code}, see {log.name}"] = log.name
    elif not found["finds"]:
        log.unlink()
    return found


def table(results: Sequence[dict[str, Any]]) -> Table:
    """Return what came of each target."""
    shown = Table(title="fuzz", box=None, pad_edge=False)
    shown.add_column("target")
    for name in ("inputs", "inputs/s", "edges", "slowest input", "peak memory", "finds"):
        shown.add_column(name, justify="right")
    for r in results:
        shown.add_row(
            r["target"],
            f"{r['inputs']:,}",
            f"{r['inputs'] / max(r['seconds'], 1e-9):,.0f}",
            "random" if r["edges"] is None else f"{r['edges']:,}",
            f"{r['slowest'] * 1000:,.0f} ms",
            f"{r.get('peak_mib', 0):,} MiB",
            str(len(r["finds"])),
        )
    return shown


if __name__ == "__main__":
    sys.exit(main())
