"""Homes as earlier releases left them: this release opens, verifies, explains and goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from promotion_assets.adapters.database import SCHEMA_HEAD
from promotion_assets.adapters.keys import load_public
from promotion_assets.adapters.ledger_store import open_entries
from promotion_assets.audit.checkpoint import Checkpointer, FilePlace
from promotion_assets.audit.entries import recorded_of
from promotion_assets.audit.explain import explain
from promotion_assets.audit.status import status
from promotion_assets.audit.verify import verify
from promotion_assets.cli.root import root as command_line
from promotion_assets.errors import IntegrityError, Refusal
from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.promotion import complete_rollout, promote
from promotion_assets.lifecycle.rollback import rollback
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.fuzz.targets.ledger_event import entry_of
from promotion_assets_tests.golden.make_home import SECRET
from promotion_assets_tests.ledgers import (
    MODEL,
    approval,
    digest,
    evaluated,
    facts,
    request,
    shadow,
    stage,
)

GOLDEN = Path(__file__).parent.parent / "golden"
HOMES = sorted(path.name for path in GOLDEN.glob("home-*"))


@pytest.fixture(params=HOMES)
def frozen(request: pytest.FixtureRequest) -> Path:
    """A home of each release that is kept."""
    return GOLDEN / str(request.param)


@pytest.fixture
def home(frozen: Path, tmp_path: Path) -> Path:
    """A copy of it, with its key, as it lay on that machine."""
    folder = tmp_path / "site"
    (folder / "home" / "keys").mkdir(parents=True, mode=0o700)
    shutil.copy(frozen / "promotion.yaml", folder)
    shutil.copytree(frozen / "checkpoints", folder / "home" / "checkpoints")
    key = folder / "home" / "keys" / "ledger.key"
    key.touch(mode=0o600)
    key.write_bytes(
        Ed25519PrivateKey.from_private_bytes(SECRET).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with closing(sqlite3.connect(folder / "home" / "ledger.db")) as database:
        database.executescript((frozen / "home.sql").read_text())
    return folder


def opened(home: Path) -> Workspace:
    """Open a home as every command of this release does, an hour after its last entry."""
    stored = open_entries(f"sqlite:///{home}/home/ledger.db")
    last = max(recorded_of(entry).recorded_at for entry in stored.entries())
    stored.close()
    environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db"}
    clock = Clock(last + timedelta(hours=1))
    return Workspace.open(
        home=home / "home", config=home / "promotion.yaml", environ=environ, clock=clock
    )


def schema(home: Path) -> str:
    """The form that the database's tables have."""
    with closing(sqlite3.connect(home / "home" / "ledger.db")) as database:
        return str(database.execute("SELECT version_num FROM promotion_schema").fetchone()[0])


def test_each_frozen_home_is_of_another_release(tmp_path: Path) -> None:
    """Every form of the tables before this release's has one, so that each migration is tried."""
    forms = [name.removeprefix("home-") for name in HOMES]
    assert forms == [f"{n:04d}" for n in range(1, int(SCHEMA_HEAD))]


def test_it_opens_verifies_and_means_what_it_meant(frozen: Path, home: Path) -> None:
    """Policy, ledger, checkpoints and answers of that release, under this one's code."""
    assert schema(home) == frozen.name.removeprefix("home-")
    workspace = opened(home)
    ledger = workspace.ledger
    assert schema(home) == SCHEMA_HEAD
    assert set(workspace.policy.models) == {MODEL}
    notes = list(FilePlace(frozen / "checkpoints").held())
    found = verify(ledger.entries(), [load_public(frozen / "ledger.pub")], notes)
    assert found.problems == ()
    assert found.checkpoints == len(notes) > 0
    then = json.loads((frozen / "status.json").read_text())
    assert status(ledger) == then
    (model,) = then["models"]
    assert model["champions"] == {"default": "2"}
    ledger.close()


def test_it_explains_a_version_as_it_did_then(frozen: Path, home: Path) -> None:
    """Checks, metrics, votes, dataset and champion of an old decision read as they read then."""
    ledger = opened(home).ledger
    now, then = explain(ledger, MODEL, "2"), json.loads((frozen / "explain.json").read_text())
    for part in ("checks", "metrics", "evaluation_dataset", "champion"):
        assert then[part], part
        assert now[part] == then[part], part
    assert {vote["verdict"] for vote in now["reviews"]} == {"approved"}
    assert len(now["timeline"]) == len(then["timeline"])
    ledger.close()


def test_it_goes_on_where_it_stopped(frozen: Path, home: Path) -> None:
    """The next evaluation, promotion and rollback follow the old entries in one valid chain."""
    workspace, registry = opened(home), FakeRegistry()
    ledger, clock = workspace.ledger, workspace.clock
    assert isinstance(clock, Clock)
    before = [entry.hash for entry in ledger.entries()]
    champion = ledger.state(MODEL).digests["2"]
    stage(ledger, registry, "4", clock)  # type: ignore[arg-type]
    ledger.append([shadow("4")])
    found = facts("4", champion_digest=champion)
    ledger.append([approval(ledger.state(MODEL), "4", clock, found=found)])
    promote(ledger, registry, request("4", Stage.PRODUCTION), found, clock())
    complete_rollout(ledger, registry, MODEL, actor="ana", reason="baked for 24 h")
    assert ledger.state(MODEL).champions == {"default": "4"}
    rollback(ledger, registry, MODEL, actor="on-call", reason="declines doubled since noon")
    assert ledger.state(MODEL).champions == {"default": "2"}
    assert digest("4") in ledger.state(MODEL).latches
    ledger.append([evaluated("5", clock)])
    entries = list(ledger.entries())
    assert [entry.hash for entry in entries][: len(before)] == before
    assert len(entries) > len(before) + 8
    places = [FilePlace(home / "home" / "checkpoints")]
    Checkpointer(ledger, workspace.signer, places).publish()
    notes = [note for place in places for note in place.held()]
    assert len(notes) == len(list(FilePlace(frozen / "checkpoints").held())) + 1
    assert verify(entries, [load_public(frozen / "ledger.pub")], notes).problems == ()
    ledger.close()


def test_a_database_of_a_newer_release_is_refused_and_left_alone(home: Path) -> None:
    """Older code says what is wrong and what to do, and changes nothing."""
    opened(home).ledger.close()
    path = home / "home" / "ledger.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE promotion_schema SET version_num = '0999'")
        database.commit()
    with pytest.raises(Refusal, match="newer than this version") as caught:
        _ = opened(home).ledger
    assert "0999" in caught.value.problem
    assert "upgrade promotion-assets" in caught.value.next_step
    assert schema(home) == "0999"
    environ = {"PROMOTION_CONFIG": str(home / "promotion.yaml"), "PROMOTION_HOME": f"{home}/home"}
    said = CliRunner().invoke(command_line, ["status"], env=environ)
    assert said.exit_code == 1
    assert isinstance(said.exception, Refusal | SystemExit)


def test_an_event_of_a_newer_release_is_named() -> None:
    """Code that meets a kind of event that it does not know asks to be upgraded."""
    with pytest.raises(IntegrityError, match="'MODEL_TELEPORTED', which this release") as caught:
        recorded_of(entry_of({"kind": "MODEL_TELEPORTED", "model": MODEL}, 1))
    assert "upgrade promotion-assets" in caught.value.next_step
