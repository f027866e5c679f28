"""Proportions and means against SciPy, published figures and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_rel

from promotion_assets.statistics.intervals import (
    mean_difference,
    mean_estimate,
    newcombe,
    newcombe_paired,
    proportion_ratio,
    proportion_sample_size,
    wilson,
    wilson_bounds,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_equals_scipy(trials: int, share: float, confidence: float) -> None:
    """Wilson's interval is SciPy's, at both ends of the scale too."""
    successes = round(trials * share)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    estimate = wilson(successes, trials, confidence=confidence)
    assert [estimate.low, estimate.high] == pytest.approx(list(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10.
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((10, 10, 0, 10), (0.6075, 1.0000)),
    ],
)
def test_newcombe_gives_the_published_figures(
    counts: tuple[int, int, int, int], bounds: tuple[float, float]
) -> None:
    """The independent difference is the published one, to its four digits."""
    difference = newcombe(*counts)
    assert [difference.low, difference.high] == pytest.approx(list(bounds), abs=5.1e-5)


def test_newcombe_paired_reduces_to_square_and_add_without_correlation() -> None:
    """With as many concordant as discordant products the rows might as well be independent."""
    paired, apart = newcombe_paired(25, 25, 25, 25), newcombe(50, 100, 50, 100)
    assert [paired.low, paired.high] == pytest.approx([apart.low, apart.high])


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_newcombe_paired_mirrors(both: int, first: int, second: int, neither: int) -> None:
    """Exchanging the models, or success and failure, mirrors the interval."""
    if both + first + second + neither == 0:
        return
    straight = newcombe_paired(both, first, second, neither)
    exchanged = newcombe_paired(both, second, first, neither)
    failures = newcombe_paired(neither, second, first, both)
    assert straight.low <= straight.difference <= straight.high
    assert [exchanged.low, exchanged.high] == pytest.approx([-straight.high, -straight.low])
    assert [failures.low, failures.high] == pytest.approx([-straight.high, -straight.low])
    assert straight.high > straight.low


def test_mcnemar_mid_p_equals_the_binomial_sum() -> None:
    """The paired test is the exact binomial tail less half of its last term, doubled."""
    weights = [math.comb(12, k) / 2**12 for k in range(13)]
    assert newcombe_paired(30, 9, 3, 20).p_value == pytest.approx(
        2 * (sum(weights[:4]) - weights[3] / 2)
    )


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_ratio_holds_its_estimate(k: int, n: int, other_k: int, other_n: int) -> None:
    """A ratio's interval holds the ratio and is open above where the denominator may be 0."""
    k, other_k = min(k, n), min(other_k, other_n)
    ratio = proportion_ratio(k, n, other_k, other_n)
    if other_k == 0:
        assert ratio.high == math.inf
        return
    assert 0.0 <= ratio.low <= ratio.value + 1e-9
    assert ratio.value - 1e-9 <= ratio.high < math.inf


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=50), st.floats(0.5, 0.99))
def test_mean_interval_equals_scipy(values: list[float], confidence: float) -> None:
    """The mean's interval is Student's as SciPy computes it."""
    array = np.array(values)
    estimate = mean_estimate(array, confidence=confidence)
    scale = array.std(ddof=1) / math.sqrt(len(array))
    if scale == 0.0:
        assert estimate.low == estimate.value == estimate.high
        return
    low, high = t.interval(confidence, len(array) - 1, array.mean(), scale)
    assert [estimate.low, estimate.high] == pytest.approx([low, high], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("shift", "p_value"), [(0.0, 1.0), (0.25, 0.0)])
def test_a_difference_that_never_varies_is_certain(shift: float, p_value: float) -> None:
    """The same everywhere: no difference says nothing against none, any other says all."""
    first = np.array([0.5, 1.0, 2.0, 4.0])
    found = mean_difference(first + shift, first)
    assert (found.difference, found.low, found.high) == (shift, shift, shift)
    assert found.p_value == p_value


def test_mean_difference_equals_the_paired_t_test() -> None:
    """The paired difference of means is SciPy's ttest_rel."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=30)
    second = first + rng.normal(0.2, 0.5, size=30)
    ours, theirs = mean_difference(first, second), ttest_rel(first, second)
    assert ours.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert [ours.low, ours.high] == pytest.approx([interval.low, interval.high])


@pytest.mark.parametrize(("n", "p"), [(40, 0.1), (100, 0.3), (400, 0.05)])
def test_proportion_intervals_cover(n: int, p: float) -> None:
    """Intervals of a proportion, a difference and a ratio cover 93 to 97 %."""
    rng = np.random.default_rng(n)
    ones, others = rng.binomial(n, p, 3000), rng.binomial(2 * n, 1.5 * p, 3000)
    low, high = wilson_bounds(ones, np.full(3000, n), 1.959964)
    assert LOW <= np.mean((low <= p) & (p <= high)) <= HIGH
    pairs = [(int(a), n, int(b), 2 * n) for a, b in zip(ones[:1500], others[:1500], strict=True)]
    assert LOW <= coverage([newcombe(*pair) for pair in pairs], -0.5 * p) <= HIGH
    assert LOW <= coverage([proportion_ratio(*pair) for pair in pairs], 1 / 1.5) <= HIGH


@pytest.mark.parametrize("n", [60, 200, 1000])
def test_paired_proportion_interval_covers(n: int) -> None:
    """The interval of two proportions on the same rows covers 93 to 97 %."""
    rng = np.random.default_rng(n)
    tables = rng.multinomial(n, [0.3, 0.12, 0.08, 0.5], 1500).tolist()
    assert LOW <= coverage([newcombe_paired(*cells) for cells in tables], 0.04) <= HIGH


def test_mean_interval_covers_for_skewed_losses() -> None:
    """With 400 rows of a loss as skewed as an exponential the mean's interval covers 93 to 97 %."""
    losses = np.random.default_rng(6).exponential(size=(1500, 400))
    assert LOW <= coverage([mean_estimate(row) for row in losses], 1.0) <= HIGH


@pytest.mark.parametrize(("p", "distance"), [(0.5, 0.05), (0.1, 0.02), (0.0, 0.05)])
def test_proportion_sample_size_is_enough(p: float, distance: float) -> None:
    """At the sample that it names, the interval no longer reaches over the limit."""
    n = proportion_sample_size(p, distance)
    estimate = wilson(round(n * p), n)
    assert estimate.high <= p + distance * 1.06
    smaller = wilson(round(n // 2 * p), n // 2)
    assert smaller.high > p + distance


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    """No trials, or more successes than trials, is an error that says so."""
    with pytest.raises(ValueError, match=r"trial|successes"):
        wilson(successes, trials)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_confidence_is_a_share(confidence: float) -> None:
    """A confidence of 95 instead of .95 is refused."""
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        wilson(1, 2, confidence=confidence)
