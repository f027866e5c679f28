"""Profiles count every row once, in bins that stay, and shards add up to the whole."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.errors import UsageError
from promotion_assets.evaluation import profiling
from promotion_assets.evaluation.profile import NumericFeature
from promotion_assets.evaluation.profiling import merge, profile_frame
from promotion_assets_tests.evaluation.profiles import categorical, numeric, one, without_sums

GENERATOR = np.random.default_rng(11)


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


def test_threads_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that are counted side by side have the profiles that they have one by one."""
    frame = pd.DataFrame({f"x{n}": GENERATOR.normal(size=500) for n in range(9)})
    frame["word"] = np.where(frame.x0 > 0, "a", "b")
    frame.loc[::7, "x3"] = np.nan
    reference = profile_frame(frame.head(100))
    alone = profile_frame(frame, edges_from=reference)
    monkeypatch.setattr(profiling, "WORTH_A_THREAD", 0)
    assert profile_frame(frame, edges_from=reference) == alone


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


def test_the_smallest_number_there_is_has_nothing_below_it() -> None:
    """An edge below the data is left out where no number lies there."""
    lowest = -sys.float_info.max
    feature = numeric([lowest] * 25 + [0.5] * 25)
    assert feature.edges[0] == lowest
    assert sum(feature.counts) == 50
