"""A file is profiled as its rows are, in memory that does not grow with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation import profile_files
from promotion_assets.evaluation.profile import NumericFeature
from promotion_assets.evaluation.profile_io import dump
from promotion_assets.evaluation.profiling import profile_frame, profile_parquet
from promotion_assets_tests.evaluation.profiles import without_sums

GENERATOR = np.random.default_rng(11)


@pytest.mark.parametrize("row_group", [64, 1_000, 100_000])
def test_a_file_has_the_profile_of_its_rows(
    tmp_path: Path, row_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streaming by batches counts what the frame holds, in Parquet and CSV, in part or whole."""
    monkeypatch.setattr(profile_files, "FOLD", 3)
    monkeypatch.setattr(profile_files, "COLUMNS_AT_ONCE", 2)
    monkeypatch.setattr(profile_files, "BATCH_ROWS", 300)
    frame = pd.DataFrame(
        {
            "amount": np.where(np.arange(5_000) % 7, GENERATOR.normal(size=5_000), np.nan),
            "grade": np.where(np.arange(5_000) % 5, GENERATOR.integers(1, 6, 5_000), np.nan),
            "word": np.where(np.arange(5_000) % 3, "a", None),
            "flag": np.arange(5_000) % 2 == 0,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(5_000), unit="h"),
        }
    )
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=row_group)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    reference = profile_frame(frame.head(3_000))
    whole = without_sums(profile_frame(frame, edges_from=reference))
    assert without_sums(profile_parquet(path, edges_from=reference)) == whole
    csv = profile_parquet("rows.csv", edges_from=reference, base=tmp_path)
    assert without_sums(csv) == whole
    assert without_sums(profile_parquet(path)) == without_sums(profile_frame(frame))
    part = profile_parquet(path, edges_from=reference, columns=["word", "amount"])
    assert [feature.name for feature in part.features] == ["amount", "word"]


def test_edges_of_a_large_file_come_from_rows_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sorted file's bins fit its whole range, and the counts are of all rows."""
    monkeypatch.setattr(profile_files, "SAMPLE_ROWS", 500)
    rows = 20_000
    pq.write_table(pa.table({"x": np.arange(rows) + 0.5}), tmp_path / "rows.parquet")
    (feature,) = profile_parquet(tmp_path / "rows.parquet").features
    assert isinstance(feature, NumericFeature)
    assert sum(feature.counts) == rows
    assert max(feature.counts) - min(feature.counts) < rows / 100


def test_a_file_that_changes_between_its_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of different rows are not one profile."""
    path = tmp_path / "rows.parquet"

    def read_and_overwrite(*arguments: Any, **options: Any) -> Any:
        yield from read(*arguments, **options)
        pq.write_table(pa.table({"x": [0.5, 1.5], "y": [0.5, 1.5]}), path)

    read = profile_files.iter_batches
    monkeypatch.setattr(profile_files, "iter_batches", read_and_overwrite)
    monkeypatch.setattr(profile_files, "COLUMNS_AT_ONCE", 1)
    table = pa.table({"x": [0.5], "y": [0.5]})
    pq.write_table(table, path)
    with pytest.raises(EvidenceMissing, match="number of rows changed while it was read"):
        profile_parquet(path, edges_from=profile_frame(table.to_pandas()))


def test_a_file_without_the_features_is_refused(tmp_path: Path) -> None:
    """A profile of nothing would look like no drift."""
    pq.write_table(pa.table({"y": [1]}), tmp_path / "rows.parquet")
    reference = profile_frame(pd.DataFrame({"x": [1]}))
    with pytest.raises(UsageError, match="none of the profile's features; its columns are y"):
        profile_parquet(tmp_path / "rows.parquet", edges_from=reference)


PEAK = """
import re, sys
from pathlib import Path
from promotion_assets.evaluation.profile_io import load
from promotion_assets.evaluation.profiling import profile_parquet
profile = profile_parquet(sys.argv[1], edges_from=load(Path(sys.argv[2]).read_text()))
assert profile.rows == int(sys.argv[3])
# ru_maxrss starts at the peak of the process that spawned this one; VmHWM does not.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.fixture(scope="module")
def shards() -> dict[int, pa.Table]:
    """Tables of 400,000 and of 4,000,000 rows of five floats (160 MB).

    The small one is some batches already: a file of one is never read ahead of its count.
    """
    whole = pa.table({f"x{i}": np.random.default_rng(i).normal(size=4_000_000) for i in range(5)})
    return {rows: whole.slice(0, rows) for rows in (400_000, 4_000_000)}


@pytest.mark.parametrize("row_group", [100_000, 4_000_000])
def test_peak_memory_does_not_grow_with_the_file(
    tmp_path: Path, shards: dict[int, pa.Table], row_group: int
) -> None:
    """Ten times the rows take at most a tenth more memory, also in one large row group."""
    reference = tmp_path / "reference.json"
    reference.write_text(dump(profile_frame(shards[400_000].slice(0, 5_000).to_pandas())))
    peaks = []
    for rows, table in shards.items():
        path = tmp_path / f"{rows}.parquet"
        pq.write_table(
            table, path, row_group_size=row_group, use_dictionary=False, compression="none"
        )
        command = [sys.executable, "-c", PEAK, str(path), str(reference), str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.1 * peaks[0], f"peaks in KiB: {peaks}"
