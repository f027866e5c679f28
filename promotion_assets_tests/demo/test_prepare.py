"""Preparing the demo's folder."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import pytest

from promotion_assets.demo import prepare as preparing
from promotion_assets.demo.home import DemoHome
from promotion_assets.demo.prepare import alone_in, prepare
from promotion_assets.errors import Conflict, Refusal, StorageUnreachable

REPOSITORY = Path(__file__).parents[2]


def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the training script fail at once, as it does where a library is missing."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'v1 champion'\necho 'no module named sklearn' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second one is refused while the first runs, and runs when that has ended."""
    home = DemoHome(tmp_path / "demo")
    with alone_in(home), pytest.raises(Conflict, match="another demo runs there"), alone_in(home):
        pytest.fail("both run")
    with alone_in(home):
        assert home.lock.exists()


def test_failed_training_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was reported until then is shown, and the message ends with what went wrong."""
    failing(monkeypatch, tmp_path)
    lines: list[str] = []
    with pytest.raises(Refusal, match="no module named sklearn"):
        prepare(DemoHome(tmp_path / "demo"), {}, lines.append)
    assert lines == ["v1 champion"]


def test_edited_policy_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A policy that somebody changed in the demo's folder survives the next run."""
    home = DemoHome(tmp_path / "demo")
    monkeypatch.setattr(preparing, "_register", lambda *_: None)
    prepare(home, {}, lambda _: None)
    shipped = (files("promotion_assets.demo") / "promotion.yaml").read_text()
    assert home.config.read_text() == shipped
    home.config.write_text(shipped.replace("psi: 0.20", "psi: 0.10"))
    prepare(home, {}, lambda _: None)
    assert "psi: 0.10" in home.config.read_text()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is refused in three parts, not with a traceback."""
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(StorageUnreachable, match="preparing the demo"):
        prepare(DemoHome(tmp_path / "demo"), {}, lambda _: None)


@pytest.mark.parametrize("name", ["dagster.yaml", "workspace.yaml"])
def test_demo_runs_dagster_as_the_repository_does(name: str) -> None:
    """The packaged file and the one beside the Makefile are the same."""
    packaged = (files("promotion_assets.demo") / name).read_text()
    assert packaged == (REPOSITORY / name).read_text()
