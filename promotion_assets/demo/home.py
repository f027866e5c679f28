"""Where the demo keeps its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoHome:
    """The folder that holds all of the demo: remove it and the demo starts anew.

    ``root`` is made absolute, because MLflow records where its artifacts are.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.resolve())

    @property
    def config(self) -> Path:
        """The policy that the demo runs by; edit it and the next run judges anew."""
        return self.root / "promotion.yaml"

    @property
    def state(self) -> Path:
        """``PROMOTION_HOME``: ledger, snapshots, artifacts taken in."""
        return self.root / ".promotion"

    @property
    def tracking_uri(self) -> str:
        """MLflow's database, without a server."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where MLflow's artifacts are."""
        return self.root / "artifacts"

    @property
    def dagster(self) -> Path:
        """``DAGSTER_HOME``."""
        return self.root / "dagster"

    @property
    def workspace_file(self) -> Path:
        """Where Dagster finds the definitions."""
        return self.root / "workspace.yaml"

    @property
    def lock(self) -> Path:
        """Held while a demo runs here."""
        return self.root / ".lock"

    @property
    def logs(self) -> Path:
        """What the services print."""
        return self.root / "logs"

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Return ``outer`` with what points every part at this home."""
        return {
            **outer,
            "PROMOTION_HOME": str(self.state),
            "PROMOTION_CONFIG": str(self.config),
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_REGISTRY_URI": self.tracking_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DAGSTER_HOME": str(self.dagster),
            "DO_NOT_TRACK": "1",
            # Two OpenMP threads on two busy cores wait for each other: 27 s for what one thread
            # trains in 2.4 s.
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def marker(self) -> Path:
        """What the malicious pickle would create, were it ever loaded."""
        return self.root / "payload-was-here"
