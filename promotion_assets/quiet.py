"""Telemetry and progress bars of the libraries below us: off, unless the user sets the switch."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SILENT = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def silence_telemetry(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set every library's own switch, for this process and its children."""
    for name, value in SILENT.items():
        environ.setdefault(name, value)
