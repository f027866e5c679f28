"""PSI, KL, JS, KS and Wasserstein against SciPy, and PSI's noise by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import ks_2samp, wasserstein_distance

from promotion_assets.statistics.divergence import (
    SMOOTHING,
    js,
    kl,
    ks_binned,
    psi,
    psi_estimate,
    psi_terms,
    union,
    wasserstein_binned,
    with_missing,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage

count_pairs = st.integers(2, 15).flatmap(
    lambda bins: st.tuples(
        *(st.lists(st.integers(0, 500), min_size=bins, max_size=bins).filter(any) for _ in "ab")
    )
)


def smoothed(counts: list[int], other: list[int]) -> np.ndarray:
    """Return shares of the bins that either side has, one half added to each count."""
    pairs = [(c, o) for c, o in zip(counts, other, strict=True) if c + o > 0]
    array = np.array([c + SMOOTHING for c, _ in pairs])
    return array / array.sum()


@given(count_pairs)
def test_psi_is_the_sum_of_both_relative_entropies(pair: tuple[list[int], list[int]]) -> None:
    """PSI is KL one way plus KL the other, as SciPy's rel_entr gives them."""
    expected, actual = pair
    e, a = smoothed(expected, actual), smoothed(actual, expected)
    there, back = float(rel_entr(a, e).sum()), float(rel_entr(e, a).sum())
    assert psi(expected, actual) == pytest.approx(there + back, abs=1e-12)
    assert kl(expected, actual) == pytest.approx(there, abs=1e-12)
    assert psi_terms(expected, actual).sum() == pytest.approx(psi(expected, actual), abs=1e-12)


@given(count_pairs)
def test_js_is_scipys_distance_squared(pair: tuple[list[int], list[int]]) -> None:
    """The Jensen-Shannon divergence is the square of SciPy's distance, without smoothing."""
    expected, actual = pair
    assert js(expected, actual) == pytest.approx(jensenshannon(expected, actual) ** 2, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_ks_of_whole_numbers_is_exact(seed: int) -> None:
    """With an edge at every value the binned KS distance is that of the rows."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 8, size=60), rng.integers(1, 9, size=40)
    counts = [np.bincount(v, minlength=9) for v in (first, second)]
    assert ks_binned(*counts) == pytest.approx(ks_2samp(first, second).statistic)


@given(st.integers(0, 2**32 - 1))
def test_wasserstein_equals_scipy_on_evenly_spread_rows(seed: int) -> None:
    """Where rows are spread evenly over each bin, the binned distance is that of the rows."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.normal(size=4))
    low, high = edges[0] - rng.random() - 0.1, edges[-1] + rng.random() + 0.1
    ends = np.concatenate(([low], edges, [high]))
    counts = rng.integers(0, 30, size=(2, 5)) + 1
    grid = (np.arange(400) + 0.5) / 400
    points = (ends[:-1, None] + np.diff(ends)[:, None] * grid).ravel()
    weights = [np.repeat(c / 400, 400) for c in counts]
    expected = wasserstein_distance(points, points, *weights)
    ours = wasserstein_binned(counts[0], counts[1], edges, low, high)
    assert ours == pytest.approx(expected, rel=5e-3, abs=1e-3)


def test_categories_are_lined_up_by_name() -> None:
    """A category that only one side has counts 0 on the other."""
    names, expected, actual = union({"b": 3, "a": 1}, {"c": 2, "b": 5})
    assert names == ("a", "b", "c")
    assert expected.tolist() == [1, 3, 0]
    assert actual.tolist() == [0, 5, 2]


def test_missing_values_alone_are_drift() -> None:
    """A feature that comes empty has drifted although its present values have not."""
    counts = [100, 100, 100]
    same = psi(with_missing(counts, 0), with_missing(counts, 0))
    lost = psi(with_missing(counts, 0), with_missing([50, 50, 50], 150))
    assert same == 0.0
    assert lost > 1.0


def test_psi_needs_smoothing_only_for_an_empty_bin() -> None:
    """Without smoothing an empty bin would be infinite, and is refused instead."""
    assert psi([10, 30], [20, 20], smoothing=0) == pytest.approx(
        0.25 * math.log(2) + -0.25 * math.log(0.5 / 0.75)
    )
    with pytest.raises(ValueError, match="smoothing must be above 0"):
        psi([10, 0], [5, 5], smoothing=0)


@pytest.mark.parametrize(
    ("expected", "actual", "message"),
    [
        ([1, 2], [1, 2, 3], "2 bins, actual counts 3"),
        ([0, 0], [1, 2], "expected counts are all zero"),
        ([1, 2], [0, 0], "actual counts are all zero"),
        ([1, -2], [1, 2], "expected counts hold a negative"),
        ([1, math.nan], [1, 2], "expected counts hold a negative or non-finite"),
        ([], [], "not be empty"),
    ],
)
def test_counts_that_cannot_be_compared_are_refused(
    expected: list[float], actual: list[float], message: str
) -> None:
    """Zero, negative, NaN or unequal counts are errors, never a PSI of 0."""
    for measure in (psi, kl, js, ks_binned):
        with pytest.raises(ValueError, match=message):
            measure(expected, actual)


@pytest.mark.parametrize("small", [(0, 0, 1), (0, 3, 0)])
def test_one_bin_cannot_drift(small: tuple[int, ...]) -> None:
    """All rows in one bin on both sides leave nothing to compare: PSI 0, p-value 1."""
    estimate = psi_estimate(small, small)
    assert (estimate.value, estimate.low, estimate.high, estimate.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("n", "m", "bins"), [(1000, 1000, 10), (5000, 1000, 20), (20_000, 5000, 10)]
)
def test_psi_under_no_drift(n: int, m: int, bins: int) -> None:
    """Without drift PSI averages its stated expectation, and 5 % of samples pass the quantile."""
    rng = np.random.default_rng(n)
    share = rng.dirichlet(np.full(bins, 20.0))
    pairs = zip(rng.multinomial(n, share, 1500), rng.multinomial(m, share, 1500), strict=True)
    estimates = [psi_estimate(e, a) for e, a in pairs]
    values = np.array([e.value for e in estimates])
    assert values.mean() == pytest.approx(estimates[0].null_mean, rel=0.05)
    assert 0.03 <= np.mean(values > estimates[0].null_high) <= 0.065
    assert 0.03 <= np.mean([e.p_value < 0.05 for e in estimates]) <= 0.065


@pytest.mark.parametrize(
    ("n", "m", "bins", "tilt"),
    [
        (5000, 5000, 10, 0.05),
        (5000, 5000, 10, 0.2),
        (500, 500, 10, 0.3),
        (5000, 5000, 10, 0.8),
        (2000, 2000, 10, 1.2),
        (30_000, 5000, 20, 0.1),
    ],
)
def test_psi_interval_covers(n: int, m: int, bins: int, tilt: float) -> None:
    """Intervals of the true PSI, from .001 to .5, cover 93 to 97 %, and the correction centres."""
    rng = np.random.default_rng(n + bins)
    expected = np.full(bins, 1 / bins)
    actual = expected * np.exp(tilt * np.linspace(-1, 1, bins))
    actual /= actual.sum()
    truth = float(np.sum((actual - expected) * np.log(actual / expected)))
    pairs = zip(rng.multinomial(n, expected, 1500), rng.multinomial(m, actual, 1500), strict=True)
    estimates = [psi_estimate(e, a) for e, a in pairs]
    assert LOW <= coverage(estimates, truth) <= HIGH
    spread = np.std([e.value for e in estimates])
    assert abs(np.mean([e.corrected for e in estimates]) - truth) < 0.35 * spread
