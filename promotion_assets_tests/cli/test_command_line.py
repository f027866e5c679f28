"""The command line keeps its contract: exit codes, JSON, and errors of three parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from promotion_assets.cli.root import COMMANDS, root

PROMOTION = str(Path(sys.executable).with_name("promotion"))
POLICY = """
models:
  scorer:
    task: binary
    dataset: {uri: rows.parquet, label: default}
    gates: {accuracy: {}, schema: {}}
"""


def promotion(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run ``promotion`` in ``folder`` with nothing of the tester's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTION_", "MLFLOW_"))}
    return subprocess.run(
        [PROMOTION, *command],
        cwd=folder,
        env=kept | {"NO_COLOR": "1"} | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy for one model."""
    (tmp_path / "promotion.yaml").write_text(POLICY)
    return tmp_path


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    """Help needs no policy, and shows the command as somebody would type it."""
    said = CliRunner().invoke(root, [command, "--help"])
    assert said.exit_code == 0, said.output
    assert f"  promotion {command}" in said.output


def test_the_list_of_commands_says_what_each_module_has(tmp_path: Path) -> None:
    """Every listed command can be imported, and every one is listed in the help."""
    said = promotion(tmp_path, "--help").stdout
    assert all(f"\n  {command}" in said for command in COMMANDS)


def test_a_mistyped_command_is_wrong_use_and_names_the_nearest(folder: Path) -> None:
    """A typo costs one reading."""
    said = promotion(folder, "statsu")
    assert said.returncode == 2
    assert "'status'" in said.stderr


def test_without_a_policy_the_reader_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    """A missing policy is wrong use, in three parts and without a traceback."""
    said = promotion(tmp_path, "status")
    assert said.returncode == 2
    assert str(tmp_path / "promotion.yaml") in said.stderr
    assert "next:" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_mistake_in_the_policy_names_line_key_and_nearest_name(folder: Path) -> None:
    """A typo in the policy is found before anything runs."""
    (folder / "promotion.yaml").write_text(POLICY.replace("schema:", "shcema:"))
    said = promotion(folder, "policy", "check")
    assert said.returncode == 2
    assert "promotion.yaml:6" in said.stderr
    assert "shcema" in said.stderr
    assert "'schema'" in said.stderr


def test_the_policy_check_prints_the_digest_that_evaluations_pin(folder: Path) -> None:
    """The same file always has the same digest, and another limit has another."""
    first = json.loads(promotion(folder, "policy", "check", "--json").stdout)
    again = json.loads(promotion(folder, "policy", "check", "--json").stdout)
    (folder / "promotion.yaml").write_text(
        POLICY.replace("accuracy: {}", "accuracy: {minimum: .9}")
    )
    other = json.loads(promotion(folder, "policy", "check", "--json").stdout)
    digests = [found["models"]["scorer"]["digest"] for found in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_an_empty_ledger_has_a_status_of_the_agreed_form(folder: Path) -> None:
    """Scripts rely on the keys, also where nothing has happened yet."""
    said = promotion(folder, "status", "--json")
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == {
        "models": [{"model": "scorer", "champions": {}, "versions": []}]
    }


def test_an_unknown_model_is_wrong_use(folder: Path) -> None:
    """A model that the policy does not name is told from one without versions."""
    said = promotion(folder, "status", "scoer")
    assert said.returncode == 2
    assert "scorer" in said.stderr


def test_an_unknown_version_is_wrong_use_and_recorded_nowhere(folder: Path) -> None:
    """Asking for a version that does not exist changes nothing."""
    said = promotion(folder, "evaluate", "scorer", "7")
    assert said.returncode == 2, said.stdout + said.stderr
    assert "Traceback" not in said.stderr
    assert json.loads(promotion(folder, "status", "--json").stdout)["models"][0]["versions"] == []


def test_a_registry_that_does_not_answer_is_told_from_a_refusal(folder: Path) -> None:
    """Exit code 3 means: try again later, nothing was changed."""
    said = promotion(
        folder,
        "evaluate",
        "scorer",
        "1",
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert said.returncode == 3, said.stdout + said.stderr
    assert "MLFLOW_TRACKING_URI" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("day", ["2026-03-04", "20260304", "2026-W10-3", "2026W103"])
def test_a_date_means_its_end_however_it_is_written(folder: Path, day: str) -> None:
    """Every form of a day in ISO 8601 asks for what was live when it ended."""
    found = json.loads(promotion(folder, "explain", "scorer", "--at", day, "--json").stdout)
    assert found["at"] == "2026-03-04T23:59:59+00:00"


def test_nothing_is_said_of_what_was_live_of_a_model_that_nobody_knows(folder: Path) -> None:
    """A name with a typing error is not answered with "nothing was live"."""
    done = promotion(folder, "explain", "scorre", "--at", "2026-03-04")
    assert done.returncode == 2
    assert "scorer" in done.stderr
    assert "nothing was live" not in done.stdout
