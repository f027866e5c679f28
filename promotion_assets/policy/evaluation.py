"""How rows are held while they are scored and judged: all in memory, or shard by shard."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from promotion_assets.policy.strict import Strict

EngineName = Literal["memory", "streaming", "ray"]
SHARD_ROWS = 1024 * 1024
BATCH_ROWS = 65_536


class EvaluationPolicy(Strict):
    """The engine that scores and judges an evaluation dataset.

    ``memory`` holds all rows; ``streaming`` reads them shard by shard on this machine; ``ray``
    does the same on the workers of a Ray cluster. The last two give equal results, to the last
    digit; they differ from ``memory`` by what a gate that reads counts instead of rows states.

    Attributes:
        engine: see above.
        shard_rows: rows that are counted together; the sandbox's limits hold for each shard.
        batch_rows: rows that a model is given at a time.
        max_memory_bytes: a source whose rows take more, uncompressed, is refused by ``memory``.
        workers: processes that score at once (``ray``).
        ray_address: the cluster's address; one is started on this machine where not given.
    """

    engine: EngineName = "memory"
    shard_rows: Annotated[int, Field(ge=256, le=2**24)] = SHARD_ROWS
    batch_rows: Annotated[int, Field(ge=64, le=BATCH_ROWS)] = BATCH_ROWS
    max_memory_bytes: Annotated[int, Field(ge=1024**2)] = 2 * 1024**3
    workers: Annotated[int, Field(ge=1, le=10_000)] = 2
    ray_address: str | None = None

    @property
    def counted(self) -> bool:
        """Whether gates read counts of shards instead of rows."""
        return self.engine != "memory"

    @property
    def judged_by(self) -> dict[str, JsonValue]:
        """What of this stanza can change a figure, and so belongs to the policy's digest.

        Nothing for ``memory``. Where shards are counted, their size settles in which order sums
        are rounded; on how many machines that happens changes nothing.
        """
        return {"counted_in_shards_of": self.shard_rows} if self.counted else {}
