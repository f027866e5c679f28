"""A home with a past: champion, candidates, a rollout under way; no model needs to be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from promotion_assets.adapters import registry_mirror
from promotion_assets.adapters.keys import load_signer
from promotion_assets.cli.root import root
from promotion_assets.gates.catalogue import settings_models
from promotion_assets.lifecycle.events import EvaluationFinished
from promotion_assets.pipeline import preflight
from promotion_assets.policy.load import load_policy
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, SIGNER, adopted, evaluated
from promotion_assets_tests.rollout.worlds import World

REASON = "accuracy: AUC .78 is below the minimum of .82, and " + "so on and so forth, " * 8 + "end"
POLICY = f"""
models:
  {MODEL}:
    task: binary
    dataset: {{uri: rows.parquet, label: default}}
    segments: [default, EU]
    gates: {{accuracy: {{}}, schema: {{}}}}
    rollout:
      steps:
        - {{share: 0.05, minimum_minutes: 10, maximum_minutes: 100000, minimum_units: 100}}
        - {{share: 0.25, minimum_minutes: 10, maximum_minutes: 100000, minimum_units: 200}}
        - {{share: 1, minimum_minutes: 20, maximum_minutes: 100000, minimum_units: 300}}
      errors: {{max_rate: 0.05}}
      latency: {{max_rate: 0.06, freeze_requests: 200}}
      decision_rate: {{limit: 0.25}}
"""


@dataclass
class Tags:
    """The one call of MLflow by which a checkpoint becomes a tag."""

    kept: dict[str, str] = field(default_factory=dict)

    def set_registered_model_tag(self, model: str, name: str, value: str) -> None:
        """Keep it."""
        self.kept[name] = value


@dataclass
class TaggedRegistry(FakeRegistry):
    """A registry in memory that takes checkpoints, too."""

    client: Tags = field(default_factory=Tags)


@dataclass
class Home:
    """A home, the registry that its commands see, and its rollout's traffic."""

    folder: Path
    world: World

    def run(self, *words: str) -> Result:
        """Run a command here, in this process, as the script would."""
        environ = {
            "PROMOTION_CONFIG": str(self.folder / "promotion.yaml"),
            "PROMOTION_HOME": None,
            "PROMOTION_DATABASE_URL": None,
        }
        return CliRunner().invoke(root, list(words), env=environ, prog_name="promotion")


def make_home(folder: Path) -> Home:
    """Make a home with a champion, two rejected versions, and an approved one about to roll out."""
    (folder / "promotion.yaml").write_text(POLICY)
    state = folder / ".promotion"
    keys = state / "keys"
    keys.mkdir(parents=True)
    (keys / "ledger.key").write_bytes(SIGNER.private_bytes)
    (keys / "ledger.key").chmod(0o600)
    load_signer(keys, {})
    policy = load_policy(folder / "promotion.yaml", settings=settings_models, environ={})
    clock = Clock(datetime.now(UTC) - timedelta(hours=2))
    rollout = policy.models[MODEL].rollout
    world = World(state, policy=rollout, clock=clock, registry=TaggedRegistry())
    adopted(world.ledger, world.registry)
    for version in ("2", "3"):
        world.ledger.append([rejected(version, clock)])
    world.begin("4")
    world.traffic(30, 400)
    return Home(folder, world)


def rejected(version: str, clock: Clock) -> EvaluationFinished:
    """A rejection whose reason is long."""
    return evaluated(
        version, clock, verdict="rejected", reason=REASON, deciding_gates=("accuracy", "fairness")
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose commands find a registry in memory, and whose models are as good as loaded."""
    made = make_home(tmp_path)
    monkeypatch.setattr(preflight, "preflight", lambda evaluator, state: iter(()))
    monkeypatch.setattr(registry_mirror, "MirroringRegistry", lambda *address: made.world.registry)
    yield made
    made.world.close()
