"""Peers that do not live beside us: each in an environment of its own, asked by a script."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent / ".venv"
LONGEST_SECONDS = 900


def said_apart(name: str, requirements: Sequence[str], script: str, *arguments: int) -> Any:
    """Return what ``script`` prints as JSON there; ``None``, with the reason printed, if nothing.

    Args:
        name: of the peer, and of its environment's folder.
        requirements: what is installed there the first time.
    """
    folder = HOME / name
    python = folder / "bin" / "python"
    try:
        if not (folder / "installed").exists():
            print(f"   installing {name} into an environment of its own (minutes)", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "-q", *requirements]
            subprocess.run(install, check=True, capture_output=True, timeout=LONGEST_SECONDS)
            (folder / "installed").touch()
        ran = subprocess.run(
            [str(python), script, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        print(f"   {name} is left out: {error}")
        return None
    return json.loads(ran.stdout.splitlines()[-1])
