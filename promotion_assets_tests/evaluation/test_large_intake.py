"""Rows of any number in the store: the digest, the description, and what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promotion_assets.errors import EvidenceMissing, IntegrityError, UsageError
from promotion_assets.evaluation.features import ParquetFeatures, write_features
from promotion_assets.evaluation.large import intake
from promotion_assets.evaluation.large.digest import file_digest
from promotion_assets.evaluation.large.intake import load_large, snapshot_large
from promotion_assets.evaluation.large.shards import Shard, Snapshot, shards_of
from promotion_assets.evaluation.reading import read_frame
from promotion_assets.evaluation.snapshot import frame_digest, load_dataset, snapshot
from promotion_assets.evaluation.versions import load_version, take_in
from promotion_assets_tests.large_rows import frame, policy_of

ROWS = 300


def of_every_type(rows: int = ROWS) -> pa.Table:
    """Return a column of each kind that has a canonical form, most with and without gaps."""
    rng = np.random.default_rng(0)
    day = dt.date(2020, 1, 1)
    some = [None if k % 7 == 0 else k for k in range(rows)]
    return pa.table(
        {
            "float": rng.normal(size=rows),
            "nan": np.where(rng.random(rows) < 0.1, np.nan, 1.5),
            "half": pa.array(rng.normal(size=rows).astype(np.float16)),
            "single": pa.array(rng.normal(size=rows).astype(np.float32)),
            "whole": rng.integers(0, 9, rows),
            "gaps": pa.array(some, pa.int32()),
            "past_float": pa.array([None if k is None else 2**60 + k for k in some], pa.int64()),
            "no_number": pa.nulls(rows, pa.int64()),
            "unsigned": pa.array(np.arange(rows, dtype=np.uint64)),
            "yes": pa.array([k % 2 == 0 for k in range(rows)]),
            "maybe": pa.array([None if k is None else k % 2 == 0 for k in some]),
            "never": pa.nulls(rows, pa.bool_()),
            "text": pa.array([f"x{k % 11}" for k in range(rows)]),
            "some_text": pa.array([None if k is None else "é" * (k % 4) for k in some]),
            "no_text": pa.nulls(rows, pa.string()),
            "bytes": pa.array([b"1" * (k % 3) for k in range(rows)]),
            "nothing": pa.nulls(rows),
            "day": pa.array([day + dt.timedelta(k) for k in range(rows)]),
            "micros": pa.array(np.arange(rows) * 1000, pa.timestamp("ns")),
            "nanos": pa.array(np.arange(rows) + 1, pa.timestamp("ns")),
            "zoned": pa.array(some, pa.timestamp("ms", "Europe/Paris")),
            "span": pa.array(np.arange(rows), pa.duration("s")),
            "exact": pa.array([decimal.Decimal("1.25")] * rows),
            "coded": pa.array([f"c{k % 3}" for k in range(rows)]).dictionary_encode(),
        }
    )


def test_the_digest_is_that_of_rows_in_memory(tmp_path: Path) -> None:
    """A dataset version has one name, whoever reads it, for every type and any row groups."""
    path = tmp_path / "rows.parquet"
    for group_rows in (17, 130, 10_000):
        pq.write_table(of_every_type(), path, row_group_size=group_rows)
        with pq.ParquetFile(path) as file:
            assert file_digest(file)[0] == frame_digest(read_frame(str(path), base=tmp_path))


def test_a_column_of_lists_has_no_digest(tmp_path: Path) -> None:
    """A foreign file under a version's name is refused by the column that gives it away."""
    pq.write_table(pa.table({"x": [1], "steps": [[1, 2]]}), tmp_path / "rows.parquet")
    with (
        pq.ParquetFile(tmp_path / "rows.parquet") as file,
        pytest.raises(UsageError, match="'steps' holds list"),
    ):
        file_digest(file)


def test_a_version_taken_in_either_way_is_the_same_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digest, description and what is wrong with the rows agree, and each way loads the other's."""
    monkeypatch.setattr(intake, "GROUP_ROWS", 700)
    rows = frame(2000)
    rows.loc[5, "customer"] = 4
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=300)
    dataset = {
        "uri": str(tmp_path / "rows.parquet"),
        "label": "default",
        "id": "customer",
        "label_rate": (0.9, 1.0),
        "min_rows": 9_000,
        "min_group_rows": 200,
    }
    policy = policy_of(tmp_path, dataset=dataset)
    streamed = snapshot_large(policy, tmp_path / "a", model="m")
    held = snapshot(policy, tmp_path / "b", model="m")
    assert streamed.digest == held.digest
    assert len(streamed.summary.problems) == len(held.summary.problems) == 4
    assert any("repeats 1 times" in problem for problem in streamed.summary.problems)
    without = {"problems": ()}
    assert streamed.summary.model_copy(update=without) == held.summary.model_copy(update=without)
    assert streamed.streamed
    assert not held.streamed
    assert (len(streamed.labels), streamed.groups) == (0, {})
    assert load_dataset(policy, tmp_path / "a", held.digest, model="m").summary == held.summary
    assert load_large(policy, tmp_path / "b", held.digest, model="m").summary == streamed.summary


def test_shards_hold_every_row_once(tmp_path: Path) -> None:
    """Shards that do not fit the row groups read what is there, in its order."""
    rows = frame(1000)
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=130)
    snapshot_file = Snapshot.of(tmp_path / "rows.parquet")
    found = pd.concat(
        snapshot_file.read(shard, ["customer", "x"]).to_pandas()
        for shard in shards_of(snapshot_file.rows, 256)
    )
    pd.testing.assert_frame_equal(found.reset_index(drop=True), rows[["customer", "x"]])


def test_a_shard_hands_over_features_alone(tmp_path: Path) -> None:
    """Of a stretch of the file, only feature columns are written where a child can read them."""
    rows = frame(600)
    rows["gap"] = pd.array([None] + [1] * 599, dtype="Int64")
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    features = ParquetFeatures(tmp_path / "rows.parquet", ("gap", "age"), first=250, rows=300)
    assert write_features(features, tmp_path / "out.arrow", 128) == 300
    with pa.OSFile(str(tmp_path / "out.arrow")) as file:
        reader = pa.ipc.open_file(file)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
    assert [batch.num_rows for batch in batches] == [128, 128, 44]
    table = pa.Table.from_batches(batches)
    # Whole where this shard has no gap, and a float all the same: the file has one.
    assert table.schema.types == [pa.float64(), pa.int64()]
    assert table.column("age").to_pylist() == rows["age"][250:550].tolist()


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Another time, another length or nothing at all under the same name is no dataset version."""
    path = tmp_path / "rows.parquet"
    frame(400).to_parquet(path)
    opened = Snapshot.of(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(IntegrityError, match="changed while it was read"):
        opened.read(Shard(0, 0, 100), ["x"])
    opened = Snapshot.of(path)
    with pytest.raises(IntegrityError, match="shard 3 has 100 of 200 rows"):
        opened.read(Shard(3, 300, 200), ["x"])
    path.unlink()
    with pytest.raises(IntegrityError, match="it is gone"):
        opened.verify()
    with pytest.raises(EvidenceMissing, match="materialise the evaluation dataset again"):
        Snapshot.of(path)
    path.write_bytes(b"PAR1 and nothing else that Parquet has")
    with pytest.raises(IntegrityError, match="it cannot be read"):
        Snapshot.of(path)


def test_a_snapshot_with_other_rows_is_not_the_version_that_it_is_named_by(tmp_path: Path) -> None:
    """The digest is proven again whenever a version is loaded."""
    frame(400).to_parquet(tmp_path / "rows.parquet")
    policy = policy_of(tmp_path / "rows.parquet")
    taken = snapshot_large(policy, tmp_path / "store", model="m")
    taken.path.unlink()
    frame(400, seed=8).to_parquet(taken.path)
    with pytest.raises(IntegrityError, match="its content has digest"):
        load_large(policy, tmp_path / "store", taken.digest)
    with pytest.raises(IntegrityError, match="its content has digest"):
        snapshot_large(policy, tmp_path / "store", model="m")


def test_labels_that_cannot_be_judged_on_are_refused(tmp_path: Path) -> None:
    """A missing label, one class, a third class, no positive one and no rows, as in memory."""
    path = tmp_path / "rows.parquet"
    policy = policy_of(path)
    wrong = {
        "missing": lambda f: f.assign(default=f.default.astype("Int64").where(f.index != 7)),
        "one class only": lambda f: f.assign(default=1),
        "3 values for a binary task": lambda f: f.assign(default=f.index % 3),
        "never the positive": lambda f: f.assign(default=f.default + 5),
        "no rows": lambda f: f.head(0),
        "label column 'default' is not there": lambda f: f.drop(columns="default"),
    }
    for words, spoil in wrong.items():
        spoil(frame(300)).to_parquet(path)
        with pytest.raises(EvidenceMissing, match=words):
            snapshot_large(policy, tmp_path / "store", model="m")


def test_memory_refuses_what_takes_too_much_of_it(tmp_path: Path) -> None:
    """A source past the policy's bound is not read into memory; the message names the way out."""
    pd.DataFrame({"x": np.arange(300_000), "default": np.arange(300_000) % 2}).to_parquet(
        tmp_path / "rows.parquet"
    )
    stanza = {"groups": [], "dataset": {"uri": str(tmp_path / "rows.parquet"), "label": "default"}}
    bounded = {"max_memory_bytes": 1024**2}
    streaming = policy_of(tmp_path, **stanza, evaluation={"engine": "streaming", **bounded})
    taken = take_in(streaming, tmp_path / "store", model="m")
    held = policy_of(tmp_path, **stanza, evaluation={"engine": "memory", **bounded})
    with pytest.raises(UsageError, match=r"set evaluation\.engine: streaming"):
        take_in(held, tmp_path / "store", model="m")
    with pytest.raises(UsageError, match=r"set evaluation\.engine: streaming"):
        load_version(held, tmp_path / "store", taken.digest)
    free = policy_of(tmp_path, **stanza, evaluation={"engine": "memory"})
    assert load_version(free, tmp_path / "store", taken.digest).digest == taken.digest
