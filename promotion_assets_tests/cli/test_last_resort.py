"""What nobody foresaw ends in three parts and an exit code, not in a traceback."""

from __future__ import annotations

import errno
import sys

import click
import pytest

from promotion_assets import cli
from promotion_assets.canonical import canonical_json
from promotion_assets.cli import status


def leave(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run ``promotion status`` and let it raise."""

    def raising() -> None:
        raise error

    monkeypatch.setattr(status, "command", click.Command("status", callback=raising))
    monkeypatch.setattr(sys, "argv", ["promotion", "status"])
    monkeypatch.delenv("PROMOTION_DEBUG", raising=False)
    return cli._run()


def test_a_full_disk_is_a_part_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3, with the path, and what to look at."""
    assert leave(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/var/x")) == 3
    said = capsys.readouterr().err
    assert "running `promotion status`" in said
    assert "No space left on device (/var/x)" in said
    assert "next:" in said


def test_a_defect_is_called_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, no traceback, and how maintainers get one."""
    assert leave(monkeypatch, KeyError("champion")) == 1
    said = capsys.readouterr().err
    assert "a defect of the platform: KeyError: 'champion'" in said
    assert "--debug" in said
    assert "Traceback" not in said


def test_words_in_another_encoding_are_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reason from a Latin-1 terminal cannot be recorded, and that is no defect."""
    reason = b"caf\xe9".decode("utf-8", "surrogateescape")

    def recording(reason: str) -> None:
        canonical_json({"reason": reason})

    command = click.Command("status", callback=recording, params=[click.Argument(["reason"])])
    monkeypatch.setattr(status, "command", command)
    monkeypatch.setattr(sys, "argv", ["promotion", "status", reason])
    assert cli._run() == 2
    said = capsys.readouterr().err
    assert "'caf\\udce9' is not in UTF-8" in said
    assert "LC_ALL=C.UTF-8" in said

    def broken(reason: str) -> None:
        raise KeyError("champion")

    command.callback = broken
    assert cli._run() == 1
    assert "a defect of the platform: KeyError: 'champion'" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Also where no long work has said what is kept."""
    assert leave(monkeypatch, error) == 130
    assert capsys.readouterr().err.startswith("stopped;")
