"""The engine that is always here: this machine, one shard after the other, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from promotion_assets.evaluation.large.engine import Scoring, ShardAnswers
from promotion_assets.evaluation.large.scoring import ShardScorer
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.scores import ScoringFailure

Part = TypeVar("Part")


class StreamingEngine:
    """Scores in one child, counts in this process; memory is that of two shards."""

    name = "streaming"

    def score(
        self, scoring: Scoring, shards: Sequence[Shard]
    ) -> Iterator[ShardAnswers | ScoringFailure]:
        """See :class:`~.engine.Engine`; take all answers in the thread that takes the first."""
        with ShardScorer(scoring, len(shards)) as scorer:
            yield from scorer.answers(shards)

    def count(self, work: Callable[[Shard], Part], shards: Sequence[Shard]) -> Iterator[Part]:
        """See :class:`~.engine.Engine`."""
        return map(work, shards)

    def close(self) -> None:
        """Nothing is held between calls."""
