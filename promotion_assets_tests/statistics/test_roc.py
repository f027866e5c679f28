"""AUC and its differences against scikit-learn and against DeLong's method written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import brunnermunzel
from sklearn.metrics import roc_auc_score

from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.roc import (
    auc,
    auc_by_group,
    auc_difference,
    auc_difference_by_group,
    auc_estimate,
    needed_sample_size,
)
from promotion_assets.statistics.roc_gaps import auc_gap_by_group
from promotion_assets_tests.statistics.simulation import HIGH, LOW, binormal, coverage


def delong_by_pairs(labels: np.ndarray, scores: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs and their covariance from every pair of rows, as the paper writes it."""
    kernels = []
    for values in scores:
        above, below = values[labels][:, None], values[~labels][None, :]
        kernels.append((above > below) + 0.5 * (above == below))
    of_positives = np.array([k.mean(axis=1) for k in kernels])
    of_negatives = np.array([k.mean(axis=0) for k in kernels])
    covariance = np.atleast_2d(np.cov(of_positives)) / of_positives.shape[1]
    covariance = covariance + np.atleast_2d(np.cov(of_negatives)) / of_negatives.shape[1]
    return np.array([k.mean() for k in kernels]), covariance


@st.composite
def two_models(draw: st.DrawFn, groups: int = 1) -> tuple[np.ndarray, ...]:
    """Draw labels, two models' scores with many ties, and group codes from -1 up."""
    n = draw(st.integers(6, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 3, 10, 10**6]))
    labels = rng.random(n) < draw(st.floats(0.2, 0.8))
    labels[:4] = [True, True, False, False]
    scores = rng.integers(0, levels, size=(2, n)) / levels + rng.integers(0, 2, (2, n)) * 0.0
    return labels, scores[0], scores[1], rng.integers(-1, groups, size=n)


@given(two_models())
def test_auc_equals_scikit_learn(case: tuple[np.ndarray, ...]) -> None:
    """Ties, constant scores and all: the AUC is scikit-learn's."""
    labels, first, _, _ = case
    assert auc(labels, first) == pytest.approx(roc_auc_score(labels, first), abs=1e-12)


@given(two_models())
def test_standard_errors_equal_delong_over_all_pairs(case: tuple[np.ndarray, ...]) -> None:
    """Standard errors of an AUC and of a paired difference are those of the written-out method."""
    labels, first, second, _ = case
    aucs, covariance = delong_by_pairs(labels, [first, second])
    difference = auc_difference(labels, first, second)
    assert difference.first == pytest.approx(aucs[0], abs=1e-12)
    assert difference.second == pytest.approx(aucs[1], abs=1e-12)
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if "DeLong" in difference.method:
        assert difference.std_error**2 == pytest.approx(expected, abs=1e-12)
    else:
        assert expected == pytest.approx(0.0, abs=1e-12)
    estimate = auc_estimate(labels, first)
    if "DeLong" in estimate.method:
        assert estimate.std_error**2 == pytest.approx(covariance[0, 0], abs=1e-12)


@given(two_models(groups=4))
def test_groups_equal_each_group_by_itself(case: tuple[np.ndarray, ...]) -> None:
    """One sort of all rows gives what a loop over the groups gives, and None for one class."""
    labels, first, second, codes = case
    singles = auc_by_group(labels, first, codes, 4)
    differences = auc_difference_by_group(labels, first, second, codes, 4)
    for group in range(4):
        rows = codes == group
        if len(set(labels[rows])) < 2:
            assert singles[group] is None
            assert differences[group] is None
            continue
        alone = auc_estimate(labels[rows], first[rows])
        single = singles[group]
        assert single is not None
        assert single.method == alone.method
        assert [single.value, single.low, single.high, single.std_error] == pytest.approx(
            [alone.value, alone.low, alone.high, alone.std_error], abs=1e-9
        )
        paired = auc_difference(labels[rows], first[rows], second[rows])
        grouped = differences[group]
        assert grouped is not None
        assert grouped.method == paired.method
        assert [grouped.low, grouped.high, grouped.p_value] == pytest.approx(
            [paired.low, paired.high, paired.p_value], abs=1e-9
        )


@settings(max_examples=40)
@given(two_models(groups=3), st.sampled_from([4, 64, 4096, 65536]))
def test_binned_auc_is_within_its_stated_tolerance(case: tuple[np.ndarray, ...], bins: int) -> None:
    """Bins replace the sort at an error that is stated, and the interval includes it."""
    labels, first, second, codes = case
    binned = auc_estimate(labels, first, bins=bins)
    exact = auc_estimate(labels, first)
    assert abs(binned.value - exact.value) <= binned.tolerance + 1e-12
    assert binned.low <= binned.value - binned.tolerance + 1e-12 or binned.low == 0.0
    for one, other in zip(
        auc_difference_by_group(labels, first, second, codes, 3, bins=bins),
        auc_difference_by_group(labels, first, second, codes, 3),
        strict=True,
    ):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert abs(one.difference - other.difference) <= one.tolerance + 1e-12


def test_fine_bins_give_the_standard_error_of_the_sort() -> None:
    """65,536 bins by rank leave the standard error unchanged to four digits, even when skewed."""
    rng = np.random.default_rng(11)
    labels = rng.random(60_000) < 0.1
    first, second = (np.exp(rng.normal(size=60_000) * 4 + labels) for _ in range(2))
    exact = auc_difference(labels, first, second)
    binned = auc_difference(labels, first, second, bins=65536)
    assert binned.std_error == pytest.approx(exact.std_error, rel=1e-4)
    assert abs(binned.difference - exact.difference) <= binned.tolerance + 1e-12 < 2e-3


def test_p_value_of_a_single_auc_agrees_with_brunner_munzel() -> None:
    """The variance and the degrees of freedom are those of the Brunner-Munzel test in SciPy."""
    rng = np.random.default_rng(5)
    positives, negatives = rng.normal(0.8, 2.0, 14), rng.normal(size=25)
    labels = np.repeat([1, 0], [14, 25])
    estimate = auc_estimate(labels, np.concatenate([positives, negatives]))
    statistic = brunnermunzel(negatives, positives).statistic
    assert (estimate.value - 0.5) / estimate.std_error == pytest.approx(statistic, rel=1e-9)


def test_perfect_separation_is_not_certainty() -> None:
    """An AUC of 1 on few rows comes with an interval that reaches well below 1."""
    labels = np.repeat([0, 1], [20, 10])
    estimate = auc_estimate(labels, np.arange(30.0))
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    # Newcombe 2006: theta solves 1 - theta = z * Hanley-McNeil standard error of theta.
    theta, extra = estimate.low, 14
    inner = 1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)
    assert 1 - theta == pytest.approx(1.959964 * math.sqrt(theta * (1 - theta) * inner / 200))
    assert estimate.low < 0.9
    larger = auc_estimate(np.repeat([0, 1], [2000, 1000]), np.arange(3000.0))
    assert estimate.low < larger.low < 1.0


def test_same_order_leaves_the_unseen_open() -> None:
    """Two models that rank alike differ by at most what no pair of the sample has shown."""
    labels = np.tile([0, 1, 0], 10)
    scores = np.random.default_rng(0).normal(size=30)
    difference = auc_difference(labels, scores, 2 * scores + 1)
    assert difference.difference == 0.0
    assert difference.p_value == 1.0
    assert difference.high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert difference.low == -difference.high


def test_perfect_against_perfectly_wrong_has_an_interval() -> None:
    """A difference of 1 without any variance still has an interval of some width."""
    labels = np.repeat([0, 1], 8)
    difference = auc_difference(labels, np.arange(16.0), -np.arange(16.0))
    assert difference.difference == 1.0
    assert 0.0 < difference.low < 1.0
    assert difference.p_value < 1e-6


def test_one_positive_row_falls_back_to_newcombe() -> None:
    """With a single positive DeLong's variance is unknown, and the interval is a wide one."""
    estimate = auc_estimate([1, 0, 0, 0, 0], [3.0, 1.0, 2.0, 4.0, 0.0])
    assert estimate.value == 0.75
    assert "Newcombe" in estimate.method
    assert estimate.low < 0.4 < estimate.value < estimate.high


def test_constant_scores_are_a_coin() -> None:
    """A model that gives every row one score has AUC .5 and an interval around it."""
    estimate = auc_estimate(np.tile([0, 1], 50), np.full(100, 0.3))
    assert estimate.value == 0.5
    assert estimate.low < 0.5 < estimate.high


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [0.1, math.nan, 0.3], "scores hold 1 NaN and 0 infinite values among 3"),
        ([0, 1, 1], [0.1, math.inf, 0.3], "0 NaN and 1 infinite"),
        ([0.0, math.nan, 1.0], [0.1, 0.2, 0.3], "labels hold 1 NaN among 3"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "labels must be 0 or 1, got 2.0"),
        (["a", "b"], [0.1, 0.2], "labels must be 0 or 1, got values of type"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "both classes, got 3 positives among 3"),
        ([0, 1], [0.1, 0.2, 0.3], "scores have 3 rows, expected 2"),
        ([], [], "labels are empty"),
    ],
)
def test_bad_input_is_named(labels: list[object], scores: list[float], message: str) -> None:
    """What cannot be judged is a ValueError that says what it is and how many."""
    with pytest.raises(ValueError, match=message):
        auc_estimate(np.array(labels), np.array(scores))


def test_codes_out_of_range_are_refused() -> None:
    """A group code past the number of groups is an error, never a silent group."""
    with pytest.raises(ValueError, match=r"codes must lie in \[-1, 2\), got 0 to 2"):
        auc_by_group([0, 1, 0], [0.1, 0.2, 0.3], [0, 1, 2], 2)


@pytest.mark.parametrize(
    ("positives", "negatives", "shift"),
    [(8, 96, 0.6), (15, 40, 1.0), (30, 30, 1.0), (30, 30, 2.0), (50, 200, 1.2), (200, 800, 0.8)],
)
def test_auc_interval_covers(positives: int, negatives: int, shift: float) -> None:
    """95 % intervals of one AUC hold the truth in 93 to 97 %, from 8 positives on."""
    rng = np.random.default_rng(positives)
    labels, scores, _, codes = binormal(rng, 1500, positives, negatives, (shift, shift))
    intervals = auc_by_group(labels, scores, codes, 1500)
    assert LOW <= coverage(intervals, float(ndtr(shift / math.sqrt(2)))) <= HIGH


@pytest.mark.parametrize(
    ("positives", "negatives", "shifts"),
    [
        (8, 96, (0.6, 1.0)),
        (30, 60, (1.0, 1.0)),
        (30, 60, (2.2, 2.6)),
        (8, 96, (2.5, 2.5)),
        (50, 200, (1.2, 1.6)),
        (200, 800, (0.8, 0.9)),
    ],
)
def test_difference_interval_covers(
    positives: int, negatives: int, shifts: tuple[float, float]
) -> None:
    """95 % intervals of a paired difference cover 93 to 97 %, near an AUC of 1 too."""
    rng = np.random.default_rng(positives + 1)
    labels, first, second, codes = binormal(rng, 1500, positives, negatives, shifts)
    differences = auc_difference_by_group(labels, first, second, codes, 1500)
    truth = ndtr(shifts[0] / math.sqrt(2)) - ndtr(shifts[1] / math.sqrt(2))
    assert LOW <= coverage(differences, float(truth)) <= HIGH


def test_paired_test_keeps_its_error() -> None:
    """Two equally good models are called different in about 5 % of samples, not more."""
    rng = np.random.default_rng(3)
    labels, first, second, codes = binormal(rng, 2000, 60, 240, (1.0, 1.0))
    differences = auc_difference_by_group(labels, first, second, codes, 2000)
    alarms = np.mean([d is not None and d.p_value < 0.05 for d in differences])
    assert 0.03 <= alarms <= 0.065


def test_gap_to_overall_equals_a_bootstrap_of_the_rows() -> None:
    """The standard error of a group's gap to all rows is what resampling the rows shows."""
    rng = np.random.default_rng(8)
    n = 600
    labels, codes = rng.random(n) < 0.35, rng.integers(0, 3, size=n)
    scores = rng.normal(size=n) + labels * np.array([0.4, 1.0, 1.6])[codes]
    gaps = auc_gap_by_group(labels, scores, codes, 3)
    draws = []
    for _ in range(400):
        rows = rng.integers(0, n, size=n)
        y, s, c = labels[rows], scores[rows], codes[rows]
        whole = auc(y, s)
        draws.append([e.value - whole for e in auc_by_group(y, s, c, 3) if e is not None])
    spread = np.std(draws, axis=0)
    for group, gap in enumerate(gaps):
        assert gap is not None
        rows = codes == group
        expected = roc_auc_score(labels[rows], scores[rows]) - roc_auc_score(labels, scores)
        assert gap.difference == pytest.approx(expected)
        assert gap.std_error == pytest.approx(spread[group], rel=0.15)


def test_gap_to_overall_covers() -> None:
    """The interval of a group's gap to all rows holds the truth in 93 to 97 %."""
    rng = np.random.default_rng(21)
    shifts = np.array([0.6, 1.2])
    population_codes = rng.random(400_000) < 0.6
    population = rng.random(400_000) < 0.3
    scores = rng.normal(size=400_000) + population * shifts[population_codes.astype(int)]
    truth = float(ndtr(0.6 / math.sqrt(2))) - auc(population, scores)
    gaps = []
    for _ in range(700):
        codes, labels = (rng.random(400) < 0.6).astype(int), rng.random(400) < 0.3
        values = rng.normal(size=400) + labels * shifts[codes]
        gaps.append(auc_gap_by_group(labels, values, codes, 2)[0])
    assert LOW <= coverage(gaps, truth) <= HIGH


def test_a_group_of_all_rows_has_no_gap() -> None:
    """The gap of all rows to themselves is 0 by definition, with nothing to estimate."""
    gap = auc_gap_by_group([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.6], [0, 0, 0, 0], 1)[0]
    assert gap is not None
    assert (gap.low, gap.difference, gap.high) == (0.0, 0.0, 0.0)


def test_needed_sample_size_is_where_the_interval_leaves_the_margin() -> None:
    """At the rows that it names, the same difference is told from the margin, and not before."""
    rng = np.random.default_rng(2)
    labels = rng.random(2000) < 0.3
    first, second = (rng.normal(size=2000) + labels for _ in range(2))
    difference = auc_difference(labels, first, second)
    margin = difference.difference - 0.004
    needed = needed_sample_size(difference, margin)
    assert needed is not None
    scaled = difference.std_error * math.sqrt(difference.n / needed)
    assert 1.959964 * scaled == pytest.approx(0.004, rel=1e-3)
    assert needed_sample_size(difference, difference.difference) is None


def test_results_carry_plain_python_numbers() -> None:
    """Numbers go into JSON, so none of them is a numpy scalar."""
    labels, scores = np.tile([0, 1, 1], 20), np.random.default_rng(1).normal(size=60)
    estimate = auc_estimate(labels, scores, bins=16)
    difference = auc_difference(labels, scores, scores[::-1])
    for value in [*vars(estimate).values(), *vars(difference).values()]:
        assert type(value) in (int, float, str)
    assert isinstance(estimate, Estimate)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([50, 10**9]))
def test_large_samples_take_the_packed_sort_and_stay_exact(seed: int, levels: int) -> None:
    """Past 20,000 rows another sort is used, and the AUC is scikit-learn's to the last digits."""
    rng = np.random.default_rng(seed)
    labels = rng.random(25_000) < 0.2
    scores = rng.integers(0, levels, size=25_000) / levels
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
