"""Profiles count every row once, in bins that stay, and shards add up to the whole."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation import profile_files
from promotion_assets.evaluation.profile import CategoricalFeature, FeatureProfile, NumericFeature
from promotion_assets.evaluation.profile_io import dump
from promotion_assets.evaluation.profiling import merge, profile_frame, profile_parquet

GENERATOR = np.random.default_rng(11)


def one(values: Any, **options: Any) -> NumericFeature | CategoricalFeature:
    """Return the profile of a single column."""
    (feature,) = profile_frame(pd.DataFrame({"x": values}), **options).features
    return feature


def numeric(values: Any, **options: Any) -> NumericFeature:
    """Return the profile of a column that must be numeric."""
    feature = one(values, **options)
    assert isinstance(feature, NumericFeature)
    return feature


def categorical(values: Any, **options: Any) -> CategoricalFeature:
    """Return the profile of a column that must be categorical."""
    feature = one(values, **options)
    assert isinstance(feature, CategoricalFeature)
    return feature


def without_sums(profile: FeatureProfile) -> FeatureProfile:
    """Return ``profile`` without the sums, which agree only to rounding."""
    features = tuple(
        f.model_copy(update={"total": 0.0, "total_squares": 0.0})
        if isinstance(f, NumericFeature)
        else f
        for f in profile.features
    )
    return profile.model_copy(update={"features": features, "source": ""})


def test_bins_hold_equal_counts_of_the_training_data() -> None:
    """Ten bins of a continuous feature hold a tenth each, and the edges are values of the data."""
    values = GENERATOR.normal(size=10_000)
    feature = numeric(values)
    assert feature.counts == (1_000,) * 10
    assert set(feature.edges) <= set(values.tolist())
    assert feature.total == pytest.approx(values.sum())
    assert feature.total_squares == pytest.approx((values**2).sum())
    assert (feature.minimum, feature.maximum) == (values.min(), values.max())
    assert len(numeric(values, bins=4).counts) == 4


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=40),
    st.lists(st.floats(-1e3, 1e3), max_size=40),
)
@settings(deadline=None)
def test_counts_are_those_of_a_row_by_row_count(values: list[float], training: list[float]) -> None:
    """Bin ``i`` holds ``(edges[i-1], edges[i]]``; infinities lie outside, NaN is missing."""
    reference = profile_frame(pd.DataFrame({"x": [0.25, *training]}))
    feature = numeric(pd.Series(values, dtype="float64"), edges_from=reference)
    edges = feature.edges
    expected = [0] * (len(edges) + 1)
    for value in values:
        if not math.isnan(value):
            expected[sum(edge < value for edge in edges)] += 1
    assert feature.counts == tuple(expected)
    assert feature.missing == sum(map(math.isnan, values))
    finite = [value for value in values if math.isfinite(value)]
    assert feature.minimum == (min(finite) if finite else None)
    assert feature.maximum == (max(finite) if finite else None)


def test_repeated_quantiles_become_one_edge_and_the_floor_its_own_bin() -> None:
    """Where most rows share the smallest value, production's smaller ones still show."""
    training = np.concatenate([np.zeros(900), GENERATOR.uniform(1, 2, 100)])
    reference = profile_frame(pd.DataFrame({"x": training}))
    assert one(training) == reference.features[0]
    shifted = numeric(training - 0.5, edges_from=reference)
    assert shifted.counts[0] == 900
    assert numeric(training, edges_from=reference).counts[0] == 0


def test_a_constant_has_a_bin_below_and_one_above() -> None:
    """A feature that never varied and starts to is seen whichever way it moves."""
    reference = profile_frame(pd.DataFrame({"x": [2.5] * 50}))
    assert numeric([2.5] * 50).counts == (0, 50, 0)
    moved = numeric([2.4, 2.5, 2.6, 2.6], edges_from=reference)
    assert moved.counts == (1, 1, 2)


def test_nothing_present_is_all_missing() -> None:
    """A column without a value counts its rows as missing, whatever its type."""
    assert numeric([np.nan] * 3).missing == 3
    assert numeric([np.nan] * 3).counts == (0,)
    assert categorical([None] * 3).missing == 3
    assert categorical(pd.Series([None] * 3, dtype="str")).counts == {}
    assert profile_frame(pd.DataFrame({"x": np.empty(0)})).rows == 0


def test_infinite_values_are_counted_and_leave_sums_and_extremes_alone() -> None:
    """Infinity lies in the outer bins; what JSON cannot say stays out of the profile."""
    feature = numeric([-np.inf, *np.linspace(0.5, 1.5, 98), np.inf])
    assert sum(feature.counts) == 100
    assert (feature.minimum, feature.maximum) == (0.5, 1.5)
    assert feature.total == pytest.approx(98)


def test_sums_that_run_over_stay_finite() -> None:
    """A profile of huge values can still be written."""
    feature = numeric(np.linspace(1e200, 1.7e308, 30))
    assert feature.total_squares == sys.float_info.max
    assert feature.total == sys.float_info.max


CODES = list(range(20))


@pytest.mark.parametrize(
    ("values", "kind", "type_"),
    [
        (GENERATOR.normal(size=50), "numeric", "double"),
        (GENERATOR.normal(size=50).astype("float32"), "numeric", "float"),
        (np.arange(50), "numeric", "long"),
        (np.arange(50, dtype="int16"), "numeric", "integer"),
        (CODES * 2, "categorical", "long"),
        ([*CODES, None], "categorical", "double"),
        (pd.array([*CODES, None], dtype="Int64"), "categorical", "long"),
        ([*CODES, 20], "numeric", "long"),
        ([1.0, 2.0, 2.5], "numeric", "double"),
        ([True, False], "categorical", "boolean"),
        ([True, None], "categorical", "boolean"),
        (["a", "b"], "categorical", "string"),
        (pd.Categorical(["a", None]), "categorical", "string"),
        (pd.Categorical([1, 2]), "categorical", "long"),
        ([b"a", b"b"], "categorical", "binary"),
        (["a", 1], "categorical", "mixed"),
        (pd.date_range("2024-01-01", periods=3), "numeric", "datetime"),
        (pd.date_range("2024-01-01", periods=3, tz="Asia/Tokyo"), "numeric", "datetime"),
        ([dt.date(2024, 1, 1), None], "numeric", "datetime"),
        ([Decimal("1.5"), Decimal(2)], "numeric", "double"),
    ],
)
def test_the_kind_of_a_feature_follows_its_values(values: Any, kind: str, type_: str) -> None:
    """Text, flags and few whole numbers are categories; other numbers and moments have bins."""
    feature = one(values)
    assert (feature.kind, feature.type) == (kind, type_)
    present = sum(feature.counts.values() if isinstance(feature.counts, dict) else feature.counts)
    assert present + feature.missing == len(values)


def test_moments_are_seconds_since_1970_in_every_zone() -> None:
    """The same moment falls into the same bin however its zone is written."""
    moments = pd.Series(pd.date_range("2024-01-01", periods=100, freq="h", tz="UTC"))
    tokyo = moments.dt.tz_convert("Asia/Tokyo")
    assert numeric(moments) == numeric(tokyo)
    assert numeric(moments).minimum == pd.Timestamp("2024-01-01").timestamp()
    assert numeric(pd.Series([*moments, pd.NaT])).missing == 1
    assert numeric(moments - moments[0]).maximum == 99 * 3600


def test_codes_keep_their_names_when_gaps_make_them_floats() -> None:
    """Production's 3.0 is training's 3."""
    reference = profile_frame(pd.DataFrame({"x": [1, 2, 3, 3]}))
    feature = categorical([3.0, np.nan, 1.0, 9.0], edges_from=reference)
    assert feature.counts == {"1": 1, "2": 0, "3": 1}
    assert (feature.missing, feature.other, feature.unlisted) == (1, 1, {"9": 1})


def test_new_categories_are_counted_and_the_first_are_named() -> None:
    """A category that training never saw is part of ``other`` and told by name."""
    reference = profile_frame(pd.DataFrame({"x": ["a", "b"]}))
    feature = categorical([f"n{i:03}" for i in range(50)] + ["a"], edges_from=reference)
    assert feature.counts == {"a": 1, "b": 0}
    assert feature.other == 50
    assert list(feature.unlisted) == [f"n{i:03}" for i in range(20)]


def test_the_most_frequent_categories_are_kept_by_name() -> None:
    """A profile of an identifier stays small, and the rest is counted together."""
    values = ["common"] * 5 + ["known"] * 3 + [f"rare{i}" for i in range(10)]
    feature = categorical(values, max_categories=2)
    assert feature.counts == {"common": 5, "known": 3}
    assert feature.other == 10


def test_what_is_no_number_is_missing_where_numbers_are_expected() -> None:
    """A numeric feature that comes as text shows as missing, and its type says why."""
    reference = profile_frame(pd.DataFrame({"x": GENERATOR.normal(size=40)}))
    text = numeric(["1.5"] * 3, edges_from=reference)
    assert (text.missing, text.type) == (3, "string")
    mixed = numeric([1.5, "n/a", True, Decimal("0.5")], edges_from=reference)
    assert (mixed.missing, sum(mixed.counts), mixed.type) == (1, 3, "mixed")
    assert sum(numeric([True, False], edges_from=reference).counts) == 2


def test_features_follow_the_reference() -> None:
    """A feature that is gone is left out, a column that is new is not profiled."""
    reference = profile_frame(pd.DataFrame({"a": [1, 2], "b": [1, 2]}))
    profile = profile_frame(pd.DataFrame({"c": [1], "b": [2]}), edges_from=reference)
    assert [feature.name for feature in profile.features] == ["b"]
    assert profile.feature("a") is None


def test_memory_order_does_not_show() -> None:
    """A frame over one row-major array has the profile of its columns."""
    block = GENERATOR.normal(size=(1_000, 4))
    strided = pd.DataFrame(block, columns=list("abcd"))
    apart = pd.DataFrame({name: strided[name].to_numpy().copy() for name in "abcd"})
    assert profile_frame(strided) == profile_frame(apart)


CELLS: dict[str, st.SearchStrategy[Any]] = {
    "float64": st.none() | st.floats(-1e6, 1e6) | st.just(math.inf),
    "Int64": st.none() | st.integers(-3, 60),
    "boolean": st.none() | st.booleans(),
    "str": st.none() | st.sampled_from([f"c{i}" for i in range(40)]),
    "datetime64[ns]": st.none() | st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2030, 1, 1)),
}


@st.composite
def column_sets(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and production frames of the same columns and types."""
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    frames = []
    for _ in range(2):
        rows = draw(st.integers(1, 60))
        frames.append(
            pd.DataFrame(
                {
                    f"f{i}": pd.Series(
                        draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)), dtype=kind
                    )
                    for i, kind in enumerate(kinds)
                }
            )
        )
    return frames[0], frames[1]


@given(column_sets(), st.data())
@settings(deadline=None, max_examples=100)
def test_merged_shards_are_the_whole(
    frames: tuple[pd.DataFrame, pd.DataFrame], data: st.DataObject
) -> None:
    """However rows are cut, in whatever order shards come and are merged, counts are the same."""
    training, production = frames
    reference = profile_frame(training)
    whole = profile_frame(production, edges_from=reference)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(production)), max_size=4)))
    bounds = [0, *cuts, len(production)]
    shards = [
        profile_frame(production.iloc[low:high], edges_from=reference)
        for low, high in itertools.pairwise(bounds)
    ]
    shards = data.draw(st.permutations(shards))
    merged = merge(shards)
    assert without_sums(merged) == without_sums(whole)
    nested = merge([shards[0], merge(shards[1:])]) if len(shards) > 1 else merged
    assert without_sums(nested) == without_sums(whole)
    for part, all_ in zip(merged.features, whole.features, strict=True):
        if isinstance(part, NumericFeature) and isinstance(all_, NumericFeature):
            assert part.total == pytest.approx(all_.total, rel=1e-9, abs=1e-3)
            assert part.total_squares == pytest.approx(all_.total_squares, rel=1e-9)


def test_profiles_that_do_not_fit_together_are_not_merged() -> None:
    """Other bins, kinds, categories or features are an error that names the feature."""
    many = [f"c{i}" for i in range(9)]
    pairs: list[tuple[Any, Any, str]] = [
        ([0.5, 1.5], [2.5, 3.5], "feature 'x' has other bins"),
        ([0.5, 1.5], ["a"], "feature 'x' is numeric in one"),
        (many[:6], many[3:], "feature 'x' keeps other categories"),
    ]
    for left, right, said in pairs:
        profiles = [
            profile_frame(pd.DataFrame({"x": values}), max_categories=4) for values in (left, right)
        ]
        with pytest.raises(UsageError, match=said):
            merge(profiles)
    with pytest.raises(UsageError, match="feature 'x' is not in all of them"):
        merge(profile_frame(pd.DataFrame({name: [0.5]})) for name in ("x", "y"))
    with pytest.raises(UsageError, match="there are none"):
        merge([])


def test_profiles_of_few_categories_merge_without_a_reference() -> None:
    """Where nothing was counted together, names are enough."""
    left, right = (profile_frame(pd.DataFrame({"x": v})) for v in (["a", "b"], ["b", "c"]))
    assert merge([left, right]) == profile_frame(pd.DataFrame({"x": ["a", "b", "b", "c"]}))


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


def test_the_smallest_number_there_is_has_nothing_below_it() -> None:
    """An edge below the data is left out where no number lies there."""
    lowest = -sys.float_info.max
    feature = numeric([lowest] * 25 + [0.5] * 25)
    assert feature.edges[0] == lowest
    assert sum(feature.counts) == 50
