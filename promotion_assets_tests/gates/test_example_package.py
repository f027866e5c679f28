"""The example gate package of the guide: installed with pip, found, and used by a policy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "gate_package"

USE = """
import json
from promotion_assets.gates.catalogue import settings_for, settings_models
from promotion_assets.gates.run import run_gate
from promotion_assets.policy.load import parse_policy
from promotion_assets_tests import evidence as make

TEXT = '''
version: 1
models:
  m:
    task: binary
    dataset: {uri: rows.parquet, label: default}
    gates:
      score_shift: {maximum: 0.5}
'''
policy = parse_policy(TEXT, name="p", base=".", settings=settings_models, environ={}).models["m"]
gate, settings = settings_for(policy)["score_shift"]
result = run_gate(gate, make.evidence(policy=policy), settings, make.clock)
print(json.dumps([result.gate, result.outcome, settings.maximum]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example offline into a folder of its own and return that folder."""
    scratch = tmp_path_factory.mktemp("example")
    source, target = scratch / "source", scratch / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("*.egg-info", "build"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--disable-pip-version-check"]
    command += ["--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(site: Path, *arguments: str) -> str:
    """Run Python where the package is installed."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_policy_finds_and_uses_the_installed_gate(installed: Path) -> None:
    """Installed by pip, named in a policy, judged like a gate of ours."""
    found = run(installed, "-c", USE)
    assert json.loads(found) == ["score_shift", "passed", 0.5]


def test_the_examples_own_test_passes(installed: Path) -> None:
    """What the guide shows as a test is one, and passes."""
    tests = EXAMPLE / "tests" / "test_score_shift.py"
    told = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert "4 passed" in told


def test_the_guide_shows_what_the_example_says() -> None:
    """Names in the guide are those of the example."""
    guide = (ROOT / "docs" / "write-a-gate.md").read_text(encoding="utf-8")
    source = (EXAMPLE / "src" / "example_gates" / "score_shift.py").read_text(encoding="utf-8")
    project = (EXAMPLE / "pyproject.toml").read_text(encoding="utf-8")
    for line in ("class ScoreShiftSettings(GateSettings):", "given = answers(NAME, evidence)"):
        assert line in guide
        assert line in source
    for line in ('[project.entry-points."promotion_assets.gates"]', 'score_shift = "example_gates'):
        assert line in guide
        assert line in project
