"""Commands that only read what is recorded do not wait for libraries that judge models."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest

from promotion_assets.gates.catalogue import settings_models
from promotion_assets.lifecycle.events import ReviewRequested
from promotion_assets.lifecycle.promotion import promote
from promotion_assets.policy.load import load_policy
from promotion_assets_tests.cli.homes import Home, home
from promotion_assets_tests.ledgers import MODEL, evaluated, facts, request

__all__ = ["home"]

JUDGING = ("dagster", "fastapi", "great_expectations", "jinja2", "matplotlib", "mlflow", "sklearn")
NUMBERS = ("numpy", "pandas", "pyarrow", "scipy")
ALL = (*JUDGING, *NUMBERS)
# Gates, of which a policy names some, know numpy; answers of an event log are Arrow's, and Arrow
# asks pandas what it is given.
NOT_LOADED = {
    "status": ALL,
    f"explain {MODEL} 4": ALL,
    f"explain {MODEL} --at 2026-11-24": ALL,
    f"traffic history {MODEL}": ALL,
    f"traffic render {MODEL} --format istio": ALL,
    f"traffic show {MODEL}": (*JUDGING, "pandas", "scipy"),
    "review list": (*JUDGING, "pandas", "scipy"),
    "webhook list": (*JUDGING, "pandas", "scipy"),
    "rollout status": JUDGING,
}
LOADED = f"""
import sys
from promotion_assets.cli import main
try:
    main()
finally:
    import json
    print(json.dumps(sorted(set({ALL!r}) & set(sys.modules))), file=sys.stderr)
"""


@pytest.fixture
def busy(home: Home) -> Home:
    """A home with a rollout at its first share and a version that waits for reviewers."""
    home.world.tick()
    policy = load_policy(
        home.folder / "promotion.yaml", settings=settings_models, environ={}
    ).models[MODEL]
    ledger, clock = home.world.ledger, home.world.clock
    judged = evaluated("5", clock, policy_digest=policy.digest)
    ledger.append([judged])
    known = facts("5", policy_digest=policy.digest)
    promote(ledger, home.world.registry, request("5"), known, clock())
    asked = ReviewRequested(
        model=MODEL,
        version="5",
        request_id="r5",
        requested_at=clock(),
        expires_at=clock() + timedelta(days=3),
        assigned=("bo",),
        evidence={
            "decision": judged.decision_digest,
            "policy": policy.digest,
            "review": policy.review_digest,
        },
    )
    ledger.append([asked])
    return home


@pytest.mark.parametrize("command", list(NOT_LOADED))
def test_a_command_that_reads_loads_no_library_that_judges(busy: Home, command: str) -> None:
    """What a command does not need is not imported: an on-call person waits for every second."""
    done = run(busy, command)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stderr.splitlines()[-1])).isdisjoint(NOT_LOADED[command])


def test_what_is_looked_for_is_installed_and_seen_where_it_is_loaded(busy: Home) -> None:
    """A library that has another name by now would never be found, whoever loads it."""
    assert [name for name in ALL if importlib.util.find_spec(name) is None] == []
    done = run(busy, f"policy power {MODEL}")
    assert {"numpy", "pandas"} <= set(json.loads(done.stderr.splitlines()[-1]))


def test_the_review_that_waits_is_in_the_list(busy: Home) -> None:
    """The list is short of nothing because it was quick."""
    found = json.loads(run(busy, "review list --json").stdout)
    assert [(one["version"], one["assigned"]) for one in found["requests"]] == [("5", ["bo"])]
    assert found["problems"] == []


def run(home: Home, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own that says last which of the libraries it has loaded."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-c", LOADED, *command.split()],
        cwd=home.folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
