"""Two models' rates on the same rows by group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.statistics.groups import RATES, Rate, confusion_by_group, rate_values
from promotion_assets.statistics.paired_groups import (
    PairedTable,
    paired_confusion_by_group,
    rate_changes,
    simultaneous_changes,
)
from promotion_assets_tests.statistics.simulation import HIGH, LOW, coverage

SHARES = np.array([0.3, 0.05, 0.06, 0.2, 0.1, 0.04, 0.05, 0.2])
CHANGING: list[Rate] = [r for r in RATES if r != "base_rate"]


@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_changes_are_differences_of_the_two_tables(n: int, seed: int) -> None:
    """Every change is the first model's rate less the second's, None where one is undefined."""
    rng = np.random.default_rng(seed)
    labels, first, second = (rng.random((3, n)) < 0.4).tolist()
    codes = rng.integers(0, 3, size=n)
    table = paired_confusion_by_group(np.array(labels), np.array(first), np.array(second), codes, 3)
    one, two = (
        confusion_by_group(np.array(labels), np.array(p), codes, 3) for p in (first, second)
    )
    np.testing.assert_array_equal(table.first.counts, one.counts)
    np.testing.assert_array_equal(table.second.counts, two.counts)
    for rate in CHANGING:
        expected = rate_values(one, rate) - rate_values(two, rate)
        for change, value in zip(rate_changes(table, rate), expected, strict=True):
            if change is None:
                assert np.isnan(value)
            else:
                assert change.difference == pytest.approx(value)
                assert change.low <= change.difference <= change.high
                assert change.low < change.high


@pytest.mark.parametrize("rate", CHANGING)
def test_change_covers(rate: Rate) -> None:
    """Intervals of a group's change cover 93 to 97 %, 300 rows in the group."""
    counts = np.random.default_rng(40).multinomial(300, SHARES, size=1500)
    population = PairedTable(np.round(SHARES * 10**6).astype(int).reshape(1, 2, 2, 2))
    truth = rate_values(population.first, rate) - rate_values(population.second, rate)
    changes = rate_changes(PairedTable(counts.reshape(-1, 2, 2, 2)), rate)
    assert LOW <= coverage(changes, float(truth[0])) <= HIGH


def test_simultaneous_changes_hold_all_at_once() -> None:
    """Ten groups that did not change: an alarm for any of them in 3 to 7 % of samples."""
    rng = np.random.default_rng(41)
    unchanged = np.array([0.3, 0.06, 0.06, 0.2, 0.1, 0.04, 0.04, 0.2])
    held = []
    for _ in range(500):
        counts = rng.multinomial(250, unchanged, size=10).reshape(10, 2, 2, 2)
        changes = simultaneous_changes(PairedTable(counts), "selection_rate")
        held.append(all(c is not None and c.low <= 0.0 <= c.high for c in changes))
    assert LOW <= np.mean(held) <= HIGH


def test_same_predictions_leave_the_unseen_open() -> None:
    """Two models with the same decisions changed nothing, within what the rows can show."""
    rng = np.random.default_rng(42)
    labels, same = rng.random(200) < 0.4, rng.random(200) < 0.4
    table = paired_confusion_by_group(labels, same, same, np.zeros(200, dtype=int), 1)
    for rate in CHANGING:
        change = rate_changes(table, rate)[0]
        assert change is not None
        assert change.low < change.difference == 0.0 < change.high
        assert change.p_value == 1.0


def test_rows_that_differ_in_number_are_refused() -> None:
    """Predictions of another length than the labels are an error with the lengths."""
    with pytest.raises(ValueError, match="labels, first, second have 2, 2, 3 rows"):
        paired_confusion_by_group([0, 1], [0, 1], [0, 1, 1], [0, 0], 1)
