"""What an e-value says, and what it refuses to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.statistics.evalues import EValue, average, mixture, no_evidence


@given(st.floats(-50, 50), st.floats(0.001, 0.5))
def test_shown_is_reaching_one_over_alpha(log_e: float, alpha: float) -> None:
    """A hypothesis is rejected exactly when the always-valid p-value is at most alpha."""
    evidence = EValue(log_e, alpha, 10, "made up")
    assert evidence.shown == (evidence.p_value <= alpha * (1 + 1e-12))
    assert evidence.value == pytest.approx(math.exp(log_e))
    assert evidence.limit == pytest.approx(1 / alpha)


def test_no_data_shows_nothing() -> None:
    """The e-value of no data is 1, its p-value 1, and it rejects nothing."""
    nothing = no_evidence(0.05, "made up")
    assert (nothing.value, nothing.p_value, nothing.n, nothing.shown) == (1.0, 1.0, 0, False)
    assert average([], 0.05, "made up") == nothing


def test_an_overwhelming_e_value_stays_a_number() -> None:
    """Evidence beyond what a float holds is infinite, not an exception."""
    assert EValue(5000.0, 0.05, 10**6, "made up").value == math.inf


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=6))
def test_average_is_the_mean_of_the_e_values(logs: list[float]) -> None:
    """Merged evidence is the plain mean, so it never exceeds the largest."""
    merged = average([EValue(log, 0.05, 7, "made up") for log in logs], 0.01, "merged")
    assert merged.value == pytest.approx(float(np.mean(np.exp(logs))))
    assert (merged.alpha, merged.n) == (0.01, 7)


def test_mixture_does_not_overflow() -> None:
    """The mean of e-values far beyond a float's range is taken on logarithms."""
    assert float(mixture(np.array([2000.0, 0.0]))) == pytest.approx(2000.0 - math.log(2))


@pytest.mark.parametrize(("log_e", "alpha"), [(math.nan, 0.05), (0.0, 0.0), (0.0, 1.0), (0.0, -1)])
def test_nonsense_is_refused(log_e: float, alpha: float) -> None:
    """NaN evidence, and an alpha that is no probability, are refused."""
    with pytest.raises(ValueError, match=r"NaN|alpha"):
        EValue(log_e, alpha, 1, "made up")
