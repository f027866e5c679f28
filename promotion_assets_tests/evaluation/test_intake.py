"""Taking a registered version in: what is recorded of a bad one, and what raises."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from promotion_assets.errors import IntegrityError, StorageUnreachable, UsageError
from promotion_assets.evaluation import intake
from promotion_assets.evaluation.candidate import Candidate
from promotion_assets.evaluation.intake import VersionFacts, take_candidate
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets_tests.evidence import profile

MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.sklearn}
signature:
  inputs: '[{"name": "age", "type": "long", "required": true}]'
"""
SOUND = {"MLmodel": MLMODEL, "requirements.txt": "numpy==2.3\n", "model.skops": "weights"}


@dataclass
class Registry:
    """A registry with one version in it, which is as a test says."""

    files: dict[str, str] = field(default_factory=lambda: dict(SOUND))
    run_id: str | None = "run-1"
    profile: tuple[FeatureProfile | None, str | None] = (None, "the run has none")
    fault: Exception | None = None

    def facts(self, model: str, version: str) -> VersionFacts:
        if version != "2":
            raise UsageError(f"Looking {model} up", f"there is no version {version}", "name one")
        return VersionFacts(
            model=model,
            version=version,
            created_at=datetime(2026, 3, 2, tzinfo=UTC),
            source="models:/m-2",
            run_id=self.run_id,
            author="ana",
            logged_metrics={"roc_auc": 0.91},
        )

    def download(self, model: str, version: str, destination: Path) -> Path:
        if self.fault is not None:
            raise self.fault
        root = destination / "model"
        for name, text in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    def training_profile(self, run_id: str) -> tuple[FeatureProfile | None, str | None]:
        assert run_id == self.run_id
        return self.profile


def taken(registry: Registry, store: Path) -> Candidate:
    """Take the version in."""
    return take_candidate(registry, "credit-risk", "2", store)


def test_a_sound_version_is_taken_in_with_all_that_it_declares(tmp_path: Path) -> None:
    """Facts, files by content, signature, requirements and profile; nothing else stays behind."""
    found = taken(Registry(profile=(profile(), None)), tmp_path / "store")
    assert found.problems == ()
    assert (found.author, found.logged_metrics) == ("ana", {"roc_auc": 0.91})
    assert found.signature is not None
    assert [column.name for column in found.signature.inputs] == ["age"]
    assert found.requirements == ("numpy==2.3",)
    assert (found.profile, found.profile_problem) == (profile(), None)
    assert found.artifact_dir is not None
    assert (found.artifact_dir / "model.skops").read_text() == "weights"
    assert not list((tmp_path / "store").glob("intake-*"))


def test_a_version_without_a_run_has_no_profile_and_says_why(tmp_path: Path) -> None:
    """The drift gate then tells its author what is missing."""
    found = taken(Registry(run_id=None), tmp_path)
    assert found.profile is None
    assert "names no run" in (found.profile_problem or "")
    assert taken(Registry(), tmp_path).profile_problem == "the run has none"


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (FileNotFoundError("model/MLmodel"), "the artifact is missing: model/MLmodel"),
        (
            IntegrityError("Taking it", "a path leaves the folder", "look"),
            "a path leaves the folder",
        ),
    ],
    ids=["missing", "hostile"],
)
def test_an_artifact_that_cannot_be_taken_is_a_problem_of_the_version(
    tmp_path: Path, fault: Exception, problem: str
) -> None:
    """It is recorded and judged, and no digest is made up for it."""
    found = taken(Registry(fault=fault), tmp_path)
    assert found.problems == (problem,)
    assert (found.digest, found.artifact_dir, found.mlmodel) == ("", None, None)


def test_declarations_that_cannot_be_read_are_problems_once_each(tmp_path: Path) -> None:
    """A broken MLmodel is one problem, though its signature cannot be read either."""
    found = taken(Registry(files={**SOUND, "MLmodel": "flavors: ["}), tmp_path)
    assert len(found.problems) == 1
    assert found.digest
    assert (found.mlmodel, found.signature) == (None, None)
    assert found.requirements == ("numpy==2.3",)


def test_an_unknown_version_is_no_candidate(tmp_path: Path) -> None:
    """Whoever asked for it is told, and nothing is written."""
    with pytest.raises(UsageError, match="no version 3"):
        take_candidate(Registry(), "credit-risk", "3", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_stops_intake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in its place, or a full disk: said before anything is downloaded."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnreachable, match="make the folder writable") as barred:
        taken(Registry(fault=AssertionError("downloaded")), tmp_path / "file" / "store")
    assert barred.value.doing.startswith("taking the artifact of credit-risk version ")
    usage = SimpleNamespace(free=16 * 1024**2 - 1)
    monkeypatch.setattr(intake.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageUnreachable, match="less than 16 MiB"):
        taken(Registry(fault=AssertionError("downloaded")), tmp_path / "store")
    monkeypatch.undo()
    assert shutil.disk_usage(tmp_path).free > 0
