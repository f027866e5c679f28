"""The doctor finds what is wrong with an installation, and says how to mend it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from promotion_assets.pipeline.doctor import Finding, examine
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, approval
from promotion_assets_tests.registries import NOWHERE, QUICK, SCRIPTS, plain_environment

POLICY = """
models:
  scorer:
    task: binary
    owner: team:growth
    dataset: {uri: rows.parquet, label: late}
    production: {uri: rows.parquet}
    gates: {accuracy: {}, schema: {}}
    review: {reviewers: [{name: ana}, {name: bo}]}
"""
REGISTER = """
import sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
client.create_registered_model("scorer")
client.create_model_version("scorer", source=sys.argv[2])
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real registry with one version of the model."""
    folder = tmp_path_factory.mktemp("doctor")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REGISTER, uri, str(folder)],
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    return uri


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and its data."""
    (tmp_path / "promotion.yaml").write_text(POLICY)
    pd.DataFrame({"age": [30.0, 40.0], "late": [0, 1]}).to_parquet(tmp_path / "rows.parquet")
    return tmp_path


def workspace(folder: Path, registry: str) -> Workspace:
    """Open the platform in ``folder``."""
    return Workspace.open(
        config=folder / "promotion.yaml", environ={"MLFLOW_TRACKING_URI": registry}
    )


def findings(folder: Path, registry: str) -> dict[str, list[Finding]]:
    """Return what the doctor finds, by check."""
    by_check: dict[str, list[Finding]] = {}
    for finding in examine(workspace(folder, registry)):
        by_check.setdefault(finding.check, []).append(finding)
    return by_check


def test_a_new_installation_is_fit_and_told_what_to_do_first(folder: Path, registry: str) -> None:
    """Nothing has to be mended before the first version is taken in, and nothing is written."""
    found = findings(folder, registry)
    assert "promotion adopt scorer" in found["scorer: registry"][0].mend
    assert [f.level for f in found["scorer: data"]] == ["ok", "ok"]
    assert not (folder / ".promotion").exists()


def test_missing_data_has_to_be_mended(folder: Path, registry: str) -> None:
    """A dataset that is not there, or lacks the label, is found before an evaluation fails."""
    pd.DataFrame({"age": [30.0]}).to_parquet(folder / "rows.parquet")
    found = findings(folder, registry)
    assert "no column late" in found["scorer: data"][0].found
    (folder / "rows.parquet").unlink()
    found = findings(folder, registry)
    assert "there is no such file" in found["scorer: data"][0].found


def test_a_registry_that_does_not_answer_is_told_apart(folder: Path) -> None:
    """Exit code 3 where only another system is at fault."""
    said = subprocess.run(
        [str(SCRIPTS / "promotion"), "doctor"],
        cwd=folder,
        env=plain_environment() | QUICK | {"MLFLOW_TRACKING_URI": NOWHERE},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 3, said.stdout + said.stderr
    assert "MEND     scorer: registry" in said.stdout
    assert "Traceback" not in said.stderr


def test_a_key_that_others_can_read_has_to_be_mended(folder: Path, registry: str) -> None:
    """Whoever has the key can sign for this installation."""
    home = folder / ".promotion"
    assert workspace(folder, registry).ledger.models() == ()
    assert findings(folder, registry)["ledger"][0].level == "ok"
    (home / "keys" / "ledger.key").chmod(0o644)
    found = findings(folder, registry)
    assert found["ledger"][0].mend.startswith("run `chmod 600")
    assert found["scorer: reviewers"][-1].found == "without a token: ana, bo"


def test_a_home_that_others_can_read_is_named_part_by_part(folder: Path, registry: str) -> None:
    """What an earlier release or an administrator left open is said, with one command for all."""
    home = folder / ".promotion"
    assert workspace(folder, registry).ledger.models() == ()
    assert [f.level for f in findings(folder, registry)["home"]] == ["ok"]
    home.chmod(0o755)
    (home / "ledger.db").chmod(0o644)
    (home / "keys").chmod(0o750)
    found = findings(folder, registry)["home"][1]
    assert found.level == "warning"
    assert found.found == (
        f"others than its user are let in: {home} (0755), ledger.db (0644), keys (0750)"
    )
    subprocess.run(found.mend.split("`")[1], shell=True, check=True)
    assert [f.level for f in findings(folder, registry)["home"]] == ["ok"]


def test_a_restored_ledger_that_is_older_than_its_checkpoints_is_found(
    folder: Path, registry: str
) -> None:
    """Votes that an old backup does not have are missed before anybody goes on without them."""
    opened = workspace(folder, registry)
    given = approval(opened.ledger.state(MODEL), "2", Clock())
    opened.ledger.append([given])
    backup = (folder / "old.db").absolute()
    with sqlite3.connect(opened.home / "ledger.db") as now, sqlite3.connect(backup) as then:
        now.backup(then)
    opened.ledger.append([given])
    opened.checkpointer.publish()
    assert "failure" not in [f.level for f in findings(folder, registry)["ledger"]]
    for file in opened.home.glob("ledger.db*"):
        file.unlink()
    backup.rename(opened.home / "ledger.db")
    found = findings(folder, registry)["ledger"][1]
    assert found.level == "failure"
    assert "a checkpoint is of 2 entries: an old backup was restored" in found.found
    assert "promotion audit verify" in found.mend


def test_an_approval_from_the_future_is_found(folder: Path, registry: str) -> None:
    """It waits for its time to come, and whoever waits for it learns which clock is wrong."""
    opened = workspace(folder, registry)
    given = approval(opened.ledger.state(MODEL), "2", Clock())
    dated = opened.clock() + timedelta(hours=3)
    opened.ledger.append([given.model_copy(update={"reviewed_at": dated})])
    found = findings(folder, registry)["ledger"][-1]
    assert found.level == "failure"
    assert f"{MODEL} version 2 was approved by bo at {dated:%Y-%m-%d %H:%M}" in found.found


def test_a_policy_that_is_wrong_is_a_finding(folder: Path, registry: str) -> None:
    """The doctor goes on with what does not need the policy."""
    (folder / "promotion.yaml").write_text(POLICY.replace("schema", "shcema"))
    found = findings(folder, registry)
    assert found["policy"][0].level == "failure"
    assert "dagster" in found
