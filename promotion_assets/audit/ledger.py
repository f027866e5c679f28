"""The ledger as audit reads it: beside its events, the stored entries and how far it has come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from promotion_assets.audit.entries import Entry
from promotion_assets.lifecycle import ports


@dataclass(frozen=True)
class Head:
    """How far a ledger has come: the number of its entries, and the last one's hash."""

    size: int
    hash: str


class Ledger(ports.Ledger, Protocol):
    """The append-only record, with its entries as they are stored."""

    def entries(self, model: str | None = None, after: int | None = None) -> Iterator[Entry]:
        """Yield the stored entries past sequence ``after``, of one model or of all, in order."""

    def head(self) -> Head:
        """Return the ledger's size and last hash."""
