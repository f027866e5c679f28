"""Brier and ECE against scikit-learn and a plain loop, and their coverage."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from promotion_assets.statistics.calibration import (
    brier,
    brier_difference,
    brier_estimate,
    ece,
    ece_estimate,
    reliability,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage


@given(st.integers(2, 200), st.integers(0, 2**32 - 1))
def test_brier_equals_scikit_learn(n: int, seed: int) -> None:
    """The Brier score is scikit-learn's."""
    rng = np.random.default_rng(seed)
    labels, scores = rng.random(n) < 0.4, rng.random(n)
    expected = brier_score_loss(labels, scores, labels=[False, True])
    assert brier(labels, scores) == pytest.approx(expected)


@given(st.integers(2, 300), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 10**6]))
def test_reliability_equals_a_loop_over_bins(n: int, seed: int, levels: int) -> None:
    """Every row is in one bin, tied scores together, and ECE is the weighted gap over bins."""
    rng = np.random.default_rng(seed)
    labels, scores = rng.random(n) < 0.4, rng.integers(0, levels, size=n) / levels
    table = reliability(labels, scores, bins=7)
    total = 0.0
    ends = [-math.inf, *table.edges.tolist(), math.inf]
    for index, (low, high) in enumerate(pairwise(ends)):
        inside = (scores > low) & (scores <= high)
        assert table.rows[index] == inside.sum() > 0
        assert table.mean_score[index] == pytest.approx(scores[inside].mean())
        assert table.observed_rate[index] == pytest.approx(labels[inside].mean())
        total += abs(labels[inside].mean() - scores[inside].mean()) * inside.sum() / n
    assert ece(labels, scores, bins=7) == pytest.approx(total)


def test_reliability_has_scikit_learns_curve() -> None:
    """Without ties, bins of equally many rows are those of scikit-learn's calibration curve."""
    rng = np.random.default_rng(1)
    scores = rng.permutation(1000) / 1000
    labels = rng.random(1000) < scores
    observed, predicted = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    table = reliability(labels, scores, bins=10)
    np.testing.assert_array_equal(table.rows, np.full(10, 100))
    np.testing.assert_allclose(table.mean_score, predicted, atol=2e-3)
    np.testing.assert_allclose(table.observed_rate, observed, atol=2e-2)


def test_brier_intervals_cover() -> None:
    """Intervals of a Brier score and of a paired difference cover 93 to 97 %, 300 rows."""
    rng = np.random.default_rng(2)
    scores = rng.beta(2, 4, size=(1200, 300))
    labels = rng.random(scores.shape) < scores
    other = np.clip(scores + 0.15 * rng.normal(size=scores.shape), 0, 1)
    big = rng.beta(2, 4, size=2_000_000)
    big_other = np.clip(big + 0.15 * rng.normal(size=big.size), 0, 1)
    truth = float(np.mean(big * (1 - big)))
    gap = -float(np.mean((big_other - big) ** 2))
    singles = [brier_estimate(y, s) for y, s in zip(labels, scores, strict=True)]
    pairs = [brier_difference(*rows) for rows in zip(labels, scores, other, strict=True)]
    assert LOW <= coverage(singles, truth) <= HIGH
    assert LOW <= coverage(pairs, gap) <= HIGH


@pytest.mark.parametrize(
    ("n", "amount", "waves"), [(1000, 0.15, 1), (3000, 0.06, 1), (3000, 0.1, 2)]
)
def test_ece_interval_covers(n: int, amount: float, waves: int) -> None:
    """Intervals of the ECE of a miscalibrated score cover 93 to 97 %."""
    rng = np.random.default_rng(n)

    def _rate(scores: np.ndarray) -> np.ndarray:
        return np.clip(scores - amount * np.sin(waves * np.pi * scores), 0, 1)

    population = rng.beta(2, 4, size=500_000)
    table = reliability(population > 0.5, population)
    bin_of = np.searchsorted(table.edges, population)
    true_rate = np.bincount(bin_of, weights=_rate(population)) / table.rows
    truth = float(np.abs(true_rate - table.mean_score) @ table.rows / table.rows.sum())
    estimates = []
    for _ in range(800):
        scores = rng.beta(2, 4, size=n)
        estimates.append(ece_estimate(rng.random(n) < _rate(scores), scores, rng=rng))
    assert LOW <= coverage(estimates, truth) <= HIGH


def test_ece_of_a_calibrated_score_reaches_zero() -> None:
    """Noise makes the plain ECE positive; the interval still holds 0 for a calibrated score."""
    rng = np.random.default_rng(3)
    estimates = []
    for _ in range(100):
        scores = rng.beta(2, 4, size=1500)
        estimates.append(ece_estimate(rng.random(1500) < scores, scores, rng=rng))
    assert min(e.value for e in estimates) > 0.008
    assert np.mean([e.low == 0.0 for e in estimates]) >= 0.93


def test_a_perfect_score_has_an_interval() -> None:
    """Scores of 0 and 1 that are always right leave room above an ECE of 0."""
    labels = np.tile([0, 1], 100)
    estimate = ece_estimate(labels, labels.astype(float), rng=np.random.default_rng(0))
    assert estimate.value == 0.0
    assert estimate.high > 0.0


@pytest.mark.parametrize(
    ("scores", "message"),
    [([0.2, 1.5], "must be probabilities, got 0.2 to 1.5"), ([0.2, math.nan], "hold 1 NaN")],
)
def test_what_is_no_probability_is_refused(scores: list[float], message: str) -> None:
    """Scores outside [0, 1] cannot be calibrated."""
    for measure in (brier, ece, brier_estimate):
        with pytest.raises(ValueError, match=message):
            measure([0, 1], scores)
