"""Who works on shards: the one interface behind which machines and memory are hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.isolation import Isolation
from promotion_assets.evaluation.large.shards import Shard, Snapshot
from promotion_assets.evaluation.scores import Floats, ScoringFailure
from promotion_assets.policy.model import Sandbox

Part = TypeVar("Part")


@dataclass(frozen=True)
class Scoring:
    """What must be known to ask one version for its answers, on any machine.

    Attributes:
        directory, model_digest, question, limits, trusted_types, allow_pickle, isolation: as for a
            :class:`~promotion_assets.evaluation.session.Session`. The limits hold for a shard.
        snapshot: the rows; only ``features`` of them are read, so no label enters a sandbox.
        batch_rows: rows that the model is given at a time.
    """

    directory: Path
    model_digest: str
    question: Question
    limits: Sandbox
    snapshot: Snapshot
    features: tuple[str, ...]
    batch_rows: int
    trusted_types: tuple[str, ...] = ()
    allow_pickle: bool = False
    isolation: Isolation | None = None


@dataclass(frozen=True)
class ShardAnswers:
    """One version's answers to the rows of one shard.

    Attributes:
        seconds: what the child says that it took.
        peak_memory_bytes: of the child so far.
    """

    values: Floats
    seconds: float
    peak_memory_bytes: int
    isolation: Isolation


class Engine(Protocol):
    """Works on shards and gives what it finds in the order in which the shards were given.

    Whatever goes wrong with a version is a :class:`ScoringFailure` in the place of its shard's
    answers, and nothing comes after it. Whatever goes wrong with rows is raised.
    """

    @property
    def name(self) -> str:
        """What it is called in records."""

    def score(
        self, scoring: Scoring, shards: Sequence[Shard]
    ) -> Iterator[ShardAnswers | ScoringFailure]:
        """Ask a version, loaded once in each sandbox, for its answers to every shard.

        Raises:
            IntegrityError: the rows changed while they were read.
        """

    def count(self, work: Callable[[Shard], Part], shards: Sequence[Shard]) -> Iterator[Part]:
        """Return what ``work``, which can be sent to other machines, finds in every shard.

        Raises:
            IntegrityError: rows or answers changed while they were read.
        """

    def close(self) -> None:
        """Give back what was taken to work; the next call takes it again."""
