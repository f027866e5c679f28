"""Where the demo keeps its files."""

from __future__ import annotations

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
    def logs(self) -> Path:
        """What the services print."""
        return self.root / "logs"

    @property
    def marker(self) -> Path:
        """What the malicious pickle would create, were it ever loaded."""
        return self.root / "payload-was-here"
