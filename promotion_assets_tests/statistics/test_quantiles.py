"""Quantile intervals against their definition and by simulation, as latency needs them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, quantile_test

from promotion_assets.statistics.quantiles import (
    quantile_difference,
    quantile_interval,
    quantile_ratio,
    quantile_sample_size,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage

TRUE_LOG_QUANTILE = {0.5: 0.0, 0.95: 1.6448536, 0.99: 2.3263479}


@given(st.integers(20, 400), st.sampled_from([0.25, 0.5, 0.9, 0.95]), st.integers(0, 2**32 - 1))
def test_interval_lies_within_scipys_order_statistics(n: int, q: float, seed: int) -> None:
    """SciPy's exact interval takes whole order statistics: ours is interpolated within it."""
    values = np.random.default_rng(seed).lognormal(size=n)
    ours = quantile_interval(values, q)
    low, high = quantile_test(values, q=0.0, p=q).confidence_interval(0.95)
    if not math.isnan(low):
        assert ours.low >= low
    if not math.isnan(high):
        assert ours.high <= high
    assert ours.low <= ours.value <= ours.high


def test_bound_that_the_sample_does_not_hold_is_infinite() -> None:
    """200 requests do not bound a p99 from above, and the estimate says so."""
    estimate = quantile_interval(np.arange(200.0), 0.99)
    assert estimate.high == math.inf
    assert math.isnan(estimate.std_error)
    needed = quantile_sample_size(0.99)
    assert quantile_interval(np.arange(float(needed)), 0.99).high < math.inf
    assert quantile_interval(np.arange(float(needed - 1)), 0.99).high == math.inf
    assert binom.cdf(needed - 1, needed, 0.99) >= 0.975


@pytest.mark.parametrize(
    ("n", "q"), [(100, 0.5), (200, 0.95), (1000, 0.95), (1000, 0.99), (3000, 0.99)]
)
def test_quantile_interval_covers(n: int, q: float) -> None:
    """Intervals of p50, p95 and p99 of skewed times cover 93 to 97 %."""
    times = np.random.default_rng(n).lognormal(size=(1500, n))
    intervals = [quantile_interval(row, q) for row in times]
    assert LOW <= coverage(intervals, math.exp(TRUE_LOG_QUANTILE[q])) <= HIGH


@pytest.mark.parametrize(("n", "q"), [(300, 0.5), (500, 0.95), (3000, 0.99)])
def test_quantile_differences_and_ratios_cover(n: int, q: float) -> None:
    """Differences and ratios of two models' quantiles cover 93 to 97 %."""
    rng = np.random.default_rng(n + 1)
    first, second = rng.lognormal(size=(1000, n)), 1.3 * rng.lognormal(size=(1000, n))
    true = math.exp(TRUE_LOG_QUANTILE[q])
    differences = [quantile_difference(a, b, q) for a, b in zip(first, second, strict=True)]
    ratios = [quantile_ratio(a, b, q) for a, b in zip(first, second, strict=True)]
    assert LOW <= coverage(differences, true - 1.3 * true) <= HIGH
    assert LOW <= coverage(ratios, 1 / 1.3) <= HIGH


def test_equal_samples_do_not_differ() -> None:
    """A sample against itself differs by 0 with an interval on both sides."""
    times = np.random.default_rng(1).lognormal(size=300)
    difference = quantile_difference(times, times, 0.9)
    assert difference.low < difference.difference == 0.0 < difference.high
    assert difference.p_value == 1.0


def test_constant_times_have_a_point_for_an_interval() -> None:
    """Order statistics of equal times are equal."""
    estimate = quantile_interval(np.full(100, 4.0), 0.5)
    assert (estimate.low, estimate.value, estimate.high) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize("q", [0.0, 1.0, 95])
def test_quantile_is_a_share(q: float) -> None:
    """A quantile of 95 instead of .95 is refused."""
    with pytest.raises(ValueError, match="a quantile must lie between 0 and 1"):
        quantile_interval([1.0, 2.0], q)


def test_ratio_of_times_of_zero_is_refused() -> None:
    """A ratio of times that may be 0 is refused by name, and so is NaN."""
    with pytest.raises(ValueError, match=r"second: a ratio needs positive values, got 0\.0"):
        quantile_ratio([1.0, 2.0], [0.0, 1.0], 0.5)
    with pytest.raises(ValueError, match="samples hold 1 NaN"):
        quantile_interval([1.0, math.nan], 0.5)
