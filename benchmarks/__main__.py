"""Run every job, print the table, and write ``results.json``.

A job fails where results differ from its peer's, not where a goal is missed: figures depend on
the machine, and the table says for each whether its goal was met here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measuring import Line
from promotion_assets.quiet import silence_telemetry

JOBS = (
    "auc", "groups", "drift", "expectations", "ledger", "watch", "evaluation",
    "large", "rollout", "rollback", "serving",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results.json"


def main(arguments: list[str]) -> int:
    """Run the jobs named, or all; return 1 if any result differs from its peer's.

    ``--rows N`` sets the size of the job that takes one (``large``).
    """
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--rows", type=int)
    asked = parser.parse_args(arguments)
    chosen: list[str] = asked.jobs
    sized = {"large": {"rows": asked.rows}} if asked.rows else {}
    silence_telemetry()
    lines: list[dict[str, Any]] = []
    differing: list[str] = []
    for job in chosen or JOBS:
        print(f"== {job}", flush=True)
        try:
            found = importlib.import_module(f"benchmarks.{job}").results(**sized.get(job, {}))
        except AssertionError as error:
            differing.append(job)
            print(f"   results differ: {error}")
            continue
        for line in found:
            as_json = line.to_json() if isinstance(line, Line) else line
            lines.append(as_json)
            print(_row(as_json), flush=True)
    RESULTS.write_text(json.dumps(lines, indent=1))
    print(f"{len(lines)} figures in {RESULTS}")
    return 1 if differing else 0


def _row(line: dict[str, Any]) -> str:
    met = {True: "met", False: "missed", None: ""}[line["met"]]
    goal = f"goal {line['goal']} {met}" if line["goal"] else ""
    peer = f"{line['peer']}: {line['peer_value']:.4g} s" if line["peer"] else ""
    if line["peer_value"] is not None and line["metric"] not in ("times faster", "times its time"):
        peer = f"{line['peer']}: {line['peer_value']:.4g}"
    return f"   {line['job']:<62} {line['value']:>12,.4g} {line['metric']:<24} {goal:<24} {peer}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
