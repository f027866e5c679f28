"""Copies between two real servers: nothing leaks, and nothing that was altered is registered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.audit.copy_proof import BUNDLE, MANIFEST, STATEMENT
from promotion_assets.errors import IntegrityError
from promotion_assets.pipeline.copying import Copied, Order, copy_to
from promotion_assets_tests import registries
from promotion_assets_tests.lifecycle import copy_killing
from promotion_assets_tests.registries import NOWHERE, QUICK, Judged, plain_environment


@pytest.fixture
def leaking_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may set the global tracking URI, and nobody listens where it points."""

    def _never(*_: Any, **__: Any) -> None:
        raise AssertionError("the global tracking URI was set")

    for name, value in {
        **QUICK,
        "MLFLOW_TRACKING_URI": NOWHERE,
        "MLFLOW_REGISTRY_URI": NOWHERE,
    }.items():
        monkeypatch.setenv(name, value)
    # What a test before this one has set in this process would stand in for the environment.
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    for module in (mlflow, mlflow.tracking, mlflow.tracking._tracking_service.utils):
        monkeypatch.setattr(module, "set_tracking_uri", _never)
    yield
    assert os.environ["MLFLOW_TRACKING_URI"] == NOWHERE
    assert mlflow.get_tracking_uri() == NOWHERE


def send(
    judged: Judged, name: str, *, to: str = "", reach: Callable[[str], None] = lambda _: None
) -> Copied:
    """Copy version 1 in this very process."""
    to = to or judged.registries.target
    order = Order(registries.MODEL, "1", to, name, "ana")
    return copy_to(judged.workspace(), MlflowCopyTarget(to), order, reach=reach)


def at(point: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Do something when the copy reaches a point."""
    return lambda reached: act() and None if reached == point else None


def recorded(judged: Judged, name: str) -> int:
    """Return how many copies under ``name`` the ledger has."""
    copies = judged.workspace().ledger.state(registries.MODEL).copies.get("1", ())
    return sum(copy.target_model == name for copy in copies)


@pytest.mark.usefixtures("leaking_fails")
def test_a_copy_never_needs_nor_sets_the_global_tracking_uri(judged: Judged) -> None:
    """With the global address leading nowhere, two explicit clients do all of it."""
    copied = send(judged, "unleaked")
    assert copied.event.target_version == "1"
    assert recorded(judged, "unleaked") == 1
    assert send(judged, "unleaked").event.target_run_id == copied.event.target_run_id
    assert recorded(judged, "unleaked") == 1


def otherwise(data: bytes) -> bytes:
    """Name another loader where one is named; else change one digit, the last that there is."""
    if b"mlflow.sklearn" in data and data.startswith(b"artifact_path"):
        return data.replace(b"mlflow.sklearn", b"mlflow.evil")
    at = data.rindex(b"1")
    return data[:at] + b"2" + data[at + 1 :]


def files_of(judged: Judged, name: str, file: str) -> list[Path]:
    """Return the files of that name that are younger than the marker of a test."""
    marker = judged.folder / f"{name}.marker"
    since = marker.stat().st_mtime_ns
    found = judged.registries.target_files.rglob(file)
    return [path for path in found if path.stat().st_mtime_ns >= since]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("model.skops", "content digest"),
        ("MLmodel", "MLmodel"),
        (BUNDLE, "attestation"),
        (MANIFEST, "manifest"),
        (STATEMENT, "statement"),
    ],
)
@pytest.mark.usefixtures("leaking_fails")
def test_bytes_that_were_changed_at_the_target_are_never_registered(
    judged: Judged, file: str, said: str
) -> None:
    """Whichever file it is, the copy is refused, also when it is repeated, and not recorded."""
    name = f"changed-{file.replace('.', '-')}"
    (judged.folder / f"{name}.marker").touch()

    def _change() -> None:
        found = files_of(judged, name, file)
        assert found
        for path in found:
            path.write_bytes(otherwise(path.read_bytes()))

    with pytest.raises(IntegrityError, match=said):
        send(judged, name, reach=at("before verification", _change))
    if file in ("model.skops", "MLmodel"):
        with pytest.raises(IntegrityError, match=said):
            send(judged, name)
    client = MlflowCopyTarget(judged.registries.target).client
    assert not client.search_model_versions(f"name = '{name}'")
    assert recorded(judged, name) == 0


@pytest.mark.usefixtures("leaking_fails")
def test_an_attestation_of_another_installation_is_refused(
    judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the source's public key that verifies at the target, and no other."""
    from promotion_assets.pipeline.workspace import Workspace
    from promotion_assets_tests.ledgers import SIGNER

    strangers = property(lambda _: [SIGNER.public_key])
    monkeypatch.setattr(Workspace, "trusted_keys", strangers)
    with pytest.raises(IntegrityError, match="no trusted key"):
        send(judged, "stranger")
    assert recorded(judged, "stranger") == 0


def test_killed_at_every_point_a_copy_is_gone_on_with_and_made_once(
    judged: Judged, tmp_path: Path
) -> None:
    """SIGKILL at each named point (in CI before each writing call too): one version at the end."""
    chosen = "points" if os.environ.get("PROMOTION_TEST_ALL") == "1" else "named"
    done = subprocess.run(
        [
            *(sys.executable, "-m", copy_killing.__name__, str(tmp_path), registries.MODEL),
            *(judged.registries.target, chosen),
        ],
        env=plain_environment() | QUICK | judged.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counted = json.loads(done.stdout.splitlines()[-1])
    print(f"copy: {counted}")
    assert counted["named"] == 18
    assert counted["kills"] == counted["points"] >= 18
    assert counted["with_work"] == counted["kills"] - 1
    assert counted["resumed"] >= 14
