"""Every row belongs to exactly one group of each attribute, under a name that people know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation.grouping import band_names, expected_names, groups_of
from promotion_assets.policy.model import Group


def names(values: object, group: Group) -> list[str]:
    """Return the group names of one column of values."""
    return groups_of(pd.DataFrame({group.column: values}), [group])[group.label].tolist()


def test_labels_stand_behind_the_value() -> None:
    """A value keeps its own text; the label only explains it."""
    group = Group(column="EDUCATION", labels={"3": "high school"})
    assert names([3, 2, 3], group) == ["3 (high school)", "2", "3 (high school)"]


def test_whole_numbers_read_alike_with_and_without_missing_values() -> None:
    """A column that turns into floats because one value is missing keeps its groups."""
    group = Group(column="EDUCATION")
    assert names([3.0, np.nan, 2.0], group) == ["3", "missing", "2"]
    assert names(pd.array([3, None, 2], dtype="Int64"), group) == ["3", "missing", "2"]


def test_missing_values_are_a_group_that_no_real_value_joins() -> None:
    """Rows without an answer are compared too, and apart from those that answered "missing"."""
    assert names(["f", None, "missing", np.nan], Group(column="SEX")) == [
        "f",
        "missing",
        "'missing'",
        "missing",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([29, 30, 49, 50, 99], ["<30", "30-49", "30-49", "50+", "50+"]),
        ([29.9, np.nan, np.inf, -np.inf], ["<30", "missing", "50+", "<30"]),
        (pd.array([30, None], dtype="Int64"), ["30-49", "missing"]),
    ],
)
def test_bands_include_their_lower_edge(values: object, expected: list[str]) -> None:
    """``[30, 50)`` holds 30 and not 50, and every number has a band."""
    assert names(values, Group(column="AGE", bands=(30, 50))) == expected


def test_bands_are_named_by_what_they_hold() -> None:
    """Whole edges read as people say them, fractions as intervals, one year as itself."""
    assert band_names((18, 19, 65)) == ("<18", "18", "19-64", "65+")
    assert band_names((0.5, 1.5)) == ("<0.5", "[0.5, 1.5)", "1.5+")
    assert band_names((40,)) == ("<40", "40+")


def test_a_group_may_be_called_otherwise_than_its_column() -> None:
    """Results speak of the attribute by the policy's name for it."""
    frame = pd.DataFrame({"AGE": [20, 70]})
    found = groups_of(frame, [Group(column="AGE", name="age band", bands=(50,))])
    assert {key: value.tolist() for key, value in found.items()} == {"age band": ["<50", "50+"]}


def test_the_policy_expects_its_bands_and_labelled_values() -> None:
    """What a policy speaks of must be there; a value without a label may be."""
    assert expected_names(Group(column="A", bands=(1, 5), labels={"5+": "old"})) == (
        "<1",
        "1-4",
        "5+ (old)",
    )
    assert expected_names(Group(column="A", labels={"x": "ex"})) == ("x (ex)",)
    assert expected_names(Group(column="A")) == ()


def test_an_absent_column_is_named_with_those_that_are_there() -> None:
    """A typo in the policy is seen at once."""
    with pytest.raises(EvidenceMissing, match=r"credit-risk.*no column 'SEXX'.*are SEX, AGE"):
        groups_of(
            pd.DataFrame({"SEX": ["f"], "AGE": [3]}), [Group(column="SEXX")], model="credit-risk"
        )


def test_bands_on_text_are_refused() -> None:
    """A band cannot be guessed for a word."""
    with pytest.raises(UsageError, match="bands need numbers, and column 'AGE' holds"):
        names(["young"], Group(column="AGE", bands=(30,)))


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30),
    st.lists(st.integers(-50, 50), min_size=1, max_size=4, unique=True),
)
@settings(deadline=None)
def test_every_row_has_exactly_the_band_that_holds_it(
    values: list[float | None], edges: list[int]
) -> None:
    """Compared with a row-by-row definition, for any values and edges."""
    edges = sorted(edges)
    group = Group(column="x", bands=tuple(edges))
    expected = [
        "missing" if value is None else band_names(edges)[sum(edge <= value for edge in edges)]
        for value in values
    ]
    assert names(pd.Series(values, dtype="float64"), group) == expected


def test_bytes_are_a_group_by_their_digits() -> None:
    """A code that a database keeps as bytes has a name that can be read and written in a policy."""
    assert names([b"\xff\x01", b"\x00"], Group(column="CODE")) == ["ff01", "00"]
