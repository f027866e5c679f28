"""A real terminal, and ``promotion`` in it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from promotion_assets_tests.registries import SCRIPTS, plain_environment

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which nothing says anything of colours and width."""
    kept = plain_environment()
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        kept.pop(name, None)
    return kept | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | more


class Terminal:
    """A program in a terminal of its own: what it writes is read, and keys can be pressed."""

    def __init__(
        self, *command: str, folder: Path, columns: int = 80, stdout: int | None = None, **more: str
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**more),
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.written = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def read_until(self, text: str, seconds: float = 120) -> str:
        """Read on until ``text`` has been written."""
        deadline = time.monotonic() + seconds
        while text not in self.plain:
            assert time.monotonic() < deadline, self.written[-3000:]
            assert self._read(), f"it ended without {text!r}: {self.written[-3000:]}"
        return self.plain

    def press(self, keys: bytes) -> None:
        """Press keys; ``b"\\x03"`` is Ctrl-C, which goes to all of the program's processes."""
        os.write(self._ours, keys)

    def end(self, seconds: float = 120) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, self.written[-3000:]
        return self.process.wait(timeout=seconds)

    @property
    def plain(self) -> str:
        """What was written, without colours and movements."""
        return ESCAPES.sub("", self.written)

    def _read(self) -> bool:
        """Read what is there; tell whether more can come."""
        if not select.select([self._ours], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            return False
        self.written += data.decode("utf-8", errors="replace")
        return bool(data)


def promotion(folder: Path, *command: str, **more: object) -> Terminal:
    """Run ``promotion`` in a terminal."""
    return Terminal(str(SCRIPTS / "promotion"), *command, folder=folder, **more)  # type: ignore[arg-type]
