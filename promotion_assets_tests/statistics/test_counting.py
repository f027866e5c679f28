"""The counting kernel against a plain definition of its bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from promotion_assets.statistics.counting import (
    BLOCK_ROWS,
    SEARCH_EDGES,
    count_into,
    summarise,
)


def by_definition(values: np.ndarray, edges: list[float]) -> tuple[list[int], int]:
    """Return counts of (e[i-1], e[i]] and the missing, value by value."""
    counts, missing = [0] * (len(edges) + 1), 0
    for value in values.tolist():
        if isinstance(value, float) and math.isnan(value):
            missing += 1
        else:
            counts[sum(edge < value for edge in edges)] += 1
    return counts, missing


numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 0.1, 0.5, 1.0, -0.0])
)
edge_lists = st.lists(
    st.one_of(st.floats(-1e300, 1e300), st.sampled_from([0.1, 0.5, 1.0])), unique=True, max_size=12
).map(sorted)


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=numbers), edge_lists)
def test_counts_equal_the_definition(values: np.ndarray, edges: list[float]) -> None:
    """Every value is in the bin that its definition says, NaN is missing, infinity is counted."""
    counts, missing = count_into(values, edges)
    assert (counts.tolist(), missing) == by_definition(values, edges)


@given(hnp.arrays(np.float64, st.integers(0, 40), elements=numbers), edge_lists)
def test_one_pass_finds_what_several_find(values: np.ndarray, edges: list[float]) -> None:
    """Counts, sums and extremes of finite values; nothing where one is not, or the sum is not."""
    found = summarise(values, edges)
    small = np.isfinite(values).all() and abs(values).max(initial=0) < 1e300
    if not small or not len(values):
        assert found is None or math.isfinite(found.total)
        return
    assert found is not None
    assert found.counts.tolist() == by_definition(values, edges)[0]
    assert found.total == pytest.approx(math.fsum(values), abs=1e-9 * abs(values).sum())
    with np.errstate(over="ignore"):
        assert found.squares == pytest.approx(float((values**2).sum()), rel=1e-9)
    assert (found.low, found.high) == (values.min(), values.max())


def test_one_pass_goes_over_all_blocks() -> None:
    """More rows than a block has, the last block not full."""
    values = np.random.default_rng(4).normal(size=2 * BLOCK_ROWS + 77)
    found = summarise(values, [-1.0, 0.0, 0.5])
    assert found is not None
    assert found.counts.tolist() == count_into(values, [-1.0, 0.0, 0.5])[0].tolist()
    assert found.total == pytest.approx(math.fsum(values))
    assert found.squares == pytest.approx(math.fsum(values**2))
    assert (found.low, found.high) == (values.min(), values.max())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_pass_leaves_gaps_to_others(value: float) -> None:
    """A value that is missing or infinite, wherever it lies."""
    values = np.zeros(BLOCK_ROWS + 5)
    values[-2] = value
    assert summarise(values, [0.5]) is None
    assert summarise(np.empty(0), [0.5]) is None


@given(
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32, allow_nan=True)),
    edge_lists,
)
def test_single_precision_is_compared_exactly(values: np.ndarray, edges: list[float]) -> None:
    """A float32 is counted as the number that it is, not by an edge rounded to its precision."""
    counts, missing = count_into(values, edges)
    assert (counts.tolist(), missing) == by_definition(values.astype(np.float64), edges)


def test_a_rounded_edge_does_not_move_a_value() -> None:
    """The float32 nearest to .1 is larger than .1, so it lies past an edge at .1."""
    counts, _ = count_into(np.array([0.1], dtype=np.float32), [0.1])
    assert counts.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.bool_])
def test_integers_and_booleans_are_counted(dtype: type) -> None:
    """Whole numbers take part as they are."""
    values = np.array([0, 1, 1, 0, 1], dtype=dtype)
    counts, missing = count_into(values, [0.5])
    assert (counts.tolist(), missing) == ([2, 3], 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, SEARCH_EDGES, SEARCH_EDGES + 1, 400]))
def test_blocks_and_search_agree_with_numpy(seed: int, n_edges: int) -> None:
    """Past one block of rows, with few edges or many, strided or not, counts are numpy's."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(BLOCK_ROWS + 17, 2))
    values[rng.random(values.shape) < 0.01] = np.nan
    edges = np.unique(rng.normal(size=n_edges))
    column = values[:, 1]
    counts, missing = count_into(column, edges)
    present = column[~np.isnan(column)]
    expected = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    np.testing.assert_array_equal(counts, expected)
    assert missing == len(column) - len(present)


def test_no_edges_is_one_bin() -> None:
    """A constant feature may have no inner edge: all present values are in one bin."""
    counts, missing = count_into(np.array([1.0, np.nan, 1.0]), [])
    assert (counts.tolist(), missing) == ([2], 1)


@pytest.mark.parametrize(
    ("values", "edges", "message"),
    [
        ([1.0], [1.0, 1.0], "edges must be finite and ascend"),
        ([1.0], [2.0, 1.0], "edges must be finite and ascend"),
        ([1.0], [math.nan], "edges must be finite and ascend"),
        (["a"], [1.0], "values must be numbers"),
        ([[1.0]], [1.0], "values must have one dimension"),
    ],
)
def test_bad_edges_and_values_are_refused(
    values: list[object], edges: list[float], message: str
) -> None:
    """Edges that do not ascend and values that are not numbers are errors."""
    with pytest.raises(ValueError, match=message):
        count_into(np.array(values), edges)
