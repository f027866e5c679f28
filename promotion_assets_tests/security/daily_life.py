"""A day on a platform where much goes wrong, with every library telling all that it does.

Run as ``python -m promotion_assets_tests.security.daily_life FOLDER``, with secrets in the
environment; writes what it says to standard output and error, and to ``debug.log``.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path

GOOD_DAY = (
    "doctor",
    "evaluate small 2",
    "promote small 2 --to Production --reason because",
    "status nothing",
    "review list",
    "review show small 2",
    "webhook test mail",
    "webhook deliver",
    "audit export small 2 --output bundle.zip",
    "outcomes status small",
)
BAD_DAY = (
    "doctor",
    "evaluate small 2",
    "copy small 1 --to http://planted-target-user:planted-target-word@127.0.0.1:9",
)
NO_DATABASE = ("status", "doctor", "webhook deliver")


def say(line: str) -> None:
    """Do one command as a shell would, and whatever it ends in."""
    from promotion_assets.cli import _run

    sys.argv = ["promotion", *line.split()]
    print("$ promotion", line.split()[0], flush=True)
    try:
        print("exit", _run(), flush=True)
    except BaseException as error:
        traceback.print_exc()
        print("ended by", type(error).__name__, flush=True)


def run_in_dagster(version: str) -> None:
    """Judge a version as the daemon's run would, and keep the run in Dagster's database."""
    import dagster as dg

    from promotion_assets.defs.factory import promotion_definitions
    from promotion_assets.pipeline.workspace import Workspace

    workspace = Workspace.open()
    made = promotion_definitions(workspace.policy, config=workspace.config, home=workspace.home)
    jobs = made.resolve_all_job_defs()
    job = next(j for j in jobs if j.tags.get("promotion/job") == "evaluate")
    partitions = job.partitions_def
    assert isinstance(partitions, dg.DynamicPartitionsDefinition)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(partitions.name), [version])
        done = job.execute_in_process(
            instance=instance, partition_key=version, raise_on_error=False
        )
        print("dagster", done.success, flush=True)


def serve() -> None:
    """Open the server in this process; what it raises is logged."""
    from promotion_assets.pipeline.serving import server_app
    from promotion_assets.pipeline.workspace import Workspace

    try:
        server_app(Workspace.open(), "small")
    except Exception:
        logging.getLogger("daily life").exception("serving")


def main() -> None:
    """Live through a good day, one without MLflow, and one without a database."""
    logging.basicConfig(
        level=logging.DEBUG,
        handlers=[logging.StreamHandler(), logging.FileHandler("debug.log")],
        format="%(name)s %(levelname)s %(message)s",
    )
    for line in GOOD_DAY:
        say(line)
    serve()
    run_in_dagster("1")
    os.environ["MLFLOW_TRACKING_URI"] = os.environ["BAD_MLFLOW"]
    for line in BAD_DAY:
        say(line)
    run_in_dagster("2")
    os.environ["PROMOTION_DATABASE_URL"] = os.environ["BAD_DATABASE"]
    for line in NO_DATABASE:
        say(line)
    serve()


if __name__ == "__main__":
    os.chdir(Path(sys.argv[1]))
    main()
