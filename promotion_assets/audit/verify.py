"""Find what was changed in a ledger, with nothing but its rows, a public key and checkpoints.

Entries are read once, in order, in bounded memory. Against each other they show a change, a gap,
a swap, a forgery; against checkpoints that were held elsewhere, a tail cut off or a chain made
anew by somebody who has the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from securesystemslib.signer import SSlibKey

from promotion_assets.audit.checkpoint import ORIGIN, Checkpoint, read_checkpoint
from promotion_assets.audit.entries import (
    FIRST_PREVIOUS,
    Entry,
    counts_at,
    keyid_of,
    last_of,
    read_statement,
    verify_signature,
)
from promotion_assets.audit.merkle import Frontier, leaf_hash
from promotion_assets.errors import IntegrityError

ProblemKind = Literal[
    "changed",
    "removed",
    "reordered",
    "duplicated",
    "forged",
    "truncated",
    "rewritten",
    "unreadable",
    "checkpoint",
]
# A ledger that was tampered with at large is as bad after a hundred problems as after a million.
MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was recorded.

    Attributes:
        sequence: the entry; ``None`` where a checkpoint is at fault, or confirms what an entry
            before it in the list shows.
    """

    kind: ProblemKind
    sequence: int | None
    what: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"kind": self.kind, "entry": self.sequence, "what": self.what}


@dataclass(frozen=True)
class Verification:
    """The answer: whether all is as it was recorded, and the problems in order of the ledger.

    Attributes:
        checkpoints: how many checkpoints were held against it; with none, a tail cut off or a
            chain made anew by whoever has the key goes unseen.
    """

    valid: bool
    entries: int
    problems: tuple[Problem, ...]
    head: str
    root: str
    checkpoints: int

    def to_json(self) -> dict[str, Any]:
        """Return the answer in the form that ``promotion audit verify --json`` prints."""
        return {
            "valid": self.valid,
            "entries": self.entries,
            "problems": [problem.to_json() for problem in self.problems],
            "head": self.head,
            "root": self.root,
            "checkpoints": self.checkpoints,
        }


CheckEntry = Callable[[Entry, "Walk"], Iterator[Problem]]


@dataclass
class Walk:
    """Where a verification stands; ``leaf`` is the hash of the entry that it is at."""

    next_sequence: int = 1
    previous: str = FIRST_PREVIOUS
    leaf: bytes = b""
    entries: int = 0
    models: dict[str, int] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    keys: dict[str, SSlibKey] = field(default_factory=dict)


def verify(
    entries: Iterable[Entry],
    keys: Sequence[SSlibKey],
    notes: Iterable[str] = (),
    *,
    origin: str = ORIGIN,
) -> Verification:
    """Verify everything: each hash, signature and place, and every checkpoint."""
    return _run(entries, keys, notes, origin, _check_all)


def verify_chain(
    entries: Iterable[Entry],
    keys: Sequence[SSlibKey],
    notes: Iterable[str] = (),
    *,
    origin: str = ORIGIN,
) -> Verification:
    """Verify hashes, order and checkpoints, and no entry's signature: fast, for every start.

    A forgery by somebody who rewrote all hashes is found only by :func:`verify`, or by a
    checkpoint.
    """
    return _run(entries, keys, notes, origin, _check_row)


def _run(
    entries: Iterable[Entry],
    keys: Sequence[SSlibKey],
    notes: Iterable[str],
    origin: str,
    check: CheckEntry,
) -> Verification:
    problems: list[Problem] = []
    checkpoints, bad = _read_checkpoints(notes, list(keys), origin)
    problems += bad
    waiting = sorted((c for c in checkpoints if c.size), key=lambda c: c.size, reverse=True)
    walk = Walk(keys={key.keyid: key for key in keys})
    agreed = 0
    for entry in entries:
        walk.leaf = leaf_hash(entry.envelope)
        for problem in check(entry, walk):
            if len(problems) < MOST_PROBLEMS:
                problems.append(problem)
        walk.frontier.append(walk.leaf)
        walk.entries += 1
        while waiting and waiting[-1].size == walk.entries:
            checkpoint = waiting.pop()
            if checkpoint.root == walk.frontier.root():
                agreed = checkpoint.size
            else:
                problems.append(_rewritten(agreed, checkpoint, problems))
    problems += [_truncated(c, walk.entries) for c in reversed(waiting) if c.size > walk.entries]
    return Verification(
        valid=not problems,
        entries=walk.entries,
        problems=tuple(sorted(problems, key=_place)),
        head=walk.previous,
        root=walk.frontier.root().hex(),
        checkpoints=len(checkpoints),
    )


def _check_row(entry: Entry, walk: Walk) -> Iterator[Problem]:
    """Check a row against the one before, by its columns; then step on to it."""
    at = entry.sequence
    gap = False
    if at > walk.next_sequence:
        gap = True
        last = at - 1
        which = (
            f"entry {last} is"
            if last == walk.next_sequence
            else (f"entries {walk.next_sequence} to {last} are")
        )
        yield Problem("removed", walk.next_sequence, f"{which} not there")
    elif at < walk.next_sequence:
        yield Problem("duplicated", at, f"number {at} occurs twice or out of order")
    computed = walk.leaf.hex()
    if computed != entry.hash:
        yield Problem("changed", at, "its envelope is not the one that its hash names")
    if not gap and entry.previous != walk.previous:
        yield Problem("changed", at, "it names another entry before it than the one there")
    walk.previous = computed
    walk.next_sequence = at + 1


def _check_all(entry: Entry, walk: Walk) -> Iterator[Problem]:
    """Check a row, its signature, and that it was signed for this place."""
    before, expected = walk.previous, walk.next_sequence
    yield from _check_row(entry, walk)
    at = entry.sequence
    try:
        predicate = read_statement(entry.envelope, at)["predicate"]
    except IntegrityError as error:
        yield Problem("unreadable", at, error.problem)
        return
    yield from _check_signature(entry, walk)
    yield from _check_place(entry, predicate, before if at == expected else None, walk)


def _check_signature(entry: Entry, walk: Walk) -> Iterator[Problem]:
    key = walk.keys.get(keyid_of(entry.envelope))
    if key is None:
        yield Problem("forged", entry.sequence, "it is signed by a key that is not trusted")
        return
    if not counts_at(key, entry.sequence):
        what = f"it is signed by a key that was replaced after entry {last_of(key)}"
        yield Problem("forged", entry.sequence, what)
        return
    try:
        verify_signature(entry.envelope, key, entry.sequence)
    except IntegrityError:
        yield Problem("forged", entry.sequence, "its signature does not fit what it says")


def _check_place(
    entry: Entry, predicate: dict[str, Any], before: str | None, walk: Walk
) -> Iterator[Problem]:
    at = entry.sequence
    signed = predicate.get("sequence")
    if signed != at:
        yield Problem("reordered", at, f"it was signed as entry {signed}")
        return
    if before is not None and predicate.get("previous") != before:
        yield Problem("changed", at - 1, f"entry {at} was signed after another entry than this one")
    event = predicate.get("event")
    said = event if isinstance(event, dict) else {}
    model = said.get("model") or said.get("model_name")
    columns = (entry.model, entry.model_sequence, entry.kind, entry.previous)
    attested = (model, predicate.get("modelSequence"), said.get("kind"), predicate.get("previous"))
    if columns != attested:
        yield Problem("changed", at, "a column of its row is not what was signed")
    if before is not None and entry.model_sequence != walk.models.get(entry.model, 0) + 1:
        yield Problem("changed", at, "its number among its model's entries is not the next one")
    walk.models[entry.model] = entry.model_sequence


def _read_checkpoints(
    notes: Iterable[str], keys: list[SSlibKey], origin: str
) -> tuple[list[Checkpoint], list[Problem]]:
    found: dict[tuple[int, bytes], Checkpoint] = {}
    problems = []
    for note in notes:
        try:
            checkpoint = read_checkpoint(note, keys, origin)
        except IntegrityError as error:
            size = "".join(note.splitlines()[1:2])[:20] or "?"
            problems.append(
                Problem("checkpoint", None, f"a checkpoint of size {size}: {error.problem}")
            )
            continue
        found[checkpoint.size, checkpoint.root] = checkpoint
    return list(found.values()), problems


def _rewritten(agreed: int, checkpoint: Checkpoint, known: Sequence[Problem]) -> Problem:
    span = range(agreed + 1, checkpoint.size + 1)
    # Where an entry among them was named already, the checkpoint only confirms it.
    named = any(problem.sequence in span for problem in known)
    return Problem(
        "rewritten",
        None if named else agreed + 1,
        f"entries {agreed + 1} to {checkpoint.size} are not all those that the checkpoint of "
        f"size {checkpoint.size} was signed over; the first difference lies among them",
    )


def _truncated(checkpoint: Checkpoint, entries: int) -> Problem:
    return Problem(
        "truncated",
        entries + 1,
        f"a checkpoint was signed over {checkpoint.size} entries and there are {entries}: "
        f"entry {entries + 1} and what follows was cut off",
    )


def _place(problem: Problem) -> tuple[bool, int]:
    """Sort by entry; what names no entry comes last."""
    return problem.sequence is None, problem.sequence or 0
