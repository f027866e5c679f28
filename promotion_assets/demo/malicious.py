"""An artifact whose pickle would run a command. It is put together by hand and never loaded."""

from __future__ import annotations

import pickle
import shlex
from pathlib import Path


def write_payload(model_file: Path, marker: Path) -> None:
    """Overwrite ``model_file`` with a pickle that would create ``marker`` when it is loaded.

    The opcodes are written one by one: no object of ours ever describes the attack, and nothing
    is executed here.
    """
    command = f"touch {shlex.quote(str(marker))}"
    model_file.write_bytes(
        pickle.PROTO
        + bytes([2])
        + pickle.GLOBAL
        + b"posix\nsystem\n"
        + pickle.MARK
        + pickle.BINUNICODE
        + len(command.encode()).to_bytes(4, "little")
        + command.encode()
        + pickle.TUPLE
        + pickle.REDUCE
        + pickle.STOP
    )
