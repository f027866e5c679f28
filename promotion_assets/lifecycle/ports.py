"""What the lifecycle asks of the ledger and of the registry; ``adapters`` give it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from promotion_assets.lifecycle.events import AnyEvent, Recorded, Stage
from promotion_assets.lifecycle.stages import ModelState


class Ledger(Protocol):
    """The append-only record of everything that happened."""

    def append(
        self, events: Sequence[AnyEvent], *, expect_sequence: int | None = None
    ) -> tuple[Recorded, ...]:
        """Record ``events``, all of one model, in one transaction: all of them or none.

        Args:
            expect_sequence: the model's sequence that the writer decided on; ``None`` appends
                after whatever is there.

        Raises:
            Conflict: if the model's sequence is another one by now.
            IntegrityError: if the events cannot follow the model's history.
            LedgerUnreachable: if the database does not take the write; nothing was recorded.
        """

    def events(self, model: str | None = None) -> Iterator[Recorded]:
        """Yield what is recorded, of one model or of all, in order."""

    def state(self, model: str) -> ModelState:
        """Return the model's state, folded from its events."""

    def models(self) -> tuple[str, ...]:
        """Return the names of all models that the ledger knows, sorted."""


@dataclass(frozen=True)
class MirroredVersion:
    """What the registry shows of one version.

    Attributes:
        stage: the value of the tag ``promotion.stage``, as it stands there.
        legacy_stage: the registry's own stage, ``None`` where the server has none.
        tags: the tags ``promotion.*`` and ``gate.*``.
    """

    stage: str | None = None
    legacy_stage: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryView:
    """What the registry shows of one model: every alias, and the versions asked for."""

    aliases: Mapping[str, str]
    versions: Mapping[str, MirroredVersion]


class Registry(Protocol):
    """The registry as a mirror of the ledger."""

    def mirror(
        self,
        model: str,
        version: str,
        stage: Stage,
        aliases: Collection[str],
        tags: Mapping[str, str],
    ) -> None:
        """Make the registry show ``version`` like this; repeating it changes nothing.

        Args:
            stage: written as the legacy stage where the server still takes it, never with
                ``archive_existing_versions``.
            aliases: the managed aliases (see :func:`promotion_assets.lifecycle.mirror.is_managed`)
                that the version holds afterwards; other managed ones that point to it go, and
                unmanaged ones stay.
            tags: set as given, ``promotion.stage`` among them; no tag is removed.

        Raises:
            RegistryUnreachable: if the registry does not answer or does not take the change.
        """

    def read_mirror(self, model: str, versions: Collection[str] | None = None) -> RegistryView:
        """Return what the registry shows now; all versions where ``versions`` is ``None``.

        A version that the registry does not have is absent from the answer.

        Raises:
            RegistryUnreachable: if the registry does not answer.
        """
