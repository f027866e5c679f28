"""Latency by counts of exceedances, and one arm against a stated rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from promotion_assets.statistics.event_counts import RATIOS, EventCounts, event_harm
from promotion_assets.statistics.exceedance import rate_above, slowdown

SLOW = {
    0.5: [EventCounts(0.05, 300, 4700, 500, 9500)],
    0.9: [EventCounts(0.05, 90, 950, 500, 9500)],
    0.99: [EventCounts(0.05, 15, 95, 500, 9500)],
}


def test_slowdown_is_the_mean_over_quantiles() -> None:
    """Each quantile's evidence counts the same, and one that shows much is enough."""
    each = [event_harm(rows).value for rows in SLOW.values()]
    merged = slowdown(SLOW)
    assert merged.value == pytest.approx(np.mean(each))
    assert merged.shown
    assert "p50, p90, p99" in merged.method


def test_no_quantile_is_no_evidence() -> None:
    """Without a frozen quantile, and without traffic, nothing is shown."""
    assert slowdown({}).value == 1.0
    assert slowdown({0.99: []}).value == 1.0


@pytest.mark.parametrize("quantile", [0.0, 1.0, 99.0, math.nan])
def test_a_quantile_is_a_share(quantile: float) -> None:
    """A quantile outside (0, 1), such as 99 for .99, is refused."""
    with pytest.raises(ValueError, match="quantile"):
        slowdown({quantile: []})


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.001, 0.6))
def test_rate_above_is_the_mean_likelihood_ratio(events: int, others: int, limit: float) -> None:
    """The one-armed e-value is the binomial likelihood at worse rates over that at the limit."""
    n = events + others
    rates = {min(limit * r, (1 + limit) / 2) for r in RATIOS}
    logs = [binom.logpmf(events, n, p) - binom.logpmf(events, n, limit) for p in rates]
    expected = float(np.logaddexp.reduce(logs)) - math.log(len(logs)) if n else 0.0
    assert rate_above(events, n, limit).log_e == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("limit", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_expected_evidence_of_one_arm_is_at_most_one(limit: float, share: float) -> None:
    """For a rate at the limit, or below it, the mean e-value is at most 1."""
    x = np.arange(51)
    e = np.array([rate_above(int(k), 50, limit).value for k in x])
    assert e @ binom.pmf(x, 50, limit * share) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("events", "units", "limit"),
    [(5, 4, 0.1), (-1, 4, 0.1), (math.nan, 4, 0.1), (1, 4, 0.0), (1, 4, 1.0), (1, 4, math.nan)],
)
def test_an_impossible_arm_is_refused(events: float, units: int, limit: float) -> None:
    """More events than units, missing counts and a limit that is no rate are refused."""
    with pytest.raises(ValueError, match=r"events|limit"):
        rate_above(events, units, limit)  # type: ignore[arg-type]
