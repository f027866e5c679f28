"""Shards worked on by Ray Data: a version loaded once in a sandbox of each actor.

An actor is trusted code: it reads features from the store, drives a sandboxed child and passes its
checked answers on. Nothing of a version is loaded in a Ray process, and no label reaches a child.
Results come back in the order of the shards, so they are those of the streaming engine to the
last digit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from promotion_assets.errors import (
    EvidenceMissing,
    IntegrityError,
    PromotionError,
    StorageUnreachable,
    Unreachable,
    UsageError,
)
from promotion_assets.evaluation.large.engine import Scoring, ShardAnswers
from promotion_assets.evaluation.large.scoring import ShardScorer
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.scores import ScoringFailure

Part = TypeVar("Part")
OBJECT_STORE_BYTES = 512 * 1024**2
# What may come back from a worker; anything else is a fault of Ray's.
ERRORS: dict[str, type[PromotionError]] = {
    kind.__name__: kind
    for kind in (EvidenceMissing, IntegrityError, StorageUnreachable, UsageError)
}


class RayEngine:
    """Scores and counts on the workers of a Ray cluster.

    Every worker must reach the store under the same path, and have this package installed.

    Args:
        workers: actors at once, each with a processor of its own.
        address: of a running cluster; where not given, one is started on this machine and ended
            by :meth:`close`.
    """

    name = "ray"

    def __init__(self, *, workers: int, address: str | None = None) -> None:
        self.workers = workers
        self.address = address
        self._ours = False

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._ours:
            _ray().shutdown()
            self._ours = False

    def score(
        self, scoring: Scoring, shards: Sequence[Shard]
    ) -> Iterator[ShardAnswers | ScoringFailure]:
        """See :class:`~promotion_assets.evaluation.large.engine.Engine`."""
        try:
            for row in self._mapped(_Scorer, (scoring, len(shards)), shards):
                found = _answered(row)
                yield found
                if isinstance(found, ScoringFailure):
                    return
        except Unreachable as error:
            yield ScoringFailure(kind="crash", reason=f"{error.problem}; {error.next_step}")

    def count(self, work: Callable[[Shard], Part], shards: Sequence[Shard]) -> Iterator[Part]:
        """See :class:`~promotion_assets.evaluation.large.engine.Engine`."""
        for row in self._mapped(_Counter, (work,), shards):
            _raise_if_refused(row)
            yield row["part"]

    def _mapped(
        self, actor: type, arguments: tuple[Any, ...], shards: Sequence[Shard]
    ) -> Iterator[dict[str, Any]]:
        """Yield one row for each shard, in their order; what Ray raises is unreachable."""
        if not shards:
            return
        ray = self._cluster()
        rows = [{"number": s.number, "first": s.first, "rows": s.rows} for s in shards]
        seen = 0
        try:
            with _quiet():
                mapped = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                    actor,
                    fn_constructor_args=arguments,
                    batch_size=1,
                    batch_format="numpy",
                    compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(rows))),
                )
                found = iter(mapped.iter_rows())
            while (row := _next(found)) is not None:
                if row["number"] != shards[seen].number:
                    raise _failed("shards came back in another order")
                seen += 1
                yield row
        except ray.exceptions.RayError as error:
            raise _failed(str(error).strip().splitlines()[-1][:300]) from error
        if seen != len(shards):
            raise _failed(f"{seen} of {len(shards)} shards came back")

    def _cluster(self) -> Any:
        ray = _ray()
        if not ray.is_initialized():
            with _quiet():
                try:
                    self._start(ray)
                except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                    raise _failed(f"there is no cluster ({str(error)[:200]})") from error
        with _quiet():
            context = ray.data.DataContext.get_current()
            context.execution_options.preserve_order = True
            context.enable_progress_bars = False
        return ray

    def _start(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address:
            ray.init(address=self.address, **quiet)
        else:
            ray.init(
                num_cpus=self.workers,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **quiet,
            )
        self._ours = True


class _Scorer:
    """An actor with one version in its sandbox."""

    def __init__(self, scoring: Scoring, shards: int) -> None:
        self._scoring = scoring
        self._shards = shards
        self._scorer: ShardScorer | None = None
        # Ray makes an actor in one thread and calls it in another, and the kernel ends a sandbox
        # with the thread that opened it.
        self._thread = ThreadPoolExecutor(1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._thread.submit(self._answer, _shard(batch)).result()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            if self._scorer is not None:
                self._thread.submit(self._scorer.close).result(10)
            self._thread.shutdown()

    def _answer(self, shard: Shard) -> dict[str, Any]:
        row: dict[str, Any] = {
            "number": [shard.number],
            "failure": [""],
            "answers": [b""],
            "seconds": [0.0],
            "peak_memory_bytes": [0],
            "isolation": [""],
            **_refusal(None),
        }
        try:
            if self._scorer is None:
                self._scorer = ShardScorer(self._scoring, self._shards)
            found = next(self._scorer.answers([shard]))
        except PromotionError as error:
            return {**row, **_refusal(error)}
        if isinstance(found, ScoringFailure):
            return {**row, "failure": [found.model_dump_json()]}
        return {
            **row,
            "answers": [found.values.astype("<f8").tobytes()],
            "seconds": [found.seconds],
            "peak_memory_bytes": [found.peak_memory_bytes],
            "isolation": [found.isolation],
        }


class _Counter:
    """An actor that counts."""

    def __init__(self, work: Callable[[Shard], Any]) -> None:
        self._work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        shard = _shard(batch)
        part = np.empty(1, dtype=object)
        refused: PromotionError | None = None
        try:
            part[0] = self._work(shard)
        except PromotionError as error:
            refused = error
        return {"number": [shard.number], "part": part, **_refusal(refused)}


def _shard(batch: dict[str, Any]) -> Shard:
    return Shard(int(batch["number"][0]), int(batch["first"][0]), int(batch["rows"][0]))


def _answered(row: dict[str, Any]) -> ShardAnswers | ScoringFailure:
    _raise_if_refused(row)
    if row["failure"]:
        return ScoringFailure.model_validate_json(row["failure"])
    return ShardAnswers(
        values=np.frombuffer(row["answers"], dtype="<f8").astype(np.float64),
        seconds=float(row["seconds"]),
        peak_memory_bytes=int(row["peak_memory_bytes"]),
        isolation=row["isolation"],
    )


def _refusal(error: PromotionError | None) -> dict[str, list[str]]:
    """Return an error as columns: Ray would hide it in an error of its own."""
    known = next((name for name, kind in ERRORS.items() if isinstance(error, kind)), "")
    said = (
        ("", "", "", "")
        if error is None
        else (known or "UsageError", error.doing, error.problem, error.next_step)
    )
    return {f"refusal_{at}": [word] for at, word in enumerate(said)}


def _raise_if_refused(row: dict[str, Any]) -> None:
    if row["refusal_0"]:
        raise ERRORS[row["refusal_0"]](row["refusal_1"], row["refusal_2"], row["refusal_3"])


def _next(rows: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    with _quiet():
        return next(rows, None)


def _failed(problem: str) -> Unreachable:
    return Unreachable(
        "working on shards by Ray",
        f"Ray failed: {problem}",
        "set `evaluation: {engine: streaming}` in the policy to go on without Ray, or mend Ray: "
        "its logs are in /tmp/ray/session_latest/logs on its head node",
    )


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    with _quiet():
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise UsageError(
                "working on shards by Ray",
                f"Ray is not installed ({error})",
                "install the extra: pip install 'promotion-assets[ray]'",
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray warns of its own deprecations while it is imported and used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
