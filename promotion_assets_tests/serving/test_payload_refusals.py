"""Bodies that are no rows, plans that are none, and the row that is made up to try a version."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from promotion_assets.errors import UsageError
from promotion_assets.serving.payload import RequestRefused, read_invocation
from promotion_assets.serving.plan import Arm, SegmentPlan, TrafficPlan, parse_plan

JSON = "application/json"
SPLIT = {"columns": ["a", "b"], "data": [[1, 2]]}
REFUSED: list[tuple[Any, str]] = [
    ({"dataframe_split": [1]}, "has no 'columns' and 'data'"),
    ({"dataframe_split": {"columns": ["a"]}}, "has no 'columns' and 'data'"),
    ({"dataframe_split": {**SPLIT, "extra": 1}}, "other keys than columns, index and data"),
    ({"dataframe_split": {**SPLIT, "data": [1, 2]}}, "data are not a list of rows"),
    ({"dataframe_split": {**SPLIT, "data": 1}}, "data are not a list of rows"),
    ({"dataframe_split": {**SPLIT, "columns": "ab"}}, "columns are not a list of names"),
    ({"dataframe_split": {**SPLIT, "columns": ["a", 1]}}, "columns are not a list of names"),
    ({"dataframe_split": {**SPLIT, "columns": ["a", "a"]}}, "the column 'a' is there twice"),
    ({"dataframe_split": {**SPLIT, "data": [[1, 2], [3]]}}, "row 1 has 1 values for 2 columns"),
    ({"dataframe_records": {"a": 1}}, "dataframe_records is not a list of objects"),
    ({"dataframe_records": [1]}, "dataframe_records is not a list of objects"),
    ({"inputs": {"a": [1, 2], "b": [1]}}, "differ in length"),
]


@pytest.mark.parametrize(("body", "words"), REFUSED)
def test_rows_that_are_none_are_refused_by_what_is_wrong(body: Any, words: str) -> None:
    """Before any model is asked, in three parts, as a fault of the caller."""
    with pytest.raises(RequestRefused) as caught:
        _ = read_invocation(json.dumps(body).encode(), JSON).rows
    assert words in str(caught.value)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"\xff", "text/csv", 400, "not text in UTF-8"),
        (b"\xff", JSON, 400, "not text in UTF-8"),
        (b"{", JSON, 400, "not valid JSON"),
        (b'{"inputs": NaN}', JSON, 400, "NaN is no JSON value"),
        (b"[" * 100_000, JSON, 400, "nested too deep"),
        (b"a", "text/html", 415, "its content type is 'text/html'"),
        (b"\n\n", "text/csv", 400, "the CSV is empty"),
        (b'a\n"x', "text/csv", 400, "not valid CSV"),
        (b"a,b\n1", "text/csv", 400, "row 0 has 1 values for 2 columns"),
    ],
)
def test_bytes_that_nobody_can_read_are_refused(
    body: bytes, kind: str, status: int, words: str
) -> None:
    """Each with what it is and what to send in its place."""
    with pytest.raises(RequestRefused) as caught:
        _ = read_invocation(body, kind).rows
    assert words in str(caught.value)
    assert caught.value.status == status


def test_a_row_has_one_hash_in_whatever_form_and_order_it_came() -> None:
    """1 and 1.0 are one number; a text and a missing value are others."""
    forms = [
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["b", "a"], "data": [[2.0, 1.0]], "index": [7]}},
        {"dataframe_records": [{"b": 2, "a": 1}]},
        {"inputs": {"a": [1], "b": [2]}},
        {"inputs": {"a": 1, "b": 2}},
    ]
    prints = {read_invocation(json.dumps(f).encode(), JSON).fingerprints for f in forms}
    assert len(prints) == 1
    others = [[{"a": 1, "b": "2"}], [{"a": 1, "b": None}], [{"a": 1}], [{"a": 2, "b": 1}]]
    for rows in others:
        body = json.dumps({"dataframe_records": rows}).encode()
        assert read_invocation(body, JSON).fingerprints not in prints


ONE, TWO = Arm(version="1", digest="a" * 64), Arm(version="2", digest="b" * 64)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"share": 1}, "gives 1 bp to no candidate"),
        ({"candidate": TWO}, "has a candidate and no salt"),
        ({"candidate": ONE, "salt": "s"}, "has version 1 twice"),
        ({"shadow_share": 1}, "copies requests to no shadow"),
        ({"shadow": TWO}, "has a shadow and no salt for it"),
        ({"share": 10_001, "candidate": TWO, "salt": "s"}, "less than or equal to 10000"),
    ],
)
def test_a_segments_arms_must_fit(values: dict[str, Any], words: str) -> None:
    """No share without somebody to answer it, no arm without a salt to choose by."""
    with pytest.raises(ValidationError) as caught:
        SegmentPlan(name="eu", stable=ONE, **values)
    assert words in str(caught.value)


def test_a_plan_names_each_segment_once_and_one_of_them_is_the_default() -> None:
    """A segment that is added comes last, one that is replaced keeps its place."""
    eu, us = (SegmentPlan(name=name, stable=ONE) for name in ("eu", "us"))
    with pytest.raises(ValidationError, match="segments repeat: eu, eu"):
        TrafficPlan(model="m", generation=1, segments=(eu, eu), default="eu")
    with pytest.raises(ValidationError, match="default segment 'us' is none of eu"):
        TrafficPlan(model="m", generation=1, segments=(eu,), default="us")
    wider = TrafficPlan(model="m", generation=1, segments=(eu,), default="eu").with_segment(us)
    assert [s.name for s in wider.segments] == ["eu", "us"]
    changed = wider.with_segment(SegmentPlan(name="eu", stable=TWO))
    assert [s.stable.version for s in changed.segments] == ["2", "1"]
    assert changed.generation == 3
    assert set(changed.arms()) == {"1", "2"}


@pytest.mark.parametrize("version", ["champion", "latest", "0", "1.0", ""])
def test_a_plan_that_names_an_alias_is_not_read(version: str) -> None:
    """The message says where, what was found, and why it is not read."""
    segment = {"name": "eu", "stable": {"version": version, "digest": "a" * 64}}
    plan = {"model": "m", "generation": 1, "segments": [segment], "default": "eu"}
    with pytest.raises(UsageError) as caught:
        parse_plan(plan, "plan.json")  # type: ignore[arg-type]
    said = str(caught.value)
    assert "read the traffic plan in plan.json" in said
    assert "segments.0.stable.version: String should match pattern" in said
    assert repr(version) in said
