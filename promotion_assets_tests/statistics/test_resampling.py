"""Resampled cells against resampled rows, and what simultaneous intervals promise."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_assets.statistics.groups import (
    ConfusionTable,
    confusion_by_group,
    disparity,
    gaps_to_overall,
    rate_values,
)
from promotion_assets.statistics.inversion import spread_interval
from promotion_assets.statistics.resampling import (
    disparity_estimate,
    resample,
    simultaneous_gaps,
)
from promotion_assets.statistics.simultaneous import bonferroni
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage


def selections(chosen: np.ndarray, sizes: np.ndarray) -> ConfusionTable:
    """Return a table of groups whose rows are all negative, ``chosen`` of them selected."""
    counts = np.zeros((len(sizes), 2, 2), dtype=int)
    counts[:, 0, 1] = chosen
    counts[:, 0, 0] = sizes - chosen
    return ConfusionTable(counts)


def test_resampled_cells_are_resampled_rows() -> None:
    """Rates of resampled cells have the mean and spread of rates of resampled rows."""
    rng = np.random.default_rng(0)
    labels, predictions = rng.random(500) < 0.4, rng.random(500) < 0.3
    codes = rng.integers(0, 3, size=500)
    table = confusion_by_group(labels, predictions, codes, 3)
    cells = resample(table, resamples=3000, rng=rng)
    by_cells = np.array([rate_values(ConfusionTable(c), "tpr") for c in cells])
    by_rows = []
    for _ in range(1500):
        rows = rng.integers(0, 500, size=500)
        again = confusion_by_group(labels[rows], predictions[rows], codes[rows], 3)
        by_rows.append(rate_values(again, "tpr"))
    assert (cells.sum(axis=(1, 2, 3)) == 500).all()
    np.testing.assert_allclose(by_cells.mean(axis=0), np.mean(by_rows, axis=0), atol=0.006)
    np.testing.assert_allclose(by_cells.std(axis=0), np.std(by_rows, axis=0), rtol=0.08)


def test_an_empty_table_cannot_be_resampled() -> None:
    """No rows is an error that says so."""
    with pytest.raises(ValueError, match="the confusion table is empty"):
        resample(ConfusionTable(np.zeros((2, 2, 2), dtype=int)), rng=np.random.default_rng(0))


@pytest.mark.parametrize("rates", [np.full(8, 0.3), np.linspace(0.2, 0.4, 8)])
def test_simultaneous_intervals_hold_all_at_once(rates: np.ndarray) -> None:
    """Eight groups of 40 to 600 rows: all eight gaps are covered in 93 to 97 % of samples.

    With equal rates this is the family-wise error: an alarm for any group in about 5 %.
    """
    rng = np.random.default_rng(12)
    sizes = np.array([40, 60, 100, 150, 200, 300, 500, 600])
    truth = rates - (sizes * rates).sum() / sizes.sum()
    held = []
    for _ in range(700):
        table = selections(rng.binomial(sizes, rates), sizes)
        gaps = simultaneous_gaps(table, "selection_rate", resamples=300, rng=rng)
        held.append(
            all(g is not None and g.low <= t <= g.high for g, t in zip(gaps, truth, strict=True))
        )
    assert LOW <= np.mean(held) <= HIGH


def test_single_intervals_would_alarm_far_too_often() -> None:
    """Without the correction eight equal groups raise a false alarm in a quarter of samples."""
    rng = np.random.default_rng(13)
    sizes = np.full(8, 200)
    alarms = 0
    for _ in range(300):
        gaps = gaps_to_overall(selections(rng.binomial(sizes, 0.3), sizes), "selection_rate")
        alarms += any(g is not None and not g.low <= 0.0 <= g.high for g in gaps)
    assert alarms / 300 > 0.2


def test_simultaneous_is_never_wider_than_bonferroni() -> None:
    """Max-t lies between a single interval and Bonferroni's."""
    rng = np.random.default_rng(14)
    table = selections(np.array([3, 40, 90, 160]), np.array([30, 120, 300, 500]))
    single = gaps_to_overall(table, "selection_rate")
    widest = gaps_to_overall(table, "selection_rate", confidence=bonferroni(0.95, 4))
    for one, both, most in zip(
        single, simultaneous_gaps(table, "selection_rate", rng=rng), widest, strict=True
    ):
        assert one is not None
        assert both is not None
        assert most is not None
        assert most.low - 1e-12 <= both.low <= one.low
        assert one.high <= both.high <= most.high + 1e-12
        assert both.confidence == 0.95


@pytest.mark.parametrize(
    ("sizes", "rates"), [((300, 300), (0.2, 0.3)), ((300, 600, 900), (0.2, 0.3, 0.4))]
)
def test_disparity_interval_covers(sizes: tuple[int, ...], rates: tuple[float, ...]) -> None:
    """Difference and ratio of two or three groups cover 93 to 97 %, 300 rows in the smallest."""
    rng = np.random.default_rng(15)
    rows, true = np.array(sizes), np.array(rates)
    differences, ratios = [], []
    for _ in range(400):
        table = selections(rng.binomial(rows, true), rows)
        for name, into in (
            ("demographic_parity_difference", differences),
            ("demographic_parity_ratio", ratios),
        ):
            into.append(disparity_estimate(table, name, resamples=300, rng=rng))
    assert LOW <= coverage(differences, float(np.ptp(true))) <= HIGH
    assert LOW <= coverage(ratios, float(true.min() / true.max())) <= HIGH


def test_disparity_of_equal_groups_reaches_zero() -> None:
    """Noise alone makes a disparity; its interval still holds 0 in at least 95 % of samples."""
    rng = np.random.default_rng(16)
    sizes = np.full(6, 150)
    lows = [
        disparity_estimate(
            selections(rng.binomial(sizes, 0.3), sizes),
            "demographic_parity_difference",
            resamples=300,
            rng=rng,
        ).low
        for _ in range(150)
    ]
    assert np.mean(np.array(lows) == 0.0) >= 0.93


def test_disparity_estimate_names_the_value_of_fairlearn() -> None:
    """The point estimate is the plain disparity, inside its interval."""
    rng = np.random.default_rng(17)
    table = confusion_by_group(
        rng.random(900) < 0.4, rng.random(900) < 0.4, rng.integers(0, 3, 900), 3
    )
    for name in ("equalized_odds_difference", "equalized_odds_ratio"):
        estimate = disparity_estimate(table, name, rng=rng)
        assert estimate.value == disparity(table, name)
        assert estimate.low <= estimate.value <= estimate.high


def test_one_group_has_no_disparity() -> None:
    """A disparity needs two groups; with one it is refused, not 0."""
    table = selections(np.array([3]), np.array([10]))
    with pytest.raises(ValueError, match="needs two groups"):
        disparity_estimate(table, "demographic_parity_ratio", rng=np.random.default_rng(0))


def test_inversion_of_a_known_case_is_the_normal_interval() -> None:
    """For a statistic that is linear in its scale, inverting the test gives the plain interval."""
    noise = np.random.default_rng(3).standard_normal(200_000) * 0.1
    low, high = spread_interval(1.0, lambda scale: (scale, scale + noise), 0.95)
    assert low == pytest.approx(1 - 0.196, abs=0.003)
    assert high == pytest.approx(1 + 0.196, abs=0.003)
