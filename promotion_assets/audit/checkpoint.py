"""Checkpoints: how far the ledger had come, signed, and held where its database is not.

A chain of hashes shows a changed row; it does not show a tail cut off, nor a whole chain made
anew by whoever has the key. A checkpoint held elsewhere does. Form: C2SP tlog-checkpoint
(https://c2sp.org/tlog-checkpoint), a signed note of origin, number of entries and tree head.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from securesystemslib.signer import SSlibKey

from promotion_assets.audit.entries import Signer, counts_at
from promotion_assets.audit.ledger import Ledger
from promotion_assets.audit.merkle import EMPTY_ROOT, HASH_SIZE, Frontier, leaf_hash
from promotion_assets.audit.note import open_note, sign_note
from promotion_assets.errors import IntegrityError, StorageUnreachable, Unreachable

ORIGIN = "promotion-assets/ledger"


@dataclass(frozen=True)
class Checkpoint:
    """The first ``size`` entries, named by their tree head.

    Attributes:
        origin: which ledger; a ledger's name for all its life.
    """

    size: int
    root: bytes
    origin: str = ORIGIN

    def text(self) -> str:
        """Return the note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class CheckpointPlace(Protocol):
    """Somewhere outside the ledger's database that keeps checkpoints."""

    @property
    def name(self) -> str:
        """The place's name, for people."""

    def publish(self, size: int, note: str) -> str:
        """Keep a checkpoint; return where it is.

        Raises:
            Unreachable: if it could not be kept.
        """

    def held(self) -> Iterable[str]:
        """Return the checkpoints that the place holds, in any order.

        Raises:
            Unreachable: if they cannot be read.
        """


@dataclass(frozen=True)
class Published:
    """What became of one checkpoint: where it is held, and which places failed, and why."""

    checkpoint: Checkpoint
    note: str
    held_at: tuple[str, ...]
    failed: tuple[str, ...]


class Checkpointer:
    """Follows one ledger, and publishes checkpoints of it.

    The tree is kept as its frontier, so that each checkpoint costs the entries since the last.
    """

    def __init__(
        self,
        ledger: Ledger,
        signer: Signer,
        places: Sequence[CheckpointPlace],
        origin: str = ORIGIN,
    ) -> None:
        self._ledger = ledger
        self._signer = signer
        self._places = places
        self._origin = origin
        self._frontier = Frontier()

    def publish(self) -> Published:
        """Sign a checkpoint of the ledger as it is now, and give it to every place.

        A place that fails stops neither the others nor the caller; it is named in the answer.

        Raises:
            LedgerUnreachable: if the ledger cannot be read.
        """
        for entry in self._ledger.entries(after=self._frontier.size):
            self._frontier.append(leaf_hash(entry.envelope))
        checkpoint = Checkpoint(self._frontier.size, self._frontier.root(), self._origin)
        note = sign_note(checkpoint.text(), self._origin, self._signer)
        held, failed = [], []
        for place in self._places:
            try:
                held.append(place.publish(checkpoint.size, note))
            except Unreachable as error:
                failed.append(f"{place.name}: {error.problem}")
        return Published(checkpoint, note, tuple(held), tuple(failed))


def read_checkpoint(note: str, keys: list[SSlibKey], origin: str = ORIGIN) -> Checkpoint:
    """Return the checkpoint in a signed note.

    Raises:
        IntegrityError: if no trusted key signed it, or it is of another ledger.
    """
    text = open_note(note, keys)
    lines = text.split("\n")
    try:
        found = Checkpoint(int(lines[1]), base64.b64decode(lines[2], validate=True), lines[0])
        if found.text() != text[: len(found.text())]:
            raise ValueError("not in canonical form")
        if not _possible(found):
            raise ValueError("no ledger has such a head")
    except (ValueError, IndexError, binascii.Error) as error:
        raise IntegrityError(
            f"read the checkpoint of size {''.join(lines[1:2])[:20] or '?'}",
            f"it is signed and not of the form ({error})",
            "compare it with the checkpoints at other places: what wrote it had the signing key "
            "and was not this release",
        ) from error
    in_time = [key for key in keys if counts_at(key, found.size)]
    if len(in_time) < len(keys):
        open_note(note, in_time)
    if found.origin != origin:
        raise IntegrityError(
            f"read the checkpoint of size {found.size}",
            f"it is of the ledger {found.origin!r} and not of {origin!r}",
            "name the checkpoints of this ledger",
        )
    return found


def _possible(checkpoint: Checkpoint) -> bool:
    """Whether some ledger can have this head: an impossible one is compared with nothing."""
    if checkpoint.size <= 0:
        return checkpoint.size == 0 and checkpoint.root == EMPTY_ROOT
    return len(checkpoint.root) == HASH_SIZE


@dataclass(frozen=True)
class FilePlace:
    """Checkpoints as files in a folder; best one that another administrator owns."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def publish(self, size: int, note: str) -> str:
        """Write ``checkpoint-<size>.txt``; one that is there already is never replaced."""
        path = self.folder / f"checkpoint-{size:012d}.txt"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(note)
        except FileExistsError:
            self._same(path, note)
        except OSError as error:
            raise StorageUnreachable(
                f"publish a checkpoint to {self.folder}",
                str(error),
                "make that folder writable for this user",
            ) from error
        return str(path)

    def held(self) -> Iterable[str]:
        """Read every checkpoint in the folder; a damaged one as well, which no key has signed."""
        try:
            return [
                path.read_text(encoding="utf-8", errors="replace")
                for path in sorted(self.folder.glob("checkpoint-*.txt"))
            ]
        except OSError as error:
            raise StorageUnreachable(
                f"read the checkpoints in {self.folder}",
                str(error),
                "make that folder readable for this user",
            ) from error

    def _same(self, path: Path, note: str) -> None:
        if path.read_bytes() != note.encode():
            raise StorageUnreachable(
                f"publish a checkpoint to {self.folder}",
                f"{path.name} is there already and says something else",
                "run `promotion audit verify`: two histories of one ledger exist",
            )
