"""Past decisions of the demo are made again, put under another policy, and carried elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.versions import MODEL, VERSIONS
from promotion_assets_tests.demo.conftest import PROMOTION, Judged, promotion


def replayed(home: DemoHome, version: int, *options: str) -> tuple[int, dict[str, Any]]:
    """Replay a version; return exit code and answer."""
    said = promotion(home, "replay", MODEL, str(version), "--json", *options)
    return said.returncode, json.loads(said.stdout)


@pytest.mark.parametrize("number", [v.number for v in VERSIONS if v.number in (1, 3, 6, 8)])
def test_a_decision_made_again_is_the_same_in_every_number(judged: Judged, number: int) -> None:
    """Approved, failed, unscored and never loaded versions all replay from what was pinned."""
    code, found = replayed(judged.home, number)
    assert code == 0, found["differences"]
    assert found["same"]
    assert found["compared"] > 100


def test_pinned_artifacts_scored_again_answer_the_same(judged: Judged) -> None:
    """Scores of candidate and champion come out again from the bytes that were judged."""
    code, found = replayed(judged.home, 3, "--rescore")
    assert code == 0, found["differences"]
    assert len(found["rescored"]) == 2


def test_scores_that_were_changed_since_are_found(working_copy: DemoHome) -> None:
    """Whoever edits kept scores cannot make the record fit them."""
    _, before = replayed(working_copy, 3)
    digest = _model_digest(working_copy, 3)
    (kept,) = (working_copy.state / "store" / "scores" / digest).glob("*.arrow")
    with pa.memory_map(str(kept)) as source:
        table = pa.ipc.open_file(source).read_all()
        flipped = pa.array(1.0 - table.column(0).to_numpy())
    changed = table.set_column(0, table.column_names[0], flipped)
    with pa.OSFile(str(kept), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(changed)
    code, found = replayed(working_copy, 3)
    assert code == 1
    assert before["same"]
    assert any("roc_auc" in d["where"] for d in found["differences"])


def test_a_stricter_policy_lists_the_decisions_that_would_flip(
    judged: Judged, tmp_path: Path
) -> None:
    """A backtest names version 2, which a higher margin would have stopped, and no other."""
    stricter = tmp_path / "stricter.yaml"
    text = judged.home.config.read_text()
    stricter.write_text(text.replace("improvement: 0.005", "improvement: 0.15"))
    assert stricter.read_text() != text
    said = promotion(judged.home, "policy", "backtest", MODEL, str(stricter), "--json")
    assert said.returncode == 1, said.stderr
    flips = [row for row in json.loads(said.stdout) if row["flips"]]
    assert [(row["version"], row["was"], row["would_be"]) for row in flips] == [
        ("2", "approved", "rejected")
    ]
    same = promotion(judged.home, "policy", "backtest", MODEL, str(judged.home.config), "--json")
    assert same.returncode == 0
    assert len(json.loads(same.stdout)) >= len(VERSIONS)


def test_power_says_that_a_small_group_shows_nothing(judged: Judged) -> None:
    """Nobody trusts the fairness gate on the handful of customers with education 5."""
    said = promotion(judged.home, "policy", "power", MODEL, "3", "--json")
    assert said.returncode == 0, said.stderr
    fairness = {row["subject"]: row for row in json.loads(said.stdout) if row["gate"] == "fairness"}
    assert fairness["education=3 (high school)"]["sees"] == "enough"
    tiny = next(row for name, row in fairness.items() if name.startswith("education=5"))
    assert (tiny["sees"], tiny["detectable"]) == ("nothing", None)


def test_a_bundle_proves_itself_where_nothing_else_is(judged: Judged, tmp_path: Path) -> None:
    """With the package, the archive and the public key alone, the incident can be checked."""
    bundle = tmp_path / "incident.zip"
    said = promotion(judged.home, "audit", "export", MODEL, "3", "--out", str(bundle))
    assert said.returncode == 0, said.stderr
    key = tmp_path / "ledger.pub"
    key.write_bytes((judged.home.state / "keys" / "ledger.pub").read_bytes())
    bare = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
    checked = subprocess.run(
        [PROMOTION, "audit", "verify", str(bundle), "--key", str(key), "--json"],
        cwd=tmp_path,
        env=bare | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = json.loads(checked.stdout)
    assert (found["valid"], found["problems"]) == (True, [])
    assert found["compared"] > 100
    assert "high school" in _page(bundle)


def test_an_alias_moved_by_hand_is_reported_and_recorded(working_copy: DemoHome) -> None:
    """Somebody who points champion at the incident in MLflow is found out."""
    moved = subprocess.run(
        [sys.executable, "-c", _MOVE, working_copy.tracking_uri, MODEL],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert moved.returncode == 0, moved.stderr
    said = promotion(working_copy, "reconcile", MODEL, "--json")
    assert said.returncode == 1, said.stdout + said.stderr
    assert "alias 'champion'" in said.stdout
    explained = promotion(working_copy, "explain", MODEL, "1", "--json")
    status = json.loads(promotion(working_copy, "status", MODEL, "--json").stdout)
    assert status["models"][0]["champions"] == {"default": "1"}
    assert "REGISTRY_TAMPERED" in explained.stdout


_MOVE = """
import sys
from mlflow.tracking import MlflowClient
MlflowClient(sys.argv[1]).set_registered_model_alias(sys.argv[2], "champion", "3")
"""


def _page(bundle: Path) -> str:
    import zipfile

    with zipfile.ZipFile(bundle) as archive:
        return archive.read("index.html").decode()


def _model_digest(home: DemoHome, version: int) -> str:
    said = promotion(home, "explain", MODEL, str(version), "--json").stdout
    digest: str = json.loads(said)["checks"][0]["inputs"]["model"]
    return digest
