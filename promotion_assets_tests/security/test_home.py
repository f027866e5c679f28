"""The platform's folder: what it makes there is for its own user alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from promotion_assets.adapters.database import open_engine
from promotion_assets.defs.instance import open_instance
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.files import write_bytes
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.serving.events import request

POLICY = """
models:
  scorer:
    task: binary
    dataset: {uri: rows.parquet, label: late}
    gates: {accuracy: {}}
"""


@pytest.fixture(autouse=True)
def everybody_is_welcome() -> Iterator[None]:
    """A process whose files are open to all unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """An installation whose folder does not exist yet, two folders deep."""
    (tmp_path / "promotion.yaml").write_text(POLICY)
    rows = {"age": [30.0, 40.0, 50.0, 60.0], "late": [0, 1, 0, 1]}
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    opened = Workspace.open(
        home=tmp_path / "var" / "home", config=tmp_path / "promotion.yaml", environ={}
    )
    yield opened
    if "ledger" in vars(opened):
        opened.ledger.close()


def use_ledger(workspace: Workspace) -> None:
    """Write into the ledger's database."""
    assert workspace.ledger.models() == ()


def use_database(workspace: Workspace) -> None:
    """Open another table of the database first, as a webhook that comes in does."""
    engine = open_engine(workspace.database_url)
    engine.dispose()


def use_key(workspace: Workspace) -> None:
    """Make the signing key."""
    assert workspace.signer.public_key.keyid


def use_events(workspace: Workspace) -> None:
    """Write into the event log."""
    events = event_log(workspace)
    events.write([request(1, time_us=1)])
    events.close()


def use_store(workspace: Workspace) -> None:
    """Take the evaluation dataset in."""
    Evaluator(workspace, "scorer").inputs.take_dataset()


def use_files(workspace: Workspace) -> None:
    """Leave what a step leaves for the next."""
    write_bytes(workspace.home / "evaluations" / "1" / "decision.json", b"{}")


def use_artifacts(workspace: Workspace) -> None:
    """Make the place of versions, as a server does that is the first process of all."""
    (workspace.store / "artifacts").mkdir(parents=True, exist_ok=True)


def use_dagster(workspace: Workspace) -> None:
    """Open Dagster's instance below it."""
    with open_instance(workspace):
        pass


DATABASES = (use_ledger, use_database, use_key, use_events)
USES = (*DATABASES, use_store, use_files, use_artifacts, use_dagster)


def mode(path: Path) -> int:
    """The permissions of a path."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("use", USES)
def test_a_new_home_is_closed_to_others_whatever_is_used_first(
    workspace: Workspace, use: Callable[[Workspace], None]
) -> None:
    """No group and nobody else can read, or even enter, a folder that we made."""
    use(workspace)
    assert mode(workspace.home) == 0o700


def test_ledger_keys_and_events_are_closed_to_others(workspace: Workspace) -> None:
    """Also where the folder is open: each of these files is made for its user alone."""
    workspace.home.mkdir(parents=True)
    for use in DATABASES:
        use(workspace)
    found = {path.name: mode(path) for path in workspace.home.iterdir()}
    assert {"ledger.db", "events.db", "keys"} <= set(found)
    assert found.pop("keys") == 0o700
    assert mode(workspace.keys / "ledger.key") == 0o600
    assert set(found.values()) == {0o600}, found


def test_what_sqlite_writes_beside_its_files_is_closed_too(workspace: Workspace) -> None:
    """The write-ahead log holds what the database holds."""
    workspace.home.mkdir(parents=True)
    use_ledger(workspace)
    beside = {path.name: mode(path) for path in workspace.home.glob("ledger.db-*")}
    assert "ledger.db-wal" in beside
    assert set(beside.values()) == {0o600}


def test_what_was_there_keeps_its_mode(workspace: Workspace) -> None:
    """An administrator who lets a group in is not overruled."""
    workspace.home.mkdir(parents=True)
    workspace.home.chmod(0o750)
    for name in ("ledger.db", "events.db"):
        (workspace.home / name).touch()
        (workspace.home / name).chmod(0o640)
    for use in USES:
        use(workspace)
    assert mode(workspace.home) == 0o750
    assert [mode(workspace.home / n) for n in ("ledger.db", "events.db")] == [0o640] * 2
