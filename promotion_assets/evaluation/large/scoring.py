"""One version in one sandbox, asked for the answers to one shard after the other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from promotion_assets.evaluation.features import ParquetFeatures
from promotion_assets.evaluation.large.engine import Scoring, ShardAnswers
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.sandbox import SandboxedProcess
from promotion_assets.evaluation.scores import Floats, ScoringFailure
from promotion_assets.evaluation.session import Session


@dataclass(frozen=True)
class _Placed:
    """A shard's features where the child can read them."""

    shard: Shard
    path: Path
    rows: int


class ShardScorer:
    """A sandbox with one version in it. Open, use and close it in one thread, as a session.

    Args:
        scoring: the version, and the rows.
        shards: how many it may be asked about: CPU time is limited for each.
    """

    def __init__(self, scoring: Scoring, shards: int) -> None:
        self.scoring = scoring
        limits = scoring.limits
        self._session = Session(
            scoring.directory,
            scoring.model_digest,
            question=scoring.question,
            limits=limits.model_copy(update={"cpu_seconds": limits.cpu_seconds * max(shards, 1)}),
            trusted_types=scoring.trusted_types,
            allow_pickle=scoring.allow_pickle,
            isolation=scoring.isolation,
        )
        self._placing = ThreadPoolExecutor(1)

    def __enter__(self) -> ShardScorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        self._placing.shutdown(cancel_futures=True)
        self._session.close()

    def answers(self, shards: Iterable[Shard]) -> Iterator[ShardAnswers | ScoringFailure]:
        """Yield the answers to every shard; a failure is the last thing that is yielded.

        The next shard is read and handed over while the child is busy with this one.

        Raises:
            IntegrityError, UsageError: the rows cannot be read any more.
        """
        failure = self._session.load()
        features = ParquetFeatures(self.scoring.snapshot.path, self.scoring.features)
        failure = failure or self._session.missing_input(features)
        if failure is not None:
            yield failure
            return
        coming = iter(shards)
        asked: _Placed | None = None
        placed = self._place(next(coming, None))
        while asked is not None or placed is not None:
            ready = placed.result() if placed is not None else None
            if ready is not None and (failure := self._ask(ready)) is not None:
                yield failure
                return
            placed = self._place(next(coming, None)) if ready is not None else None
            if asked is not None:
                found = self._answered(asked)
                yield found
                if isinstance(found, ScoringFailure):
                    return
            asked = ready

    def _place(self, shard: Shard | None) -> Future[_Placed] | None:
        if shard is None:
            return None
        return self._placing.submit(self._written, shard)

    def _written(self, shard: Shard) -> _Placed:
        scoring = self.scoring
        features = ParquetFeatures(
            scoring.snapshot.path, scoring.features, first=shard.first, rows=shard.rows
        )
        scoring.snapshot.verify()
        path, rows = self._session.place(features, scoring.batch_rows)
        scoring.snapshot.verify()
        if rows != shard.rows:
            raise scoring.snapshot.changed(f"shard {shard.number} has {rows} of {shard.rows} rows")
        return _Placed(shard, path, rows)

    def _ask(self, ready: _Placed) -> ScoringFailure | None:
        limit = self.scoring.limits.wall_seconds

        def _request(child: SandboxedProcess) -> None:
            self._session.request(child, ready.path, time.monotonic() + limit)

        return self._session.ask(_request)

    def _answered(self, asked: _Placed) -> ShardAnswers | ScoringFailure:
        # Its turn begins now: until then the child was busy with the shard before.
        deadline = time.monotonic() + self.scoring.limits.wall_seconds

        def _collect(child: SandboxedProcess) -> tuple[Floats, dict[str, Any]]:
            return self._session.collect(
                child, asked.rows, self.scoring.batch_rows, deadline, asked.shard.first
            )

        found = self._session.ask(_collect)
        asked.path.unlink(missing_ok=True)
        if isinstance(found, ScoringFailure):
            return found
        values, said = found
        return ShardAnswers(
            values=values,
            seconds=_figure(said.get("seconds")),
            peak_memory_bytes=int(_figure(said.get("peak_memory"))),
            isolation=self._session.isolation,
        )


def _figure(value: Any) -> float:
    """Return a figure that the child gave, or zero where it is none."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and 0 <= value < 2**53 else 0.0
