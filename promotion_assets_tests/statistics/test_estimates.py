"""One-sided p-values and needed samples from a finished estimate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from promotion_assets.statistics.estimates import p_at_least, p_at_most, rows_needed
from promotion_assets.statistics.intervals import mean_difference


def test_one_sided_p_values_are_those_of_a_shifted_paired_t_test() -> None:
    """Superiority and inferiority by a margin are SciPy's one-sided tests of shifted values."""
    rng = np.random.default_rng(4)
    first, second = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    difference = mean_difference(first, second)
    greater = ttest_rel(first - 0.1, second, alternative="greater").pvalue
    less = ttest_rel(first - 0.1, second, alternative="less").pvalue
    assert p_at_least(difference, 0.1) == pytest.approx(greater)
    assert p_at_most(difference, 0.1) == pytest.approx(less)


def test_without_a_standard_error_nothing_is_shown() -> None:
    """A difference whose standard error is unknown never proves anything."""
    difference = replace(mean_difference([1.0, 2.0], [0.5, 1.0]), std_error=math.nan)
    assert p_at_least(difference, -100.0) == 1.0
    assert p_at_most(difference, 100.0) == 1.0


def test_tolerance_counts_against_the_claim() -> None:
    """A binned value's possible error makes either claim harder to prove."""
    difference = mean_difference([1.0, 2.0, 3.5], [0.5, 1.0, 2.9])
    unsure = replace(difference, tolerance=0.1)
    assert p_at_least(unsure, 0.0) > p_at_least(difference, 0.0)
    assert p_at_most(unsure, 2.0) > p_at_most(difference, 2.0)


@pytest.mark.parametrize("distance", [0.0, math.nan, math.inf])
def test_no_sample_settles_a_value_on_its_limit(distance: float) -> None:
    """Where the estimate lies on the limit, or is unknown, no sample size is named."""
    assert rows_needed(100, 0.1, distance) is None


def test_needed_rows_grow_with_power() -> None:
    """Catching an effect in 80 % of samples takes ((1.96 + 0.84) / 1.96) squared of the rows."""
    half, most = rows_needed(1000, 0.1, 0.01), rows_needed(1000, 0.1, 0.01, power=0.8)
    assert half is not None
    assert most is not None
    assert half == math.ceil(1000 * (1.959964 * 10) ** 2)
    assert most / half == pytest.approx((2.801585 / 1.959964) ** 2, rel=1e-4)
