"""The platform as it is installed somewhere: its folder, policy, ledger, registry and clock."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from securesystemslib.signer import CryptoSigner, SSlibKey

from promotion_assets.adapters.checkpoint_s3 import open_s3_place
from promotion_assets.adapters.keys import load_public, load_signer, public_keys
from promotion_assets.adapters.ledger_store import open_ledger
from promotion_assets.adapters.private_files import make_private_folder
from promotion_assets.adapters.tracing import start_tracing
from promotion_assets.audit.checkpoint import Checkpointer, CheckpointPlace, FilePlace
from promotion_assets.audit.ledger import Ledger
from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets.policy.model import ModelPolicy, Policy
from promotion_assets.policy.names import names_of_models

if TYPE_CHECKING:
    # MLflow and the gates take seconds to import, and what only reads the ledger needs neither.
    from promotion_assets.adapters.registry_mirror import MirroringRegistry
    from promotion_assets.pipeline.policy_cache import ReadPolicy

CONFIG_NAME = "promotion.yaml"
HOME_NAME = ".promotion"


def unconfigured(config: Path, environ: Mapping[str, str] | None = None) -> Workspace:
    """Return a workspace whose policy ``config`` is still to be written: for its registry alone."""
    environ = os.environ if environ is None else environ
    folder = config.absolute().parent
    return Workspace(
        home=folder / HOME_NAME,
        config=config.absolute(),
        database_url=f"sqlite:///{folder / HOME_NAME}/ledger.db",
        tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}",
        registry_uri=environ.get("MLFLOW_REGISTRY_URI") or None,
        environ=environ,
    )


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Workspace:
    """Everything that a step needs, and nothing that it reaches for.

    Attributes:
        home: ``PROMOTION_HOME``, where state lives.
        config: the policy file.
        database_url: the ledger's database.
        tracking_uri: MLflow's tracking URI; the registry's where ``registry_uri`` is ``None``.
        environ: environment variables; secrets are among them and in the addresses, so that none
            of these is ever shown.
    """

    home: Path
    config: Path
    database_url: str = field(repr=False)
    tracking_uri: str = field(repr=False)
    registry_uri: str | None = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def open(
        cls,
        *,
        home: Path | None = None,
        config: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> Workspace:
        """Find the policy and the folder, from arguments first, then from the environment.

        From then on this process is traced, where the environment names a collector.

        Raises:
            UsageError: there is no policy file.
        """
        environ = os.environ if environ is None else environ
        start_tracing(environ)
        config = (config or Path(environ.get("PROMOTION_CONFIG") or CONFIG_NAME)).absolute()
        if not config.is_file():
            raise UsageError(
                "opening the platform",
                f"there is no policy file at {config}",
                "go to its folder, or name it with --config or PROMOTION_CONFIG; "
                "`promotion demo` makes one to look at",
            )
        named = home or (Path(environ["PROMOTION_HOME"]) if environ.get("PROMOTION_HOME") else None)
        folder = (named or config.parent / HOME_NAME).absolute()
        default_mlflow = f"sqlite:///{config.parent / 'mlflow.db'}"
        return cls(
            home=folder,
            config=config,
            database_url=environ.get("PROMOTION_DATABASE_URL") or f"sqlite:///{folder}/ledger.db",
            tracking_uri=environ.get("MLFLOW_TRACKING_URI") or default_mlflow,
            registry_uri=environ.get("MLFLOW_REGISTRY_URI") or None,
            environ=environ,
            clock=clock,
        )

    @cached_property
    def policy(self) -> Policy:
        """The validated policy."""
        return self._read_policy.policy

    @property
    def policy_digests(self) -> Mapping[str, str]:
        """The digest of each model's policy."""
        return self._read_policy.digests

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The names of the policy's models: what stands where does not depend on any gate."""
        return names_of_models(self.config) or tuple(self.policy.models)

    def check_model(self, model: str) -> None:
        """See that the policy file names ``model``, without reading what it asks of it.

        Raises:
            UsageError: it does not.
        """
        if model not in self.models:
            raise self._unknown(model)

    @cached_property
    def _read_policy(self) -> ReadPolicy:
        from promotion_assets.pipeline.policy_cache import read_policy

        return read_policy(self.config, self.environ)

    def policy_of(self, model: str) -> ModelPolicy:
        """Return the policy of ``model``.

        Raises:
            UsageError: the policy file does not name it.
        """
        if model not in self.policy.models:
            raise self._unknown(model)
        return self.policy.models[model]

    def _unknown(self, model: str) -> UsageError:
        near = difflib.get_close_matches(model, self.models, n=1, cutoff=0.5)
        return UsageError(
            f"looking up the policy of {model}",
            f"{self.config.name} has {', '.join(sorted(self.models))} and not {model!r}",
            (f"did you mean {near[0]!r}? If not, " if near else "")
            + "correct the name, or add the model to the policy",
        )

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, migrated to this release's form."""
        self.make_home()
        signer = self.signer
        return open_ledger(self.database_url, signer, self.clock, trusted=self.trusted_keys)

    def close(self) -> None:
        """Close the ledger, if it was opened."""
        opened = vars(self).get("ledger")
        if opened is not None:
            opened.close()

    def make_home(self) -> None:
        """Make the folder in which state lives, for this user alone, unless it is there.

        Raises:
            StorageUnreachable: it cannot be made.
        """
        try:
            make_private_folder(self.home)
        except OSError as error:
            raise StorageUnreachable(
                f"making the folder {self.home}",
                str(error),
                "mend the permissions, or name another folder with PROMOTION_HOME",
            ) from error

    @cached_property
    def signer(self) -> CryptoSigner:
        """The key that signs ledger entries and checkpoints."""
        return load_signer(self.keys, self.environ)

    @property
    def trusted_keys(self) -> list[SSlibKey]:
        """The public keys whose entries count: of this signer, and of those before it."""
        return [load_public(path) for path in public_keys(self.keys, self.environ)]

    @property
    def keys(self) -> Path:
        """Where the signing key and the public key are."""
        return self.home / "keys"

    @cached_property
    def checkpoint_places(self) -> tuple[CheckpointPlace, ...]:
        """Where checkpoints are published: a folder, MLflow, and what the environment names.

        ``PROMOTION_CHECKPOINTS`` names a folder that another administrator owns, or a bucket
        with Object Lock (``s3://bucket/prefix``); without one, whoever owns this machine can
        rewrite the ledger and every checkpoint of it.

        Raises:
            UsageError: it is an address of S3 that is not of the right form.
        """
        from promotion_assets.adapters.checkpoint_tag import TagPlace

        tags = [TagPlace(self.registry, model) for model in self.policy.models]
        return (FilePlace(self.home / "checkpoints"), *self.named_places, *tags)

    @property
    def named_places(self) -> tuple[CheckpointPlace, ...]:
        """The place that the environment names, if it names one."""
        named = self.environ.get("PROMOTION_CHECKPOINTS")
        if not named:
            return ()
        if named.startswith("s3:"):
            return (open_s3_place(named, self.clock),)
        return (FilePlace(Path(named)),)

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """What signs and publishes how far the ledger has come."""
        return Checkpointer(self.ledger, self.signer, self.checkpoint_places)

    @cached_property
    def registry(self) -> MirroringRegistry:
        """The MLflow registry."""
        from promotion_assets.adapters.registry_mirror import MirroringRegistry

        return MirroringRegistry(self.tracking_uri, self.registry_uri)

    @property
    def store(self) -> Path:
        """The content-addressed store of artifacts, dataset versions and scores, in the home."""
        self.make_home()
        return self.home / "store"
