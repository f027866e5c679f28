"""A registry that is opened when it is first asked, so that what counts is not kept waiting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from promotion_assets.lifecycle.events import Stage
from promotion_assets.lifecycle.ports import Registry, RegistryView


class LateRegistry:
    """A :class:`promotion_assets.lifecycle.ports.Registry` behind what opens one.

    MLflow takes seconds to import. A rollback holds from the plan on, which the ledger has before
    the registry is told.
    """

    def __init__(self, opened: Callable[[], Registry]) -> None:
        self._opened = opened

    def mirror(
        self,
        model: str,
        version: str,
        stage: Stage,
        aliases: Collection[str],
        tags: Mapping[str, str],
    ) -> None:
        """Make the registry show a version; see the protocol."""
        self._opened().mirror(model, version, stage, aliases, tags)

    def read_mirror(self, model: str, versions: Collection[str] | None = None) -> RegistryView:
        """Return what the registry shows; see the protocol."""
        return self._opened().read_mirror(model, versions)
