"""Rates and disparities by group against fairlearn, scikit-learn and a bootstrap of rows."""

from __future__ import annotations

import fairlearn.metrics
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score

from promotion_assets.statistics.groups import (
    DISPARITIES,
    RATES,
    ConfusionTable,
    Rate,
    confusion_by_group,
    cross,
    disparity,
    gaps_to_overall,
    parts,
    rate_values,
    rates,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage


@st.composite
def decided_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw labels, predictions and codes of four groups, some of them tiny or empty."""
    n = draw(st.integers(2, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (
        rng.random(n) < draw(st.floats(0.05, 0.95)),
        rng.random(n) < draw(st.floats(0.05, 0.95)),
        rng.choice(4, size=n, p=[0.6, 0.3, 0.1, 0.0]),
    )


@given(decided_rows())
def test_counts_equal_scikit_learns_confusion_matrices(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """One pass counts what a confusion matrix of every group would."""
    labels, predictions, codes = rows
    table = confusion_by_group(labels.astype(int), predictions.astype(float), codes, 4)
    for group in range(4):
        inside = codes == group
        if not inside.any():
            assert table.counts[group].sum() == 0
            continue
        expected = confusion_matrix(labels[inside], predictions[inside], labels=[False, True])
        np.testing.assert_array_equal(table.counts[group], expected)
    np.testing.assert_array_equal(table.total.counts[0].sum(), len(labels))
    np.testing.assert_array_equal(table.sizes, np.bincount(codes, minlength=4))


@given(decided_rows())
def test_rates_equal_fairlearn_by_group(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Each rate of each group is fairlearn's or scikit-learn's where they define it."""
    labels, predictions, codes = rows
    table = confusion_by_group(labels, predictions, codes, 4)
    theirs = {
        "selection_rate": fairlearn.metrics.selection_rate,
        "accuracy": accuracy_score,
        "tpr": recall_score,
        "fpr": fairlearn.metrics.false_positive_rate,
        "fnr": fairlearn.metrics.false_negative_rate,
        "tnr": fairlearn.metrics.true_negative_rate,
        "precision": precision_score,
        "base_rate": lambda y, _: float(np.mean(y)),
    }
    assert set(theirs) == set(RATES)
    for rate in RATES:
        values = rate_values(table, rate)
        for group in range(4):
            y, p = labels[codes == group], predictions[codes == group]
            if np.isnan(values[group]):
                assert parts(table, rate)[1][group] == 0
                continue
            assert values[group] == pytest.approx(float(theirs[rate](y, p)))


@given(decided_rows(), st.sampled_from(DISPARITIES))
@example((np.array([True, False]), np.array([False, True]), np.ones(2, int)), DISPARITIES[-1])
def test_disparities_equal_fairlearn(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], name: str
) -> None:
    """The four disparities are fairlearn's, where every group has every rate."""
    labels, predictions, codes = rows
    table = confusion_by_group(labels, predictions, codes, 4)
    present = table.sizes > 0
    complete = (table.positives[present] > 0).all() and (
        table.positives[present] < table.sizes[present]
    ).all()
    if name.startswith("equalized") and not complete:
        return
    ours = disparity(table, name)
    if np.isnan(ours):
        return
    theirs = getattr(fairlearn.metrics, name)(labels, predictions, sensitive_features=codes)
    if np.isnan(theirs):
        # Its least of two ratios is NaN where no group has a hit; ours is the other one.
        assert not rate_values(table, "tpr")[present].any()
        rates_of_fp = rate_values(table, "fpr")[present]
        theirs = rates_of_fp.min() / rates_of_fp.max()
    assert ours == pytest.approx(theirs)


def test_a_group_without_the_rate_is_none_and_counts_for_nothing() -> None:
    """A group without positives has no TPR: None in the tuple, left out of the disparity."""
    counts = np.array([[[5, 5], [0, 0]], [[4, 6], [2, 8]], [[3, 7], [5, 5]]])
    table = ConfusionTable(counts)
    assert rates(table, "tpr")[0] is None
    assert gaps_to_overall(table, "tpr")[0] is None
    assert disparity(table, "equalized_odds_difference") == pytest.approx(0.3)


def test_all_groups_unselected_have_no_ratio() -> None:
    """Where nobody is selected the ratio is undefined, not a perfect 1."""
    table = ConfusionTable(np.array([[[5, 0], [5, 0]], [[9, 0], [1, 0]]]))
    assert disparity(table, "demographic_parity_difference") == 0.0
    assert np.isnan(disparity(table, "demographic_parity_ratio"))


def test_cross_names_every_intersection() -> None:
    """Intersections unravel back into the attributes, and a row outside one is outside all."""
    first, second = np.array([0, 1, 2, -1, 1]), np.array([1, 0, 1, 1, -1])
    codes, size = cross((first, 3), (second, 2))
    assert size == 6
    assert codes.tolist() == [1, 2, 5, -1, -1]
    inside = codes >= 0
    unravelled = np.unravel_index(codes[inside], (3, 2))
    np.testing.assert_array_equal(unravelled, [first[inside], second[inside]])


def test_rows_of_no_group_are_not_counted() -> None:
    """A row of code -1 is in no cell."""
    table = confusion_by_group([1, 0, 1], [1, 1, 1], [0, -1, 1], 2)
    assert table.counts.sum() == 2


@pytest.mark.parametrize(
    ("labels", "predictions", "codes", "message"),
    [
        ([0.0, np.nan], [0, 1], [0, 0], "labels hold 1 NaN among 2"),
        ([0, 1], [0.0, 0.4], [0, 0], r"predictions must be 0 or 1, got 0\.4"),
        ([0, 1], [0, 1, 1], [0, 0], "predictions have 3 rows, labels 2"),
        ([0, 1], [0, 1], [0, 5], r"codes must lie in \[-1, 2\)"),
        ([0, 1], [0, 1], [0.0, 1.0], "codes must be integers"),
    ],
)
def test_bad_rows_are_named(
    labels: list[float], predictions: list[float], codes: list[float], message: str
) -> None:
    """Rows that cannot be counted are refused with what is wrong with them."""
    with pytest.raises(ValueError, match=message):
        confusion_by_group(labels, predictions, codes, 2)


@pytest.mark.parametrize("rate", ["selection_rate", "tpr", "precision"])
def test_gap_to_overall_covers(rate: Rate) -> None:
    """The interval of a group's gap to all rows covers 93 to 97 %, 120 rows in the group."""
    rng = np.random.default_rng(31)
    shares = np.array([[[0.12, 0.06], [0.04, 0.08]], [[0.30, 0.10], [0.12, 0.18]]])
    draws = rng.multinomial(400, shares.reshape(-1), size=1500).reshape(-1, 2, 2, 2)
    population = ConfusionTable(np.round(shares * 10**6).astype(int))
    truth = rate_values(population, rate)[0] - rate_values(population.total, rate)[0]
    gaps = [gaps_to_overall(ConfusionTable(counts), rate)[0] for counts in draws]
    assert LOW <= coverage(gaps, float(truth)) <= HIGH


def test_rate_interval_covers() -> None:
    """Wilson's interval of a group's TPR covers 93 to 97 %, 60 positives in the group.

    Averaged over rates from .6 to .8, because at one rate a count of 60 makes coverage jump.
    """
    rng = np.random.default_rng(30)
    true = rng.uniform(0.6, 0.8, 3000)
    counts = np.zeros((3000, 2, 2), dtype=int)
    counts[:, 1, 1] = rng.binomial(60, true)
    counts[:, 1, 0] = 60 - counts[:, 1, 1]
    intervals = rates(ConfusionTable(counts), "tpr")
    held = [i is not None and i.low <= t <= i.high for i, t in zip(intervals, true, strict=True)]
    assert LOW <= np.mean(held) <= HIGH
