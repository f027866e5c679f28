"""A version in a sandbox, asked for one shard after the other."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.answers import Question
from promotion_assets.evaluation.isolation import detect_isolation
from promotion_assets.evaluation.large.engine import Scoring, ShardAnswers
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.evaluation.large.scoring import ShardScorer
from promotion_assets.evaluation.large.shards import Shard, Snapshot, shards_of
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.logged import NUMBERS, Logged

MOODS = ("fine", "nan", "fine", "short", "hang")
MOOD_ROWS = 20


def scoring_of(logged: Logged, name: str, rows: pd.DataFrame, folder: Path) -> Scoring:
    """Return what is needed to ask a logged model about ``rows``."""
    path = folder / f"{name}.parquet"
    rows.assign(label=1).to_parquet(path, row_group_size=90)
    return Scoring(
        directory=logged.artifact(name),
        model_digest="0" * 64,
        question=Question("binary"),
        limits=Sandbox(wall_seconds=90),
        snapshot=Snapshot.of(path),
        features=tuple(rows.columns),
        batch_rows=64,
        allow_pickle=True,
    )


@pytest.fixture(scope="module")
def moody(logged: Logged, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShardScorer]:
    """A model that does in each shard what the shard's rows say."""
    rows = pd.DataFrame({"mood": np.repeat(MOODS, MOOD_ROWS), "x": 0.0})
    with ShardScorer(
        scoring_of(logged, "moody", rows, tmp_path_factory.mktemp("moody")), len(MOODS)
    ) as scorer:
        yield scorer


def mood(number: int) -> Shard:
    """Return the shard of one mood."""
    return Shard(number, number * MOOD_ROWS, MOOD_ROWS)


def test_answers_to_shards_are_the_answers_to_all_rows(logged: Logged, tmp_path: Path) -> None:
    """Cut into shards and batches, read ahead of, the answers are the estimator's own, in order."""
    rows = logged.rows()[NUMBERS]
    scoring = scoring_of(logged, "pickled", rows, tmp_path)
    found = list(StreamingEngine().score(scoring, shards_of(len(rows), 150)))
    assert all(isinstance(one, ShardAnswers) for one in found)
    answers = [one for one in found if isinstance(one, ShardAnswers)]
    assert [len(one.values) for one in answers] == [150, 150, 100]
    values = np.concatenate([one.values for one in answers])
    assert np.allclose(values, logged.expected("sound"), atol=1e-9)
    assert {one.isolation for one in answers} == {detect_isolation()}
    assert answers[-1].peak_memory_bytes > 50 * 1024**2


def test_the_first_failure_is_the_last_word(moody: ShardScorer) -> None:
    """NaN and a wrong length in one shard end the scoring, with the row of the whole dataset."""
    fine, nan = list(moody.answers([mood(0), mood(1), mood(2)]))
    assert isinstance(fine, ShardAnswers)
    assert isinstance(nan, ScoringFailure)
    assert nan.kind == "not_finite"
    assert "row 30" in nan.reason


def test_a_shard_that_changes_is_not_answered(moody: ShardScorer) -> None:
    """A file that is touched between two shards is refused, and is no fault of the version's."""
    answers = moody.answers([mood(0)])
    path = moody.scoring.snapshot.path
    before = path.stat()
    os.utime(path, ns=(1, 1))
    try:
        with pytest.raises(IntegrityError, match="changed while it was read"):
            next(answers)
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_hanging_shard_ends_at_its_own_limit(logged: Logged, tmp_path: Path) -> None:
    """The limit of wall time holds for each shard; what hangs or answers too little is recorded."""
    rows = pd.DataFrame({"mood": np.repeat(MOODS, MOOD_ROWS), "x": 0.0})
    scoring = scoring_of(logged, "moody", rows, tmp_path)
    with ShardScorer(scoring, len(MOODS)) as scorer:
        short = list(scorer.answers([mood(3)]))[-1]
        assert isinstance(short, ScoringFailure)
        assert short.kind == "wrong_length"
        scorer.scoring = dataclasses.replace(scoring, limits=Sandbox(wall_seconds=1.0))
        hung = list(scorer.answers([mood(4), mood(2)]))
    assert len(hung) == 1
    assert isinstance(hung[0], ScoringFailure)
    assert hung[0].kind == "timeout"


def test_a_column_that_the_dataset_lacks(logged: Logged, tmp_path: Path) -> None:
    """A required input that is not there is named before any shard is read."""
    scoring = scoring_of(logged, "pickled", logged.rows()[["income", "age"]], tmp_path)
    (failure,) = StreamingEngine().score(scoring, shards_of(400, 150))
    assert isinstance(failure, ScoringFailure)
    assert (failure.kind, failure.because_of) == ("missing_input", "schema")


def test_rows_past_the_end_are_not_answered(moody: ShardScorer) -> None:
    """A shard that the file does not hold whole is the file's fault, and not the version's."""
    past = Shard(9, (len(MOODS) - 1) * MOOD_ROWS + 15, MOOD_ROWS)
    with pytest.raises(IntegrityError, match="shard 9 has 5 of 20 rows"):
        list(moody.answers([past]))
