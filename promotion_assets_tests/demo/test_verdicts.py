"""The demo from end to end: nine versions, nine verdicts, each for its reason."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.versions import MODEL, VERSIONS, Version
from promotion_assets_tests.demo.conftest import PROMOTION, Judged, environment, promotion

HIGH_SCHOOL = "education=3 (high school)"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"v{v.number}")
def test_each_version_is_stopped_by_the_gate_meant_for_it(judged: Judged, version: Version) -> None:
    """The sound versions pass; every other one is stopped by one gate, whose reason is given."""
    found = judged.version(version.number)
    if version.deciding_gate is None:
        assert found["verdict"] == "approved"
        assert found["deciding_gates"] == []
    else:
        assert found["verdict"] == "rejected"
        assert found["deciding_gates"] == [version.deciding_gate]
        assert version.deciding_gate in found["reason"]
        assert found["stage"] == "None"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (3, rf"{re.escape(HIGH_SCHOOL)}.*a drop of 0\.08"),
        (4, r"p95 of one row .* limit is at most 50 ms"),
        (5, r"PSI of LIMIT_BAL"),
        (6, r"LIMIT_BAL is delivered as double and declared as long"),
        (7, r"no signature"),
        (8, r"posix\.system"),
        (9, r"logged roc_auc 0\.91.*measured roc_auc is 0\.7"),
    ],
)
def test_reason_names_what_is_wrong(judged: Judged, number: int, words: str) -> None:
    """The reason in the status says what was seen, not only which gate saw it."""
    assert re.search(words, judged.version(number)["reason"])


def test_table_has_a_row_for_each_version(judged: Judged) -> None:
    """The printed table names version, verdict and deciding gate nine times, in order."""
    table = judged.output[judged.output.index("what may go to Staging") :]
    for version in VERSIONS:
        gate = version.deciding_gate or "none"
        verdict = "rejected" if version.deciding_gate else "approved"
        assert re.search(rf"{version.number} {version.title} *│ {verdict} *│ {gate} ", table)


def test_champion_was_adopted_and_challenger_is_in_staging(judged: Judged) -> None:
    """Version 1 holds Production by adoption; version 2 went to Staging by its decision."""
    (model,) = judged.status["models"]
    assert model["champions"] == {"default": "1"}
    assert judged.version(1)["stage"] == "Production"
    assert judged.version(2)["stage"] == "Staging"
    explained = json.loads(promotion(judged.home, "explain", MODEL, "1", "--json").stdout)
    assert "serves since before the platform arrived" in json.dumps(explained["timeline"])


def test_incident_passes_every_gate_but_fairness(judged: Judged) -> None:
    """Version 3 is accurate, fast, undrifted, intact and fits the schema."""
    explained = json.loads(promotion(judged.home, "explain", MODEL, "3", "--json").stdout)
    outcomes = {check["gate"]: check["outcome"] for check in explained["checks"]}
    assert outcomes.pop("fairness") == "failed"
    assert set(outcomes.values()) == {"passed"}


def test_promotion_of_the_incident_is_refused(judged: Judged) -> None:
    """``promotion promote credit-risk 3 --to staging`` ends with 1 and says why."""
    refused = promotion(judged.home, "promote", MODEL, "3", "--to", "staging")
    assert refused.returncode == 1
    assert "fairness" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_promotion_to_production_says_what_is_missing(judged: Judged) -> None:
    """Version 2 is in Staging and nobody has approved it, so it stays there."""
    refused = promotion(judged.home, "promote", MODEL, "2", "--to", "production")
    assert refused.returncode == 1
    assert "approv" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_staging_alone_is_refused_for_the_incident(working_copy: DemoHome) -> None:
    """Materialising the staging asset by itself opens no way around the decision."""
    dagster = Path(sys.executable).with_name("dagster")
    ran = subprocess.run(
        [
            *(str(dagster), "asset", "materialize", "-m", "promotion_assets.definitions"),
            *("--select", f'key:"{MODEL}/staging"', "--partition", "3"),
        ],
        env=environment(working_copy),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ran.returncode != 0
    assert "fairness" in ran.stdout + ran.stderr
    status = json.loads(promotion(working_copy, "status", MODEL, "--json").stdout)
    stages = {v["version"]: v["stage"] for v in status["models"][0]["versions"]}
    assert stages["3"] == "None"


def test_payload_has_left_no_trace(judged: Judged) -> None:
    """What the malicious pickle would have created is nowhere below the demo's folder."""
    assert not judged.home.marker.exists()
    assert not list(judged.home.root.rglob(judged.home.marker.name))


def test_ledger_verifies(judged: Judged) -> None:
    """After nine evaluations, one adoption and one promotion the ledger is whole."""
    verified = promotion(judged.home, "audit", "verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["valid"] is True


def test_second_run_judges_nothing_again(judged: Judged) -> None:
    """Running the demo again gives the same table and adds nothing to the ledger."""
    before = entries(judged.home)
    again = subprocess.run(
        [PROMOTION, "demo", "--headless", "--directory", str(judged.home.root)],
        env=environment(judged.home),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert again.returncode == 0, again.stderr
    assert "nine versions are registered already" in again.stdout
    assert entries(judged.home) == before > 9
    tables = [
        output.partition("what may go to Staging")[2].partition("Shadowing")[0]
        for output in (judged.output, again.stdout)
    ]
    assert tables[0] == tables[1]
    assert "nothing was played again" in again.stdout


def entries(home: DemoHome) -> int:
    """Return the number of entries in the ledger's database."""
    with sqlite3.connect(home.state / "ledger.db") as database:
        (count,) = database.execute("SELECT count(*) FROM ledger_entries").fetchone()
    return int(count)
