"""What computed: version and commit of this package, interpreter, libraries, processor."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "mlflow", "dagster")


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the package's version, with the commit where it runs from a checkout."""
    root = Path(__file__).resolve().parents[2]
    released = _version("promotion-assets")
    if not (root / ".git").exists():
        return released
    try:
        commit = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return released
    return f"{released}+{commit}"


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Return the versions of the interpreter and of the libraries that compute."""
    found = {name: _version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
