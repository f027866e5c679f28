"""What a fuzz target is, and what may come of any input."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from promotion_assets.errors import PromotionError

Form = Literal["json", "yaml", "zip", "form", "lines"]
Run = Callable[[bytes], None]
# Far above what any input takes on a busy machine; far below what a caller would put up with.
SECONDS_PER_INPUT = 10.0
MEBIBYTES = 2048


@dataclass(frozen=True)
class Target:
    """One way in for bytes from outside.

    Attributes:
        form: how :mod:`.mutation` takes an example apart, where it can.
        examples: valid inputs, from which others are made.
        prepare: gives what is run with every input, over a folder of its own.
        inputs: how many are tried in the normal tests.
    """

    name: str
    form: Form
    examples: Callable[[], list[bytes]]
    prepare: Callable[[Path], AbstractContextManager[Run]]
    inputs: int = 400


class Broken(AssertionError):
    """An input led to what nobody promised."""


@contextmanager
def only_our_errors() -> Iterator[None]:
    """Let pass an error of ours that says its three parts; anything else is a find."""
    try:
        yield
    except PromotionError as error:
        parts = (error.doing, error.problem, error.next_step)
        if not all(isinstance(part, str) and part.strip() for part in parts):
            raise Broken(f"an error lacks one of its three parts: {parts}") from error
        # Whoever reads it has a terminal or a log in UTF-8.
        str(error).encode("utf-8", "backslashreplace")


def holds(condition: object, otherwise: str) -> None:
    """Raise unless ``condition`` holds."""
    if not condition:
        raise Broken(otherwise)


class Fence:
    """Sees what is written, and where; Python cannot take an audit hook away, so it is one.

    Threads that were there before it belong to somebody else and may write where they like.
    """

    def __init__(self) -> None:
        others = {thread.ident for thread in threading.enumerate()}
        self.others = others - {threading.get_ident()}
        self.inside: tuple[str, ...] = ()
        self.outside: list[str] = []
        sys.addaudithook(self._seen)

    @contextmanager
    def around(self, folder: Path) -> Iterator[None]:
        """Raise :class:`Broken` if anything is written outside of ``folder`` in the block."""
        self.inside, self.outside = (str(folder.resolve()) + os.sep, os.devnull), []
        try:
            yield
        finally:
            self.inside = ()
        holds(not self.outside, f"written outside of its folder: {self.outside[:3]}")

    def _seen(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.inside or threading.get_ident() in self.others:
            return
        paths: tuple[Any, ...] = ()
        if event == "open" and isinstance(arguments[2], int):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                paths = arguments[:1]
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "sqlite3.connect"):
            paths = arguments[:1]
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = arguments[:2]
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):
            self.outside.append(f"{event} {arguments[0]!r}")
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike) and not self._allowed(path):
                self.outside.append(f"{event} {path!r}")

    def _allowed(self, path: str | bytes | os.PathLike[Any]) -> bool:
        text = os.path.abspath(os.fsdecode(path).removeprefix("file:").partition("?")[0])  # noqa: PTH100
        # What is imported late is compiled beside its source.
        return text.startswith(self.inside) or "__pycache__" in text or text == os.devnull


def where(error: BaseException) -> str:
    """Return an error's kind and where it came from: finds that agree in it are one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "promotion_assets/" in f.filename] or frames
    last = ours[-1]
    name = last.filename.rpartition("/promotion_assets/")[2] or last.filename
    return f"{type(error).__name__} at {name}:{last.lineno}"
