"""Distances and rank correlation of two models' scores on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, spearmanr
from scipy.stats import wasserstein_distance as scipy_wasserstein

from promotion_assets.statistics.paired_scores import (
    ks_distance,
    rank_correlation,
    wasserstein_distance,
)

SCORES = st.lists(
    st.tuples(
        st.floats(0, 1, width=16, allow_subnormal=False),
        st.floats(0, 1, width=16, allow_subnormal=False),
    ),
    min_size=4,
    max_size=60,
).map(np.array)


@given(SCORES)
def test_the_figures_are_scipys(pairs: np.ndarray) -> None:
    """Ties and constants included, the three point estimates are those of SciPy."""
    one, two = pairs[:, 0], pairs[:, 1]
    assert ks_distance(one, two).value == pytest.approx(
        ks_2samp(one, two, method="asymp").statistic
    )
    assert wasserstein_distance(one, two).value == pytest.approx(
        scipy_wasserstein(one, two), abs=1e-12
    )
    if len(set(one)) > 1 and len(set(two)) > 1:
        found = rank_correlation(one, two)
        assert found.value == pytest.approx(spearmanr(one, two).statistic, abs=1e-9)
        assert found.low <= found.value <= found.high


@given(SCORES)
def test_equal_scores_are_no_distance_apart(pairs: np.ndarray) -> None:
    """The distances of scores from themselves are 0, and the order of the sides is the same."""
    one, two = pairs[:, 0], pairs[:, 1]
    for distance in (ks_distance, wasserstein_distance):
        assert distance(one, one).value == 0
        assert distance(one, two).value == pytest.approx(distance(two, one).value, abs=1e-12)
        found = distance(one, two)
        assert found.low <= found.value <= found.high


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 samples of correlated scores with a known shift, about 95 % cover it."""
    rng = np.random.default_rng(20260302)
    covered = {"wasserstein": 0, "spearman": 0, "ks": 0}
    truth = 6 / np.pi * np.arcsin(0.8 / 2)
    for _ in range(400):
        one = rng.normal(size=300)
        two = 0.8 * one + 0.6 * rng.normal(size=300) + 0.5
        distance = wasserstein_distance(one, two)
        covered["wasserstein"] += distance.low <= 0.5 <= distance.high
        ranks = rank_correlation(one, two)
        covered["spearman"] += ranks.low <= truth <= ranks.high
        gap = ks_distance(one, two)
        # The distance of two normal distributions half a standard deviation apart.
        covered["ks"] += gap.low <= 0.1974126513658474 <= gap.high
    assert 0.92 <= covered["wasserstein"] / 400 <= 0.98
    assert 0.92 <= covered["spearman"] / 400 <= 0.98
    assert covered["ks"] / 400 >= 0.95


@pytest.mark.parametrize("function", [ks_distance, wasserstein_distance, rank_correlation])
def test_what_cannot_be_compared_is_refused(function) -> None:  # type: ignore[no-untyped-def]
    """No pairs, sides of two lengths, and a score that is no number have no distance."""
    for one, two in (([], []), ([0.1, 0.2], [0.1]), ([0.1, np.nan], [0.1, 0.2])):
        with pytest.raises(ValueError, match=r"empty|rows|NaN"):
            function(one, two)


def test_a_constant_side_ranks_nothing() -> None:
    """A rank correlation with one value only is refused, not called 0 or NaN."""
    with pytest.raises(ValueError, match="differ"):
        rank_correlation([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
