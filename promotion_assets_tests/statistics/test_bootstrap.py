"""The bootstrap against closed forms and SciPy, its coverage, and what has no variation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, roc_auc_score

from promotion_assets.statistics.bootstrap import bootstrap, paired_bootstrap
from promotion_assets.statistics.intervals import mean_difference
from promotion_assets.statistics.roc import auc_difference
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage


def f1(labels: np.ndarray, answers: np.ndarray) -> float:
    """Return the F1 score of booleans, without scikit-learn's checks, for simulations."""
    both = np.count_nonzero(labels & answers)
    return 2 * both / (np.count_nonzero(labels) + np.count_nonzero(answers))


def test_paired_bootstrap_agrees_with_the_paired_t_test() -> None:
    """For a mean of losses the bootstrap's interval is Student's, up to its own noise."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=400)
    first, second = labels + rng.normal(size=400), labels + 1.1 * rng.normal(size=400)
    ours = paired_bootstrap(mean_absolute_error, labels, first, second, rng=rng)
    exact = mean_difference(np.abs(labels - first), np.abs(labels - second))
    assert ours.difference == pytest.approx(exact.difference)
    assert ours.std_error == pytest.approx(exact.std_error, rel=0.08)
    assert ours.low == pytest.approx(exact.low, abs=0.15 * exact.std_error * 2)
    assert ours.high == pytest.approx(exact.high, abs=0.15 * exact.std_error * 2)


def test_paired_bootstrap_of_auc_agrees_with_delong() -> None:
    """For AUC the bootstrap's standard error is DeLong's."""
    rng = np.random.default_rng(1)
    labels = rng.random(500) < 0.4
    shared = rng.normal(size=500) + labels
    first, second = (shared + 0.5 * rng.normal(size=500) for _ in range(2))
    ours = paired_bootstrap(roc_auc_score, labels, first, second, rng=rng, resamples=400)
    exact = auc_difference(labels, first, second)
    assert ours.difference == pytest.approx(exact.difference)
    assert ours.std_error == pytest.approx(exact.std_error, rel=0.12)


def test_bca_bounds_agree_with_scipy() -> None:
    """On a skewed sample bias and acceleration shift the interval as SciPy's BCa does."""
    values = np.random.default_rng(2).exponential(size=80)

    def _variance(_: np.ndarray, sample: np.ndarray) -> float:
        return float(np.var(sample))

    labels = np.arange(80)
    ours = bootstrap(_variance, labels, values, resamples=4000, rng=np.random.default_rng(3))
    theirs = scipy.stats.bootstrap(
        (values,), np.var, n_resamples=4000, method="BCa", rng=np.random.default_rng(4)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, rel=0.06)
    assert ours.high == pytest.approx(theirs.high, rel=0.06)


def test_bootstrap_covers() -> None:
    """Intervals of F1 and of a paired F1 difference cover 93 to 97 %, 200 rows."""
    rng = np.random.default_rng(5)
    singles, pairs = [], []
    for _ in range(350):
        labels = rng.random(200) < 0.4
        first, second = (labels ^ (rng.random(200) < share) for share in (0.2, 0.25))
        singles.append(bootstrap(f1, labels, first, resamples=250, rng=rng))
        pairs.append(paired_bootstrap(f1, labels, first, second, resamples=250, rng=rng))
    # F1 of a population: 2 TP / (positives + predicted positives), by rates.
    true = [0.8 * (1 - e) / (0.4 + 0.4 * (1 - e) + 0.6 * e) for e in (0.2, 0.25)]
    assert LOW <= coverage(singles, true[0]) <= HIGH
    assert LOW <= coverage(pairs, true[0] - true[1]) <= HIGH


def test_the_seed_decides_everything() -> None:
    """Two runs from one seed give the same numbers, another seed gives others."""
    rng = np.random.default_rng(6)
    labels, values = rng.random(100) < 0.5, rng.random(100) < 0.5
    runs = [
        bootstrap(f1, labels, values, resamples=100, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_probabilities_of_several_classes_are_resampled_by_row() -> None:
    """Values may be a matrix: rows stay together."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, size=150)
    values = rng.dirichlet(np.ones(3), size=150)
    estimate = bootstrap(
        lambda y, p: float(np.mean(p[np.arange(len(y)), y])), labels, values, rng=rng
    )
    assert estimate.low < estimate.value < estimate.high


def test_perfect_accuracy_is_not_certainty() -> None:
    """Accuracy 1.0 has an interval near the exact lower bound, not of zero width."""
    labels = np.tile([0, 1], 100)
    estimate = bootstrap(accuracy_score, labels, labels, rng=np.random.default_rng(8))
    exact = scipy.stats.binomtest(200, 200).proportion_ci(0.95, method="exact").low
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(exact, abs=0.004)


def test_same_answers_leave_the_unseen_open() -> None:
    """Two models with the same answers differ by 0, within what a few unseen rows could do."""
    rng = np.random.default_rng(9)
    labels, answers = rng.random(300) < 0.5, rng.random(300) < 0.5
    difference = paired_bootstrap(f1_score, labels, answers, answers, rng=rng, resamples=100)
    assert difference.low < difference.difference == 0.0 < difference.high < 0.1
    assert difference.p_value == 1.0


@pytest.mark.parametrize(
    ("labels", "values", "message"),
    [
        ([0.0, math.nan, 1.0], [0.0, 1.0, 1.0], "labels hold 1 NaN"),
        ([0.0, 1.0, 1.0], [0.0, math.inf, 1.0], "values 1 hold 1 NaN or infinite"),
        ([0, 1, 1], [0, 1], "values 1 have"),
        ([0], [0], "at least 2 rows"),
    ],
)
def test_bad_rows_are_named(labels: list[float], values: list[float], message: str) -> None:
    """NaN, unequal lengths and single rows are errors."""
    with pytest.raises(ValueError, match=message):
        bootstrap(accuracy_score, labels, values, rng=np.random.default_rng(0))


def test_a_metric_that_is_often_undefined_is_refused() -> None:
    """With one positive row a third of the resamples have none: no interval is made of that."""
    labels = np.array([1] + [0] * 30)

    def _mean_of_positives(y: np.ndarray, v: np.ndarray) -> float:
        return float(v[y == 1].mean()) if (y == 1).any() else math.nan

    with pytest.raises(ValueError, match=r"undefined on \d+ of 200 resamples"):
        bootstrap(
            _mean_of_positives,
            labels,
            np.arange(31.0),
            resamples=200,
            rng=np.random.default_rng(0),
        )
    with pytest.raises(ValueError, match="undefined on the 30 rows"):
        bootstrap(_mean_of_positives, labels[1:], np.arange(30.0), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 100 resamples, got 10"):
        bootstrap(accuracy_score, labels, labels, resamples=10, rng=np.random.default_rng(0))
