"""Folders and files that are made for this user alone; what is there keeps its mode."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHERS = 0o077


def make_private_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, closed to group and others.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is no folder")


def modes_that_let_others_in(paths: Iterable[Path]) -> dict[Path, int]:
    """Return those paths, with their modes, that are there and not for their user alone."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths if path.exists()}
    return {path: mode for path, mode in modes.items() if mode & OTHERS}


def keep_private(engine: Engine) -> None:
    """Let SQLite make its file, and what it writes beside it, closed to group and others.

    SQLite would make it as the umask says, and gives its logs the mode of the file.
    """
    database = engine.url.database
    if not database or database.startswith((":", "file:")):
        return

    @event.listens_for(engine, "do_connect")
    def _make(*_: Any) -> None:
        # What keeps it from being made SQLite says itself, with the words that callers know.
        with contextlib.suppress(OSError):
            os.close(os.open(database, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
