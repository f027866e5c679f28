"""A profile is written so that it reads back as itself, and read so that nothing bad gets in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.canonical import digest_bytes
from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.profile import CategoricalFeature, NumericFeature
from promotion_assets.evaluation.profile_io import digest, dump, load, read_feature_stats
from promotion_assets.evaluation.profiling import profile_frame

PROFILE = profile_frame(
    pd.DataFrame(
        {
            "amount": np.random.default_rng(2).normal(size=200),
            "größe 📏": ["a", None] * 100,
            "flag": [True, False] * 100,
        }
    )
)


def written(**changes: Any) -> str:
    """Return a written profile with some of its keys replaced."""
    return json.dumps({**json.loads(dump(PROFILE)), **changes})


def with_feature(index: int, **changes: Any) -> str:
    """Return a written profile with one feature's keys replaced."""
    features = json.loads(dump(PROFILE))["features"]
    features[index].update(changes)
    return written(features=features)


def test_a_profile_reads_back_as_itself() -> None:
    """Every number and name survives, and the digest is that of the text."""
    assert load(dump(PROFILE)) == PROFILE
    assert digest(PROFILE) == digest_bytes(dump(PROFILE).encode())


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1),
)
@settings(deadline=None)
def test_profiles_of_any_values_can_be_written(numbers: list[float], words: list[str]) -> None:
    """Whatever a column holds, its profile has a canonical form."""
    for column in (pd.Series(numbers, dtype="float64"), pd.Series(words, dtype="str")):
        profile = profile_frame(pd.DataFrame({"x": column}))
        assert load(dump(profile)) == profile


BROKEN: dict[str, tuple[str | None, str]] = {
    "absent": (None, "there is none"),
    "empty": ("", "it is empty"),
    "blank": (" \n", "it is empty"),
    "empty object": ("{}", "it is empty"),
    "cut": (dump(PROFILE)[:-40], "it is corrupt: no JSON at character"),
    "too deep": ("[" * 100_000, "it is corrupt: no JSON"),
    "a number of 5,000 digits": ('{"rows": ' + "9" * 5000 + "}", "it is corrupt: no JSON"),
    "half a character": (written(source="\ud800"), "it is corrupt"),
    "more rows than a double counts": (
        written(
            rows=2**60,
            features=[
                {"kind": "numeric", "name": "x", "type": "double", "edges": [], "counts": [2**60]}
            ],
        ),
        "it counts more rows than there can be",
    ),
    "more unlisted than others": (
        written(
            rows=1,
            features=[
                {
                    "kind": "categorical",
                    "name": "c",
                    "type": "string",
                    "counts": {"a": 1},
                    "unlisted": {"b": 2},
                }
            ],
        ),
        "unlisted categories of feature 'c' count more rows",
    ),
    "a list": ("[1]", "it is a JSON list, no object"),
    "another form": (written(form="v9"), "its form is 'v9'"),
    "no features": (written(features=[]), "the profile is empty: it has no features"),
    "no rows": (
        dump(profile_frame(pd.DataFrame({"x": np.empty(0)}))),
        "the profile counts no rows",
    ),
    "zero counts": (with_feature(0, counts=[0] * 10), "'amount' counts 0 rows"),
    "other rows": (written(rows=7), "'amount' counts 200 rows and the profile 7"),
    "negative": (with_feature(2, missing=-1), "a count is negative"),
    "one edge less": (with_feature(0, edges=[0.5]), "10 counts for 1 edges"),
    "edges descend": (
        with_feature(0, edges=[9, 8, 7, 6, 5, 4, 3, 2, 1]),
        "edges must ascend without repeats",
    ),
    "NaN edge": (with_feature(0, edges=[float("nan")] * 9), "the profile is corrupt"),
    "text count": (with_feature(0, counts=["many"] * 10), "the profile is corrupt"),
    "unknown key": (written(extra=1), "the profile is corrupt: extra"),
    "twice": (
        written(features=json.loads(dump(PROFILE))["features"] * 2),
        "'amount' is there twice",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_profile_is_missing_evidence(case: str) -> None:
    """Absent, empty, corrupt and contradictory profiles are refused with what is wrong."""
    text, said = BROKEN[case]
    with pytest.raises(EvidenceMissing) as caught:
        load(text, doing="Reading the profile of credit-risk version 3")
    assert said in caught.value.problem
    assert str(caught.value).startswith("Reading the profile of credit-risk version 3: ")
    assert caught.value.next_step


def stats(buckets: Any, counts: Any) -> str:
    """Return a run parameter of one feature."""
    return json.dumps({"x": {"buckets": buckets, "counts": counts}})


def test_histogram_edges_become_inner_edges_and_extremes() -> None:
    """One bucket more than counts: the outer edges say how far the data went."""
    counts, buckets = np.histogram([1.0, 2.5, 2.6, 9.0], bins=[1.0, 2.0, 3.0, 9.0])
    profile = read_feature_stats(stats(buckets.tolist(), counts.tolist()))
    feature = profile.feature("x")
    assert isinstance(feature, NumericFeature)
    assert (feature.edges, feature.counts) == ((2.0, 3.0), (1, 2, 1))
    assert (feature.minimum, feature.maximum) == (1.0, 9.0)
    assert "outer bins taken as open" in profile.source


def test_inner_edges_and_endless_outer_edges_are_read() -> None:
    """One bucket fewer than counts is our own form; an infinite outer edge says nothing."""
    inner = read_feature_stats(stats([2, 3], [1, 2, 1])).feature("x")
    endless = read_feature_stats(
        '{"x": {"buckets": [-Infinity, 2, 3, Infinity], "counts": [1,2,1]}}'
    )
    for feature in (inner, endless.feature("x")):
        assert isinstance(feature, NumericFeature)
        assert (feature.edges, feature.counts) == ((2.0, 3.0), (1, 2, 1))
        assert feature.minimum is None


def test_text_buckets_are_categories() -> None:
    """One text bucket for each count names a category."""
    feature = read_feature_stats(stats(["a", "b"], [3, 0])).feature("x")
    assert isinstance(feature, CategoricalFeature)
    assert feature.counts == {"a": 3, "b": 0}


def test_rows_that_a_feature_did_not_count_are_missing() -> None:
    """The form has no missing values; the fullest feature says how many rows there were."""
    text = json.dumps(
        {"x": {"buckets": [1], "counts": [2, 3]}, "y": {"buckets": [1], "counts": [4, 5]}}
    )
    profile = read_feature_stats(text)
    assert profile.rows == 9
    assert [feature.missing for feature in profile.features] == [4, 0]
    assert load(dump(profile)) == profile


BROKEN_STATS: dict[str, tuple[str | None, str]] = {
    "absent": (None, "there is none"),
    "empty": ("{}", "it is empty"),
    "no JSON": ("{'x'", "no JSON"),
    "cut by MLflow": (stats(list(range(2000)), [1] * 1999)[:6000], "MLflow cut it at 6000"),
    "no counts": ('{"x": {"buckets": [1]}}', "'x' has no lists `buckets` and `counts`"),
    "no object": ('{"x": [1, 2]}', "'x' has no lists"),
    "zero": (stats([1], [0, 0]), "'x' counts no values: all its counts are 0"),
    "empty counts": (stats([], []), "'x' counts no values"),
    "negative": (stats([1], [-1, 2]), "'x' has a count that is no whole number from 0 up"),
    "half": (stats([1], [0.5, 2]), "'x' has a count that is no whole number"),
    "true": (stats([1], [True, 2]), "'x' has a count that is no whole number"),
    "equal lengths": (stats([1, 2], [1, 1]), "2 buckets for 2 counts; there must be one more"),
    "descending": (stats([2, 1], [1, 1, 1]), "buckets that do not ascend"),
    "repeated": (stats([1, 1], [1, 1, 1]), "buckets that do not ascend"),
    "NaN": ('{"x": {"buckets": [NaN], "counts": [1, 1]}}', "a bucket that is no number"),
    "text bucket": (stats(["a", 2], [1, 1, 1]), "a bucket that is no number"),
    "infinite inner": ('{"x": {"buckets": [-Infinity], "counts": [1, 1]}}', "infinite inner edge"),
    "category twice": (stats(["a", "a"], [1, 1]), "names a category twice"),
    "half a character": (stats(["\ud800"], [1]), "it is corrupt"),
    "a count past every double": (stats([1], [10**400, 1]), "has a count that is no whole number"),
    "a bucket past every double": (stats([10**400], [1, 1]), "a bucket that is no number"),
    "a number of 5,000 digits": (stats([1], [1, 1])[:-4] + "9" * 5000 + "]}}", "it is corrupt"),
}


@pytest.mark.parametrize("case", BROKEN_STATS)
def test_a_broken_run_parameter_is_missing_evidence(case: str) -> None:
    """What the older form gets wrong is refused by the feature's name."""
    text, said = BROKEN_STATS[case]
    with pytest.raises(EvidenceMissing) as caught:
        read_feature_stats(text)
    assert said in caught.value.problem
    assert "log_feature_profile" in caught.value.next_step
