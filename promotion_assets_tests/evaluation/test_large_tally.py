"""Counts of stored answers, shard by shard: of what, and when they are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.large.counting import RowSource
from promotion_assets.evaluation.large.local import StreamingEngine
from promotion_assets.evaluation.large.score_file import (
    ScoreReader,
    kept_scores,
    sidecar,
    writing_scores,
)
from promotion_assets.evaluation.large.shards import Shard, Snapshot
from promotion_assets.evaluation.large.tally import ScoreTally, tally
from promotion_assets.evaluation.scores import Floats
from promotion_assets_tests.large_rows import ASKED, SHARD_ROWS, Large, large, store_answers

ROWS = 1500


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A dataset in three shards, and the answers of two versions to it."""
    return large(tmp_path_factory.mktemp("tally"), ROWS)


def counted(rows: Large, source: RowSource, shards: tuple[Shard, ...] | None = None) -> ScoreTally:
    """Count from another source, or fewer shards."""
    return tally(
        StreamingEngine(),
        source,
        rows.streamed.summary,
        ASKED,
        shards=rows.shards if shards is None else shards,
        shard_rows=SHARD_ROWS,
    )


def test_without_a_champion_the_candidate_is_counted_alone(rows: Large) -> None:
    """Its figures are those that it has beside a champion, and no difference is made up."""
    both = rows.tally()
    alone = counted(rows, dataclasses.replace(rows.source(), theirs=None))
    assert (alone.champion_digest, alone.champion_sha256) == (None, None)
    assert len(alone.groups) == len(both.groups)
    for one, other in zip(alone.groups, both.groups, strict=True):
        assert (one.name, one.candidate) == (other.name, other.candidate)
        assert one.champion is None
        assert other.champion is not None


def test_what_no_gate_asks_for_is_not_counted(rows: Large) -> None:
    """Without a gate on the AUC there is none, and everything else is as it was."""
    both = rows.tally()
    plain = rows.tally(ASKED.model_copy(update={"auc": False}))
    assert plain.overall.rows == ROWS
    for one, other in zip(plain.groups, both.groups, strict=True):
        assert (one.candidate, one.champion) == (None, None)
        assert (one.decisions, one.means) == (other.decisions, other.means)


def test_a_group_of_one_class_has_no_auc_and_an_empty_one_is_no_group(tmp_path: Path) -> None:
    """Nothing is estimated where nothing can be, and groups that nobody is in are not listed."""
    few = large(tmp_path, 24)
    groups = few.tally().groups
    assert all(group.rows > 0 for group in groups)
    one_class = [group for group in groups if group.positives in (0, group.rows)]
    assert one_class
    assert all(group.candidate is None for group in one_class)
    assert all(g.candidate is not None for g in groups if g not in one_class)
    single = [g for g in groups if len(g.attributes) == 1]
    assert sum(g.rows for g in single) == 2 * 24


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: f.assign(default=f["default"].astype("Int64").where(f.index != 600)), "shard 1"),
        (lambda f: f.assign(region=f["region"].where(f.index != 600, "east")), "a value 'east'"),
    ],
    ids=["a label is gone", "a group is new"],
)
def test_rows_that_are_not_what_they_were_are_not_counted(
    rows: Large, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], problem: str
) -> None:
    """Another writer of the file is found out, whatever it has done to labels and groups."""
    path = tmp_path / "rows.parquet"
    spoil(pd.read_parquet(rows.streamed.path)).to_parquet(path)
    with pytest.raises(IntegrityError, match=problem):
        counted(rows, dataclasses.replace(rows.source(), snapshot=Snapshot.of(path)))


def test_shards_that_are_missing_are_noticed(rows: Large) -> None:
    """Counts of a part of the rows are no counts of the version."""
    with pytest.raises(IntegrityError, match="1024 of 1500 rows were counted"):
        counted(rows, rows.source(), rows.shards[:2])


def reader(path: Path, rows: Large, values: Floats) -> ScoreReader:
    """Store answers, and read them back."""
    return ScoreReader(store_answers(path, values, rows.own, rows.streamed), "binary")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.nan, "not finite"),
        (np.inf, "not finite"),
        (1.5, "no probabilities"),
        (-0.1, "no probabilities"),
    ],
)
def test_answers_that_are_none_are_not_read(
    rows: Large, tmp_path: Path, value: float, problem: str
) -> None:
    """What was let into the store by whatever way is judged again before it is counted."""
    values = rows.own_values.copy()
    values[SHARD_ROWS + 3] = value
    found = reader(tmp_path / "scores.arrow", rows, values)
    assert len(found.read(rows.shards[0])) == SHARD_ROWS
    with pytest.raises(IntegrityError, match=problem):
        found.read(rows.shards[1])
    if problem == "no probabilities":
        number = dataclasses.replace(found, task="regression")
        assert number.read(rows.shards[1])[3] == value


def test_answers_are_read_by_any_shard_and_not_past_their_end(rows: Large, tmp_path: Path) -> None:
    """However the rows are cut, each gets its own answer; a row without one is refused."""
    found = reader(tmp_path / "scores.arrow", rows, rows.own_values)
    across = Shard(7, SHARD_ROWS - 5, 10)
    assert np.array_equal(found.read(across), rows.own_values[SHARD_ROWS - 5 : SHARD_ROWS + 5])
    with pytest.raises(IntegrityError, match="5 for the 10 rows of a shard"):
        found.read(Shard(8, ROWS - 5, 10))
    with pytest.raises(IntegrityError, match="0 for the 10 rows of a shard"):
        found.read(Shard(9, 10 * ROWS, 10))


def test_a_file_of_other_answers_is_not_the_one_that_was_written(
    rows: Large, tmp_path: Path
) -> None:
    """Other values, fewer of them, no file at all and a damaged one are told from the digest."""
    path = tmp_path / "scores.arrow"
    found = reader(path, rows, rows.own_values)
    found.verify()
    for other in (rows.their_values, rows.own_values[:-1]):
        with writing_scores(path) as writer:
            writer.add(other)
        with pytest.raises(IntegrityError, match="not the answers that were given"):
            found.verify()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match="is not what was written"):
        found.verify()
    path.unlink()
    with pytest.raises(IntegrityError, match="is not what was written"):
        found.read(rows.shards[0])


def test_kept_answers_are_found_where_they_are_now(rows: Large, tmp_path: Path) -> None:
    """A store that was moved still has them; what is half there is none, and damage is said."""
    path = tmp_path / "scores.arrow"
    assert kept_scores(path) is None
    stored = reader(path, rows, rows.own_values).scores
    moved = tmp_path / "moved" / "scores.arrow"
    moved.parent.mkdir()
    path.rename(moved)
    sidecar(path).rename(sidecar(moved))
    assert kept_scores(moved) == stored.model_copy(update={"path": moved})
    moved.unlink()
    assert kept_scores(moved) is None
    sidecar(moved).write_text('{"rows": "many"}')
    with pytest.raises(IntegrityError, match="description is not readable"):
        kept_scores(moved)


def test_answers_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whoever is interrupted leaves neither a short file nor a draft."""
    path = tmp_path / "scores.arrow"

    def interrupted() -> None:
        with writing_scores(path) as writer:
            writer.add(np.array([0.5]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
