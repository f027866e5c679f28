"""What is found in the registry that is not what the ledger says, and its end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from promotion_assets.lifecycle.event_base import Event, Value


class Deviation(Value):
    """One thing in the registry that is not what the ledger says.

    ``subject`` is ``alias``, ``stage``, ``tag``, ``artifact`` or ``version``; ``name`` says
    which one.
    """

    subject: Literal["alias", "stage", "tag", "artifact", "version"]
    name: str
    version: str | None = None
    expected: str | None = None
    found: str | None = None

    def sentence(self) -> str:
        """Say it in one sentence."""
        of = f" of version {self.version}" if self.version else ""
        expected = "absent" if self.expected is None else repr(self.expected)
        found = "absent" if self.found is None else repr(self.found)
        return f"{self.subject} {self.name!r}{of} should be {expected} and is {found}"


class RegistryTampered(Event):
    """Somebody else moved a stage, alias or tag in the registry, or changed an artifact."""

    kind: Literal["REGISTRY_TAMPERED"] = "REGISTRY_TAMPERED"
    deviations: tuple[Deviation, ...] = Field(min_length=1)
    open_intent: str | None = None


class RegistryRestored(Event):
    """The registry says again what the ledger says.

    ``actor`` is ``promotion`` where the policy had it put back.
    """

    kind: Literal["REGISTRY_RESTORED"] = "REGISTRY_RESTORED"
    deviations: tuple[Deviation, ...] = ()
