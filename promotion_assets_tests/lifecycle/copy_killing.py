"""Kill copies at every point, between real MLflow servers, and go on with them.

Run as a process of its own, which speaks to no server itself: it forks a child for every copy and
for every look at what became of it. Points are the copy's own (before and after each step) and
one before each call that writes to the target.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.lifecycle.copy_values import COPY_TAG
from promotion_assets.lifecycle.copying import STEPS
from promotion_assets.pipeline.copying import Order, copy_to
from promotion_assets.pipeline.workspace import Workspace

WRITES = (
    "create_run",
    "create_logged_model",
    "log_inputs",
    "log_batch",
    "log_text",
    "log_outputs",
    "set_terminated",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_artifacts",
    "create_registered_model",
    "create_model_version",
)


class Points:
    """Counts the points that a copy passes, and kills the process at one of them."""

    def __init__(self, kill_at: str | None = None, log: Path | None = None) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at
        self._log = log

    def reach(self, name: str) -> None:
        """Pass a point, or die there; the same name again is another point."""
        name = f"{name} {self.names.count(name)}" if name in self.names else name
        self.names.append(name)
        if name == self._kill_at:
            if self._log is not None:
                self._log.write_text(json.dumps(self.names))
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, target: MlflowCopyTarget) -> None:
        """Put a point before every call that writes."""
        for name in WRITES:
            self._before(target.client, name)

    def _before(self, client: Any, name: str) -> None:
        inner = getattr(client, name)

        def _outer(*args: Any, **kwargs: Any) -> Any:
            # Of two runs that are made, the second is the first that an attempt to go on makes.
            self.reach(f"{name} {args[3]}" if name == "create_run" else name)
            return inner(*args, **kwargs)

        setattr(client, name, _outer)


def copy_once(model: str, to: str, name: str, points: Points) -> None:
    """Copy version 1 under a name."""
    target = MlflowCopyTarget(to)
    points.watch(target)
    copy_to(Workspace.open(), target, Order(model, "1", to, name, "ana"), reach=points.reach)


def go_on(model: str, to: str, name: str) -> dict[str, Any]:
    """Go on with a copy that was killed; return what was there before and is there after."""
    workspace = Workspace.open()

    def _recorded() -> int:
        copies = workspace.ledger.state(model).copies.get("1", ())
        return sum(copy.target_model == name for copy in copies)

    before, points = _recorded(), Points()
    copy_once(model, to, name, points)
    client = MlflowCopyTarget(to).client
    versions = client.search_model_versions(f"name = '{name}'")
    tag = f"tags.`{COPY_TAG}` = '{versions[0].tags[COPY_TAG]}'"
    experiments = [e.experiment_id for e in client.search_experiments()]
    return {
        "recorded": [before, _recorded()],
        "versions": len(versions),
        "runs": len(client.search_runs(experiments, tag)),
        "models": len(client.search_logged_models(experiments, filter_string=tag)),
    }


def in_child(run: Callable[[], None]) -> int:
    """Run in a forked child; return how it ended."""
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def told(folder: Path, run: Callable[[], Any]) -> Any:
    """Run in a forked child and return what it gives, as JSON."""
    out = folder / "told.json"
    out.unlink(missing_ok=True)

    def _tell() -> None:
        out.write_text(json.dumps(run()))

    assert in_child(_tell) == 0
    return json.loads(out.read_text())


def one_after_the_other(folder: Path, model: str, to: str, names: list[str]) -> dict[str, int]:
    """Kill a copy at its first point, whatever goes on with it at the second, and so on."""
    resumed = with_work = 0
    log = folder / "passed.json"
    for at, point in enumerate(names):
        die(point, lambda point=point: copy_once(model, to, "often", Points(point, log)))
        passed: list[str] = json.loads(log.read_text())
        # Whoever finds the run that another attempt has made does not make it.
        resumed += at > 0 and not any(n.startswith("create_run training") for n in passed)
        # Nothing is recorded before the last point, so whoever goes on has something to do.
        with_work += "after ledger" not in passed
    check("each point in turn", told(folder, lambda: go_on(model, to, "often")), recorded=True)
    return {"kills": len(names), "with_work": with_work, "resumed": resumed}


def die(point: str, run: Callable[[], None]) -> None:
    """Run in a child that has to die at ``point``."""
    ended = in_child(run)
    assert ended == -signal.SIGKILL, f"it did not die at {point!r} but ended with {ended}"


def check(point: str, found: dict[str, Any], *, recorded: bool) -> None:
    """Check what must hold once a killed copy was gone on with."""
    expected = {"recorded": [int(recorded), 1], "versions": 1, "runs": 1, "models": 1}
    assert {k: found[k] for k in expected} == expected, f"killed at {point!r}: {found}"


def main(folder: Path, model: str, to: str, chosen: str) -> None:
    """Kill a copy at every chosen point, go on with it, and print the counts as a line of JSON."""

    def _dry() -> list[str]:
        points = Points()
        copy_once(model, to, "whole", points)
        return points.names

    names: list[str] = told(folder, _dry)
    named = [f"{side} {step}" for step in STEPS for side in ("before", "after")]
    assert set(named) <= set(names)
    points = names if chosen == "points" else named
    counted = one_after_the_other(folder, model, to, points)
    print(json.dumps({"named": len(named), "points": len(points), **counted}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
