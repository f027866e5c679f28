"""From development over staging to production: three registries, three ledgers, three keys."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from mlflow.tracking import MlflowClient

from promotion_assets.cli.root import root
from promotion_assets.defs.instance import evaluate_version
from promotion_assets.errors import IntegrityError, PolicyError, TransitionRefused, UsageError
from promotion_assets.lifecycle.copying import CopyTarget
from promotion_assets.lifecycle.events import Stage
from promotion_assets.pipeline.copying import Order, copy_to
from promotion_assets.pipeline.environments import address_of, check_arrival, here
from promotion_assets.pipeline.evaluator import Evaluator
from promotion_assets.pipeline.promoting import promote
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.registries import plain_environment
from promotion_assets_tests.small_models import (
    MODEL,
    log_both,
    register,
    write_dataset,
    write_policy,
)

NAMES = ("dev", "staging", "prod")
WAY = """
environments:
  - {name: dev, registry: "${DEV}"}
  - {name: staging, registry: "${STAGING}", trusted_keys: [dev.pub]}
  - {name: prod, registry: "${PROD}", trusted_keys: [staging.pub]}
"""


@dataclass(frozen=True)
class Site:
    """One environment's installation."""

    folder: Path
    environ: Mapping[str, str]

    def workspace(self) -> Workspace:
        """Open the platform there."""
        return Workspace.open(environ=self.environ)

    def evaluate(self, version: str) -> None:
        """Have a version judged there; it is approved."""
        with dg.DagsterInstance.ephemeral() as instance:
            made = evaluate_version(self.workspace(), MODEL, version, instance)
        assert made.approved, made.reason

    def run(self, *command: str) -> Result:
        """Run ``promotion`` there, in this process."""
        return CliRunner().invoke(root, command, env=dict(self.environ), catch_exceptions=False)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """Three installations that know each other's addresses and the key of the one before."""
    root = tmp_path_factory.mktemp("environments")
    uris = {name: f"sqlite:///{root / name / 'mlflow.db'}" for name in NAMES}
    found = {}
    for name in NAMES:
        folder = root / name
        folder.mkdir()
        config = write_policy(folder)
        config.write_text(config.read_text() + WAY)
        write_dataset(folder)
        found[name] = Site(
            folder,
            plain_environment()
            | {n.upper(): uri for n, uri in uris.items()}
            | {
                "PROMOTION_CONFIG": str(config),
                "PROMOTION_HOME": str(folder / "home"),
                "MLFLOW_TRACKING_URI": uris[name],
            },
        )
        # The registry's tables, and the experiment where copies find a place for their files.
        MlflowClient(uris[name], uris[name]).create_experiment(
            "small", (folder / "artifacts").as_uri()
        )
        _ = found[name].workspace().signer
    for before, after in pairwise(NAMES):
        public = found[before].folder / "home" / "keys" / "ledger.pub"
        shutil.copy(public, found[after].folder / f"{before}.pub")
    with pytest.MonkeyPatch.context() as patch:
        # Runs of Dagster open the workspace by the environment of this process.
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("MLFLOW_REGISTRY_URI", raising=False)
        for name in ("DEV", "STAGING", "PROD"):
            patch.setenv(name, uris[name.lower()])
        yield found


@pytest.fixture(scope="module")
def copied(sites: dict[str, Site]) -> dict[str, str]:
    """The version in each environment, copied from one to the next by command."""
    dev = sites["dev"]
    sound, _ = log_both(dev.environ["MLFLOW_TRACKING_URI"], dev.folder / "elsewhere")
    versions = {"dev": register(dev.environ["MLFLOW_TRACKING_URI"], sound)}
    for here_, there in pairwise(NAMES):
        sites[here_].evaluate(versions[here_])
        done = sites[here_].run("copy", MODEL, versions[here_], "--to", there, "--json")
        assert done.exit_code == 0, done.output
        versions[there] = json.loads(done.stdout)["target_version"]
    return versions


def test_each_environment_verifies_what_arrives_and_lets_it_in(
    sites: dict[str, Site], copied: dict[str, str]
) -> None:
    """What was approved in one is judged anew in the next, and goes on from there with a proof."""
    for place, name in enumerate(NAMES):
        opened = sites[name].workspace()
        assert here(opened) == place
        arrival = check_arrival(opened, MODEL, copied[name])
        if place == 0:
            assert arrival is None
            continue
        assert arrival is not None
        before = sites[NAMES[place - 1]].workspace()
        assert arrival.source_registry == before.tracking_uri
        assert arrival.source_version == copied[NAMES[place - 1]]
        decided = before.ledger.state(MODEL).decisions[arrival.source_version]
        assert arrival.decision_digest == decided.decision_digest
    sites["prod"].evaluate(copied["prod"])
    evaluator = Evaluator(sites["prod"].workspace(), MODEL)
    assert promote(evaluator, copied["prod"], Stage.STAGING, actor="ana") is Stage.STAGING


def test_what_was_registered_past_the_way_is_not_let_in(
    sites: dict[str, Site], copied: dict[str, str]
) -> None:
    """A version that somebody registers in staging by hand passes the gates and stays outside."""
    staging = sites["staging"]
    uri = staging.environ["MLFLOW_TRACKING_URI"]
    client = MlflowClient(uri, uri)
    source = client.get_model_version_download_uri(MODEL, copied["staging"])
    run = client.create_run(client.get_experiment_by_name("small").experiment_id)
    by_hand = client.create_model_version(MODEL, source, run.info.run_id)
    version = str(by_hand.version)
    staging.evaluate(version)
    evaluator = Evaluator(staging.workspace(), MODEL)
    with pytest.raises(TransitionRefused, match="no attestation of dev"):
        promote(evaluator, version, Stage.STAGING, actor="mallory")
    assert evaluator.workspace.ledger.state(MODEL).stage(version) is Stage.NONE
    prod = address_of(evaluator.workspace, "prod")
    with pytest.raises(TransitionRefused, match="no attestation of dev"):
        # It is refused before anything is asked of the target.
        copy_to(
            evaluator.workspace, cast(CopyTarget, None), Order(MODEL, version, prod, MODEL, "m")
        )


def test_another_key_and_another_artifact_are_found(
    sites: dict[str, Site], copied: dict[str, str], tmp_path: Path
) -> None:
    """The proof holds by the key of the environment before, for exactly the bytes that came."""
    staging = sites["staging"]
    key = staging.folder / "dev.pub"
    kept = key.read_bytes()
    shutil.copy(staging.folder / "home" / "keys" / "ledger.pub", key)
    try:
        with pytest.raises(IntegrityError, match="no trusted key"):
            check_arrival(staging.workspace(), MODEL, copied["staging"])
    finally:
        key.write_bytes(kept)
    uri = staging.environ["MLFLOW_TRACKING_URI"]
    client = MlflowClient(uri, uri)
    address = client.get_model_version_download_uri(MODEL, copied["staging"])
    placed = Path(address.removeprefix("file://"))
    model = next(file for file in placed.rglob("model.*") if file.is_file())
    original = model.read_bytes()
    model.write_bytes(original + b" ")
    try:
        with pytest.raises(IntegrityError, match="has the digest"):
            check_arrival(staging.workspace(), MODEL, copied["staging"])
    finally:
        model.write_bytes(original)
    assert check_arrival(staging.workspace(), MODEL, copied["staging"]) is not None


def test_the_way_is_gone_one_step_at_a_time(sites: dict[str, Site]) -> None:
    """From dev to prod leads no single step, by name or by address, and none leads back."""
    dev, prod = sites["dev"].workspace(), sites["prod"].workspace()
    assert address_of(dev, "staging") == sites["staging"].environ["MLFLOW_TRACKING_URI"]
    for to in ("prod", prod.tracking_uri):
        with pytest.raises(UsageError, match="one step at a time"):
            address_of(dev, to)
    with pytest.raises(UsageError, match="no environment after"):
        address_of(prod, "dev")
    with pytest.raises(UsageError, match="known are dev, staging, prod"):
        address_of(dev, "production")
    assert address_of(dev, "https://mlflow.example.org") == "https://mlflow.example.org"


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ("[{name: a, registry: x}, {name: b, registry: y}]", "b needs trusted_keys"),
        ("[{name: a, registry: x}, {name: a, registry: y, trusted_keys: [k]}]", "one name"),
        ("[{name: A, registry: x}]", "name"),
    ],
)
def test_environments_that_make_no_way_are_refused(tmp_path: Path, stanza: str, said: str) -> None:
    """Each but the first says whom it trusts."""
    config = write_policy(tmp_path)
    config.write_text(f"{config.read_text()}\nenvironments: {stanza}\n")
    with pytest.raises(PolicyError, match=said):
        _ = Workspace.open(config=config, environ=os.environ).policy
