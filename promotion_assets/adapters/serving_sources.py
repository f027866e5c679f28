"""Where a server takes plan and versions from: the ledger, the store, and the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from promotion_assets.adapters.keys import load_public
from promotion_assets.adapters.ledger_store import VerifiedEntries, open_verified
from promotion_assets.adapters.served_model import Trust, load_model
from promotion_assets.errors import (
    EvidenceMissing,
    IntegrityError,
    RegistryUnreachable,
)
from promotion_assets.evaluation.artifact import take_in, verify
from promotion_assets.lifecycle.fold import check_whole
from promotion_assets.serving.model import Model, Planned
from promotion_assets.serving.plan import Arm

Download = Callable[[str, str, Path], Path]


class LedgerPlans:
    """The plan as the ledger attests it; opened anew after it could not be read.

    Args:
        keys: public keys of those whose entries count.
    """

    def __init__(self, url: str, keys: Sequence[Path], model: str) -> None:
        self._url = url
        self._keys = [load_public(path) for path in keys]
        self._model = model
        self._entries: VerifiedEntries | None = None

    def read(self) -> Planned:
        """Return the plan of now; see the protocol."""
        if self._entries is None:
            self._entries = open_verified(self._url, self._keys)
        state = self._entries.state(self._model)
        if state.traffic is None:
            raise EvidenceMissing(
                f"reading the traffic plan of {self._model}",
                "the ledger attests none: the model has no champion",
                "adopt or promote a version first; see `promotion status`",
            )
        check_whole(state)
        return Planned(state.traffic, state.sequence)

    def close(self) -> None:
        """Close the database's connections."""
        if self._entries is not None:
            self._entries.close()


class StoredModels:
    """Versions from the content-addressed store; what is not there comes from the registry.

    Args:
        store: directories named by digest.
        download: copies a version's artifact below a folder and returns its root.
        trust: what may be loaded.
        positive: the label whose probability is the score.
    """

    def __init__(
        self, model: str, store: Path, download: Download, trust: Trust, positive: object = 1
    ) -> None:
        self._model = model
        self._store = store
        self._download = download
        self._trust = trust
        self._positive = positive

    def directory(self, arm: Arm) -> Path:
        """Return where the version's artifact is, verified; see the protocol."""
        kept = self._store / arm.digest
        if kept.exists():
            verify(kept, arm.digest)
            return kept
        return self._fetched(arm)

    def load(self, arm: Arm) -> Model:
        """Load a version; see the protocol."""
        directory = self.directory(arm)
        loaded = load_model(arm, directory, self._trust, self._positive)
        # What was loaded is what was verified only if nobody changed it in between.
        verify(directory, arm.digest)
        return loaded

    def _fetched(self, arm: Arm) -> Path:
        doing = f"fetching version {arm.version} of {self._model} to serve it"
        with tempfile.TemporaryDirectory(prefix="promotion-serve-") as scratch:
            try:
                root = self._download(self._model, arm.version, Path(scratch))
            except FileNotFoundError as error:
                raise RegistryUnreachable(
                    doing,
                    f"its artifact is not there ({error})",
                    f"look up the source of version {arm.version} in MLflow and bring its files "
                    "back; a server that runs keeps the plan that it has until then",
                ) from error
            directory, found = take_in(root, self._store)
        if found.digest != arm.digest:
            raise IntegrityError(
                doing,
                f"the registry's artifact has the digest {found.digest[:16]}…, the plan says "
                f"{arm.digest[:16]}…",
                "do not serve it; `promotion reconcile` says what was changed in the registry",
            )
        return directory
