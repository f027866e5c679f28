"""What the statistics refuse to compute, and what they say where there is nothing to tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from promotion_assets.statistics.binning import rank_bins
from promotion_assets.statistics.calibration import reliability
from promotion_assets.statistics.checks import as_binary, as_codes, as_confidence, as_finite
from promotion_assets.statistics.estimates import Difference, p_at_least, p_at_most, rows_needed
from promotion_assets.statistics.groups import cross
from promotion_assets.statistics.intervals import (
    mean_estimate,
    mean_estimate_from,
    proportion_sample_size,
)
from promotion_assets.statistics.simultaneous import max_t_critical

REFUSED: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (as_confidence, (0.0,), "confidence must lie between 0 and 1, got 0.0"),
    (as_confidence, (1.0,), "confidence must lie between 0 and 1"),
    (as_confidence, (math.nan,), "confidence must lie between 0 and 1, got nan"),
    (as_binary, ([[0, 1]],), "must have one dimension"),
    (as_binary, ([],), "labels are empty"),
    (as_binary, (["a"],), "values of type"),
    (as_binary, ([0, 1, 2, 7],), "must be 0 or 1, got 2.0, 7.0"),
    (as_binary, ([0, math.nan],), "hold 1 NaN among 2"),
    (as_finite, ([[1.0]], "scores"), "scores must have one dimension"),
    (as_finite, (["a"], "scores"), "scores must be numbers"),
    (as_finite, ([1.0], "scores", 2), "scores have 1 rows, expected 2"),
    (as_finite, ([], "scores"), "scores"),
    (as_finite, ([math.nan, math.inf, 1], "scores"), "1 NaN and 1 infinite values among 3"),
    (as_codes, ([0, 1], 2, 3), "codes have shape"),
    (as_codes, ([0.0], 1, 1), "codes must be integers"),
    (as_codes, ([0], 0, 1), "at least one group, got 0"),
    (as_codes, ([2], 2, 1), "codes must lie in [-1, 2), got 2 to 2"),
    (as_codes, ([-2], 2, 1), "codes must lie in [-1, 2), got -2 to -2"),
    (rank_bins, (np.arange(3.0), 1), "bins must lie between 2"),
    (reliability, ([0, 1], [0.2, 0.8]), "bins must be at least 1, got 0"),
    (cross, (), "at least one attribute"),
    (mean_estimate, ([1.0],), "needs at least 2 values, got 1"),
    (mean_estimate_from, (1, 0.0, 1.0, 0.95), "needs at least 2 values, got 1"),
    (proportion_sample_size, (1.5, 0.1), "no sample tells 1.5"),
    (proportion_sample_size, (0.5, 0.0), "a limit 0.0 away"),
    (max_t_critical, (np.zeros(5),), "(resamples, comparisons), got shape (5,)"),
    (max_t_critical, (np.zeros((1, 5)),), "got shape (1, 5)"),
]


@pytest.mark.parametrize(("function", "arguments", "words"), REFUSED)
def test_what_cannot_be_computed_is_refused_with_the_value_seen(
    function: Callable[..., Any], arguments: tuple[Any, ...], words: str
) -> None:
    """No NaN comes out of what must not go in."""
    options = {"bins": 0} if function is reliability else {}
    with pytest.raises(ValueError, match=r".") as caught:
        function(*arguments, **options)
    assert words in str(caught.value)


def test_what_lies_at_the_edge_of_the_allowed_is_taken() -> None:
    """Booleans and floats that are 0 and 1, the last group, and rows of no group."""
    assert as_binary(np.array([True, False])).tolist() == [True, False]
    assert as_binary([0.0, 1.0]).tolist() == [False, True]
    assert as_codes([-1, 1], 2, 2).tolist() == [-1, 1]
    assert as_finite([1, 2], "scores", 2).dtype == np.float64
    assert as_confidence(0.5) == 0.5


def gap(difference: float, std_error: float, tolerance: float = 0.0) -> Difference:
    """A difference with its standard error."""
    return Difference(
        difference, 0.0, difference, 0.0, 0.0, 0.95, 10, 1.0, "made up", std_error, tolerance
    )


def test_tests_without_a_standard_error_show_nothing_and_exact_ones_all() -> None:
    """An exactly equal difference is not above its margin; a tolerance counts against it."""
    assert p_at_least(gap(1.0, math.nan), 0.0) == p_at_most(gap(-1.0, math.nan), 0.0) == 1.0
    assert [p_at_least(gap(d, 0.0), 0.5) for d in (0.4, 0.5, 0.6)] == [1.0, 1.0, 0.0]
    assert [p_at_most(gap(d, 0.0), 0.5) for d in (0.4, 0.5, 0.6)] == [0.0, 1.0, 1.0]
    assert p_at_least(gap(0.6, 0.0, 0.1), 0.5) == 1.0
    assert p_at_most(gap(0.4, 0.0, 0.1), 0.5) == 1.0
    assert p_at_least(gap(0.5, 0.1), 0.5) == pytest.approx(0.5)
    assert p_at_most(gap(0.5, 0.1), 0.5) == pytest.approx(0.5)
    assert p_at_least(gap(0.7, 0.1), 0.5) == pytest.approx(0.02275, abs=1e-5)
    assert p_at_most(gap(0.3, 0.1), 0.5) == pytest.approx(0.02275, abs=1e-5)


def test_rows_that_would_settle_it_are_none_where_none_would() -> None:
    """On the limit, without a standard error, or past all measure."""
    assert rows_needed(100, 0.1, 0.1) == 385
    assert rows_needed(100, 0.1, -0.1) == 385
    assert rows_needed(100, 0.1, 0.1, power=0.8) == 785
    assert rows_needed(100, 0.0, 0.1) == 1
    for error, distance in ((0.1, 0.0), (0.1, math.inf), (math.nan, 0.1), (1.0, 1e-9)):
        assert rows_needed(100, error, distance) is None


def test_replicates_without_variation_leave_the_quantile_of_one_interval() -> None:
    """Undefined and constant columns say nothing of the spread."""
    one = 1.959964
    assert max_t_critical(np.full((50, 2), math.nan)) == pytest.approx(one, abs=1e-6)
    assert max_t_critical(np.ones((50, 2))) == pytest.approx(one, abs=1e-6)
