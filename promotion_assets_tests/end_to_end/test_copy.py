"""Copies between two real MLflow servers, by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.keys import load_public
from promotion_assets.adapters.registry_copy import MlflowCopyTarget
from promotion_assets.audit.bundle_verify import verify_bundle
from promotion_assets.audit.explain import explain
from promotion_assets.errors import Refusal, UsageError
from promotion_assets.evaluation.artifact import manifest
from promotion_assets.lifecycle.copy_values import COPY_TAG
from promotion_assets.pipeline.copying import Order, copy, copy_to
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import evaluated
from promotion_assets_tests.registries import (
    MODEL,
    QUICK,
    SCRIPTS,
    Judged,
    Line,
    plain_environment,
)


def client(uri: str) -> MlflowClient:
    """Return a client of one server."""
    return MlflowClient(uri, uri)


def copy_runs(uri: str, of: str = "1") -> list[Run]:
    """Return the runs at ``uri`` that are copies of a version's training run."""
    found = client(uri)
    experiment = found.get_experiment_by_name("tumours")
    if experiment is None:
        return []
    runs = found.search_runs([experiment.experiment_id])
    return [
        run
        for run in runs
        if COPY_TAG in run.data.tags and run.data.tags.get("source_version") == of
    ]


def order(
    judged: Judged, name: str, *, to: str = "", version: str = "1", actor: str = "ana"
) -> Order:
    """Ask for a copy to the second server."""
    return Order(MODEL, version, to or judged.registries.target, name, actor)


@pytest.fixture(scope="module")
def copied(judged: Judged) -> dict[str, Any]:
    """Version 1, copied by the command: what it printed, and the source's tags just after it.

    A source names its last copy, and other tests of this file make more of them.
    """
    done = judged.run(
        *("copy", MODEL, "1", "--to", judged.registries.target, "--as", "tumours", "--json"),
        *("--actor", "ana"),
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    source = client(judged.registries.source).get_model_version(MODEL, "1")
    return said | {"source_tags": dict(source.tags)}


def test_everything_of_a_version_is_there(judged: Judged, copied: dict[str, Any]) -> None:
    """Metrics of every step, parameters, tags, inputs, profile and description are equal."""
    here, there = client(judged.registries.source), client(judged.registries.target)
    old, new = here.get_model_version(MODEL, "1"), there.get_model_version("tumours", "1")
    assert new.description == old.description == "Predicts malignancy from six measures."
    assert {k: new.tags[k] for k in ("ticket", "author")} == {"ticket": "ONC-7", "author": "ana"}
    first, second = here.get_run(old.run_id), there.get_run(new.run_id)
    assert second.data.params == first.data.params
    assert len(second.data.params["notes"]) == 6000
    assert any("'notes'" in note for note in copied["notes"])
    assert second.inputs.to_dictionary() == first.inputs.to_dictionary()
    assert set(second.data.metrics) == set(first.data.metrics) == {"loss", "auc", "undefined"}
    for key in first.data.metrics:
        histories = [
            [(m.step, m.timestamp, repr(m.value)) for m in c.get_metric_history(r.info.run_id, key)]
            for c, r in ((here, first), (there, second))
        ]
        assert histories[0] == histories[1]
    assert len(there.get_metric_history(second.info.run_id, "loss")) == 40
    for name in ("team", "mlflow.runName", "promotion.feature_profile.sha256"):
        assert second.data.tags[name] == first.data.tags[name]
    models = [c.get_logged_model(v.source[8:]) for c, v in ((here, old), (there, new))]
    assert models[1].params == models[0].params
    assert models[1].params["depth"] == "3"
    metrics = [
        sorted((m.key, repr(m.value), m.step, m.dataset_name) for m in model.metrics)
        for model in models
    ]
    assert metrics[0] == metrics[1]
    assert {key for key, *_ in metrics[1]} >= {"auc", "brier"}
    profile = [
        Path(c.download_artifacts(r.info.run_id, "feature_profile.json")).read_bytes()
        for c, r in ((here, first), (there, second))
    ]
    assert profile[0] == profile[1]


def test_provenance_is_on_both_sides(judged: Judged, copied: dict[str, Any]) -> None:
    """Either end names the other, and both digests; the content is the same."""
    here, there = client(judged.registries.source), client(judged.registries.target)
    old, new = here.get_model_version(MODEL, "1"), there.get_model_version("tumours", "1")
    run = there.get_run(new.run_id)
    assert run.data.tags["source_registry"] == judged.registries.source
    assert run.data.tags["source_version"] == "1"
    assert run.data.tags["source_run_id"] == old.run_id
    assert new.tags["promoted_from_registry"] == judged.registries.source
    assert new.tags["promoted_from_version"] == "1"
    held = copied["source_tags"]
    assert held["promoted_to_digest"] == copied["target_digest"] == new.tags["promotion.digest"]
    assert new.tags["promotion.source_digest"] == held["promotion.digest"] == copied["digest"]
    assert new.tags["promotion.content_digest"] == held["promotion.content_digest"]
    assert not any(tag.startswith("promotion.stage") for tag in new.tags)


def test_the_bytes_at_the_target_have_the_digests_that_were_recorded(
    judged: Judged, copied: dict[str, Any], tmp_path: Path
) -> None:
    """Downloaded by MLflow itself, the artifact digests to what the ledger says, and loads."""
    done = subprocess.run(
        [
            *(str(SCRIPTS / "python"), "-c"),
            "import mlflow, sys\n"
            "info = mlflow.models.get_model_info('models:/tumours/1')\n"
            "assert info.signature is not None and info.run_id == sys.argv[2]\n"
            "mlflow.artifacts.download_artifacts('models:/tumours/1', dst_path=sys.argv[1])\n",
            *(str(tmp_path / "a"), copied["run_id"]),
        ],
        env=plain_environment() | {"MLFLOW_TRACKING_URI": judged.registries.target},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = manifest(tmp_path / "a")
    assert (found.digest, found.content_digest) == (
        copied["target_digest"],
        copied["content_digest"],
    )
    assert found.digest != copied["digest"]
    explained = explain(judged.workspace().ledger, MODEL, "1")
    assert any(
        e["event"] == "VERSION_COPIED" and "version 1 of tumours" in e["what"]
        for e in explained["timeline"]
    )


def test_the_attestation_is_verified_where_only_the_key_is(
    judged: Judged, copied: dict[str, Any], tmp_path: Path
) -> None:
    """The bundle that lies at the target is valid by the source's public key, statistics too."""
    there = client(judged.registries.target)
    folder = there.download_artifacts(copied["run_id"], "attestation", str(tmp_path))
    key = load_public(judged.folder / "home" / "keys" / "ledger.pub")
    found = verify_bundle(Path(folder) / "bundle.zip", [key])
    assert found.problems == ()
    assert found.trusted
    assert found.compared > 3


def test_a_repeated_copy_gives_the_same_version(judged: Judged, copied: dict[str, Any]) -> None:
    """Nothing is made a second time, and the ledger records one copy, of whoever was first."""
    before = len(copy_runs(judged.registries.target))
    again = copy(judged.workspace(), order(judged, "tumours", actor="bo"))
    assert again.event.target_version == copied["target_version"]
    assert again.event.target_run_id == copied["run_id"]
    assert len(copy_runs(judged.registries.target)) == before
    there = client(judged.registries.target)
    assert len(there.search_model_versions("name = 'tumours'")) == 1
    copies = judged.workspace().ledger.state(MODEL).copies["1"]
    assert [c.actor for c in copies if c.target_model == "tumours"] == ["ana"]


def test_what_is_not_approved_is_not_copied(judged: Judged) -> None:
    """A version that nobody judged, or that was rejected, is refused and leaves nothing there."""
    there = MlflowCopyTarget(judged.registries.target)
    workspace = judged.workspace()
    with pytest.raises(Refusal, match="no decision"):
        copy_to(workspace, there, order(judged, "bad", version="2"))
    rejection = evaluated("2", Clock(), model=MODEL, verdict="rejected", reason="AUC .5")
    workspace.ledger.append([rejection])
    with pytest.raises(Refusal, match=r"rejected by no gate named: AUC \.5"):
        copy_to(workspace, there, order(judged, "bad", version="2"))
    assert not there.client.search_model_versions("name = 'bad'")
    assert not copy_runs(judged.registries.target, of="2")


def test_a_registry_is_not_copied_to_itself(judged: Judged) -> None:
    """Credentials in the address do not make it another one, and are not shown."""
    address = judged.registries.source.replace("://", "://ana:hunter2@")
    asked = Order(MODEL, "1", address, MODEL, "ana")
    with pytest.raises(UsageError) as caught:
        copy_to(judged.workspace(), MlflowCopyTarget(address), asked)
    assert "hunter2" not in str(caught.value)


def test_a_target_that_goes_down_in_mid_copy_can_be_gone_on_with(judged: Judged) -> None:
    """Exit code 3 with a run and no version there; once it is back, the copy is finished."""
    line = Line(judged.registries.target, cut_after=30_000)
    command = ("copy", MODEL, "1", "--to", line.uri, "--as", "interrupted", "--json")
    before = len(copy_runs(judged.registries.target))
    done = judged.run(*command)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "goes on from here" in done.stderr
    assert len(copy_runs(judged.registries.target)) == before + 1
    there = client(judged.registries.target)
    assert not there.search_model_versions("name = 'interrupted'")
    assert "Traceback" not in done.stderr
    line.mend()
    copy(judged.workspace(), order(judged, "interrupted", to=line.uri))
    line.cut()
    assert len(there.search_model_versions("name = 'interrupted'")) == 1
    assert len(copy_runs(judged.registries.target)) == before + 1


def test_a_killed_command_is_gone_on_with(judged: Judged) -> None:
    """SIGKILL once its run is at the target: the next command makes one version of it."""
    command = [str(SCRIPTS / "promotion"), "copy", MODEL, "1", "--as", "killed", "--json"]
    before = len(copy_runs(judged.registries.target))
    with subprocess.Popen(
        [*command, "--to", judged.registries.target],
        env=plain_environment() | QUICK | judged.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while len(copy_runs(judged.registries.target)) == before:
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended before it could be killed"
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    there = client(judged.registries.target)
    assert process.returncode == -signal.SIGKILL
    assert not judged_copies(judged, "killed"), "there was nothing left to do"
    copy(judged.workspace(), order(judged, "killed"))
    assert len(there.search_model_versions("name = 'killed'")) == 1
    assert len(copy_runs(judged.registries.target)) == before + 1
    assert judged_copies(judged, "killed") == 1


def judged_copies(judged: Judged, name: str) -> int:
    """Return how many copies under ``name`` the ledger records."""
    copies = judged.workspace().ledger.state(MODEL).copies.get("1", ())
    return sum(copy.target_model == name for copy in copies)
