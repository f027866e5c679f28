"""Ray Data as the engine: the streaming engine's digits, and its isolation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from promotion_assets.adapters.ray_engine import RayEngine
from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.large.engine import ShardAnswers
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.evaluation.large.shards import Shard
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets_tests.evaluation.logged import Logged
from promotion_assets_tests.evaluation.test_large_scoring import scoring_of
from promotion_assets_tests.large_rows import large

MOOD_ROWS = 30


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    """A cluster of two workers on this machine."""
    engine = RayEngine(workers=2)
    yield engine
    engine.close()


def test_counts_are_those_of_the_streaming_engine(engine: RayEngine, tmp_path: Path) -> None:
    """Three passes over shards on two workers give the same tally, to the last digit.

    A file that changes in between is refused there as it is here.
    """
    rows = large(tmp_path, rows=1500)
    assert rows.tally(engine=engine) == rows.tally(engine=StreamingEngine())
    source = rows.source()
    rows.streamed.path.chmod(0o644)
    rows.streamed.path.write_bytes(rows.streamed.path.read_bytes())
    with pytest.raises(IntegrityError, match="changed while it was read"):
        list(RayEngine(workers=1).count(source.read, rows.shards[:1]))


def test_a_version_never_gets_out_of_its_sandbox(
    engine: RayEngine, logged: Logged, tmp_path: Path
) -> None:
    """Answers are the streaming engine's; a model that ends its process ends a child, not Ray's.

    The model is loaded once in the sandbox of each actor; what it does in one shard is a recorded
    failure in that shard's place, and nothing comes after it.
    """
    moods = np.repeat(["mean", "mean", "os_exit", "mean"], MOOD_ROWS)
    rows = pd.DataFrame({"mood": moods, "x": np.random.default_rng(3).random(len(moods))})
    scoring = scoring_of(logged, "moody", rows, tmp_path)
    shards = [Shard(n, n * MOOD_ROWS, MOOD_ROWS) for n in range(4)]
    by_ray = list(engine.score(scoring, shards))
    assert len(by_ray) == 3
    here = list(StreamingEngine().score(scoring, shards[:2]))
    for one, other in zip(by_ray, here, strict=False):
        assert isinstance(one, ShardAnswers)
        assert isinstance(other, ShardAnswers)
        assert np.array_equal(one.values, other.values)
        assert one.isolation == other.isolation == detect_isolation()
    failure = by_ray[-1]
    assert isinstance(failure, ScoringFailure)
    assert failure.kind == "crash"
    assert "exit code 0" in failure.reason
