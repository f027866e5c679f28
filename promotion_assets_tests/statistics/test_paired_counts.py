"""The paired e-process against quadrature, exact expectations, and its refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import binom

from promotion_assets.statistics.paired_counts import (
    PRIOR,
    log_e_one_sided,
    log_e_two_sided,
    paired_change,
    paired_harm,
)

COUNTS = st.integers(0, 3000)


def by_quadrature(first: int, second: int, prior: float, low: float) -> float:
    """Return the log e-value by the midpoint rule on logarithms, over the prior above ``low``."""
    width = (1 - low) / 400_000
    theta = low + width * (np.arange(400_000) + 0.5)
    logs = (first + prior - 1) * np.log(theta) + (second + prior - 1) * np.log1p(-theta)
    mass = np.logaddexp.reduce(logs) + math.log(width) - betaln(prior, prior)
    return float(mass - math.log(1 - low) + (first + second) * math.log(2))


@pytest.mark.parametrize(
    ("first", "second"), [(1, 0), (0, 1), (30, 10), (10, 30), (1000, 1), (3000, 3100)]
)
@pytest.mark.parametrize("prior", [1.0, 5.0])
def test_closed_forms_equal_quadrature(first: int, second: int, prior: float) -> None:
    """Both mixtures are the likelihood integrated over the prior, one-sided over its upper half."""
    one = float(log_e_one_sided(first, second, prior))
    assert one == pytest.approx(by_quadrature(first, second, prior, 0.5), abs=1e-4)
    two = float(log_e_two_sided(first, second, prior))
    assert two == pytest.approx(by_quadrature(first, second, prior, 0.0), abs=1e-4)


@pytest.mark.parametrize("n", [1, 10, 200])
def test_expected_evidence_is_one(n: int) -> None:
    """When each errs as often, the mean e-value over all splits is exactly 1; better, below."""
    b = np.arange(n + 1)
    for log_e in (log_e_one_sided, log_e_two_sided):
        assert np.exp(log_e(b, n - b)) @ binom.pmf(b, n, 0.5) == pytest.approx(1.0)
    assert np.exp(log_e_one_sided(b, n - b)) @ binom.pmf(b, n, 0.4) < 1.0


def test_a_far_better_candidate_is_no_error() -> None:
    """Where the tail underflows the evidence is a small number that still falls with the counts."""
    logs = log_e_one_sided(10, np.array([1_000, 10_000, 100_000]), PRIOR)
    assert np.isfinite(logs).all()
    assert (np.diff(logs) < 0).all()
    assert logs.max() < -5


@given(COUNTS, COUNTS)
def test_evidence_grows_with_the_candidates_errors(first: int, second: int) -> None:
    """One more error of the candidate alone is more evidence, one of the champion alone less."""
    here = paired_harm(first, second).log_e
    assert paired_harm(first + 1, second).log_e >= here
    assert paired_harm(first, second + 1).log_e <= here


@given(COUNTS, COUNTS)
def test_a_change_has_no_direction(first: int, second: int) -> None:
    """The two-sided evidence is the same with the versions exchanged."""
    assert paired_change(first, second).log_e == pytest.approx(paired_change(second, first).log_e)


def test_no_discordant_unit_is_no_evidence() -> None:
    """Units on which both agree say nothing: without others the e-value is 1."""
    assert paired_harm(0, 0).value == paired_change(0, 0).value == 1.0


@pytest.mark.parametrize("count", [-1, math.nan, math.inf, 0.5])
def test_impossible_counts_are_refused(count: float) -> None:
    """Negative, missing and fractional counts are refused."""
    with pytest.raises(ValueError, match="champion_only"):
        paired_harm(1, count)  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", [0.0, math.nan, -2.0])
def test_the_prior_must_be_one(prior: float) -> None:
    """A parameter that makes no beta distribution is refused."""
    with pytest.raises(ValueError, match="prior"):
        paired_change(1, 1, prior=prior)
