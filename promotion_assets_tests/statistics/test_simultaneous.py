"""Many comparisons at once: adjusted p-values and levels, and that they keep their promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from promotion_assets.statistics.simultaneous import (
    bonferroni,
    holm,
    max_t_critical,
    simultaneous_level,
)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_test(p_values: list[float]) -> None:
    """Holm's adjusted p-value is the largest Bonferroni p-value of all sets with that member."""
    for index, adjusted in enumerate(holm(p_values)):
        others = [p for i, p in enumerate(p_values) if i != index]
        sets = (
            [p_values[index], *extra]
            for size in range(len(others) + 1)
            for extra in itertools.combinations(others, size)
        )
        expected = max(min(1.0, len(s) * min(s)) for s in sets)
        assert adjusted == pytest.approx(expected)


def test_holm_leaves_the_undefined_alone() -> None:
    """A NaN stays NaN and does not make the other tests stricter."""
    adjusted = holm([0.02, np.nan, 0.03])
    assert np.isnan(adjusted[1])
    assert adjusted[[0, 2]].tolist() == pytest.approx([0.04, 0.04])


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(bad: list[float]) -> None:
    """Values outside [0, 1] are refused."""
    with pytest.raises(ValueError, match="p-values must lie"):
        holm(bad)


@given(st.floats(0.5, 0.999), st.integers(1, 200))
def test_levels_are_ordered(confidence: float, comparisons: int) -> None:
    """Šidák's level lies between that of one interval and Bonferroni's."""
    single = simultaneous_level(confidence, comparisons)
    assert confidence <= single + 1e-12
    assert single <= bonferroni(confidence, comparisons) + 1e-12
    assert single**comparisons == pytest.approx(confidence)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_max_t_is_sidak_without_correlation_and_smaller_with(correlation: float) -> None:
    """The critical value of independent columns is Šidák's; correlation brings it down."""
    rng = np.random.default_rng(9)
    shared, own = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 10))
    draws = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    level = float(2 * ndtr(max_t_critical(draws * np.arange(1, 11))) - 1)
    sidak = simultaneous_level(0.95, 10)
    if correlation == 0.0:
        assert level == pytest.approx(sidak, abs=6e-4)
    else:
        assert 0.95 <= level < sidak


def test_max_t_ignores_columns_without_variation() -> None:
    """Columns that are constant or undefined need no allowance."""
    rng = np.random.default_rng(2)
    column = rng.normal(size=(5000, 1))
    padded = np.hstack([column, np.zeros((5000, 3)), np.full((5000, 2), np.nan)])
    assert max_t_critical(padded) == max_t_critical(column)
    assert max_t_critical(np.zeros((10, 2))) == pytest.approx(1.959964)


@pytest.mark.parametrize("correlation", [-0.1, 0.0, 0.8])
def test_type_one_error_of_holm_holds_under_correlation(correlation: float) -> None:
    """Ten true hypotheses, whatever their correlation: a false alarm in at most 5 %."""
    rng = np.random.default_rng(7)
    covariance = np.full((10, 10), correlation) + np.eye(10) * (1 - correlation)
    z = rng.multivariate_normal(np.zeros(10), covariance, size=4000)
    p = 2 * ndtr(-np.abs(z))
    alarms = np.mean([holm(row).min() <= 0.05 for row in p])
    assert 0.01 < alarms <= 0.058
