"""The sample-ratio test against quadrature, against one unit after the other, and its refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import xlogy
from scipy.stats import beta, multinomial

from promotion_assets.statistics.sample_ratio import ArmCounts, log_e, sample_ratio

SHARES = st.sampled_from([(0.05, 0.95), (0.25, 0.75), (0.5, 0.5), (0.2, 0.3, 0.5)])


@st.composite
def steps(draw: st.DrawFn) -> list[ArmCounts]:
    """Return some steps, of two or three arms."""
    result = []
    for _ in range(draw(st.integers(0, 4))):
        shares = draw(SHARES)
        result.append(ArmCounts(shares, tuple(draw(st.integers(0, 2000)) for _ in shares)))
    return result


@pytest.mark.parametrize("units", [(3, 40), (60, 940), (0, 25)])
@pytest.mark.parametrize("concentration", [20.0, 400.0])
def test_two_arms_equal_quadrature(units: tuple[int, int], concentration: float) -> None:
    """With two arms the e-value is the binomial likelihood integrated over the beta prior."""
    p = 0.05
    prior = beta(concentration * p, concentration * (1 - p))
    a, b = units

    def _likelihood(q: float) -> float:
        log = float(xlogy(a, q / p) + xlogy(b, (1 - q) / (1 - p)))
        return math.exp(log) * float(prior.pdf(q))

    expected = quad(_likelihood, 0, 1, points=[p, a / (a + b) or p], limit=400)[0]
    ours = sample_ratio([ArmCounts((p, 1 - p), units)], concentration=concentration)
    assert ours.value == pytest.approx(expected, rel=1e-6)


def test_units_may_come_one_after_the_other() -> None:
    """The closed form is the product of each unit's predictive probability over its share."""
    rng, shares = np.random.default_rng(3), np.array([0.2, 0.3, 0.5])
    counts, product = np.zeros(3), 1.0
    for arm in rng.choice(3, 200, p=[0.3, 0.3, 0.4]):
        product *= (50 * shares[arm] + counts[arm]) / (50 + counts.sum()) / shares[arm]
        counts[arm] += 1
    row = ArmCounts((0.2, 0.3, 0.5), (int(counts[0]), int(counts[1]), int(counts[2])))
    assert sample_ratio([row], concentration=50).value == pytest.approx(product)


def test_expected_evidence_is_one() -> None:
    """With the planned shares the mean e-value over all outcomes is exactly 1."""
    shares, n = (0.2, 0.3, 0.5), 12
    cells = [(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)]
    e = np.exp(log_e(cells, shares, 30.0))
    assert e @ multinomial.pmf(cells, n, shares) == pytest.approx(1.0)


@given(steps())
def test_steps_multiply_in_any_order(rows: list[ArmCounts]) -> None:
    """Steps multiply, so their order does not matter, and a step without units changes nothing."""
    straight = sample_ratio(rows)
    assert sample_ratio(rows[::-1]).log_e == pytest.approx(straight.log_e, abs=1e-9)
    assert sample_ratio([*rows, ArmCounts((0.5, 0.5), (0, 0))]).log_e == straight.log_e
    assert straight.log_e == pytest.approx(sum(sample_ratio([row]).log_e for row in rows), abs=1e-9)


@given(st.integers(1, 400))
def test_further_from_the_plan_is_more_evidence(excess: int) -> None:
    """Of the same units, the further from the plan the more evidence, on either side."""
    for sign in (1, -1):
        near, far = (
            sample_ratio([ArmCounts((0.5, 0.5), (1000 + sign * k, 1000 - sign * k))]).log_e
            for k in (excess - 1, excess)
        )
        assert far > near


@pytest.mark.parametrize(
    "rows", [[], [ArmCounts((0.05, 0.95), (0, 0))], [ArmCounts((0.0, 1.0), (0, 900))]]
)
def test_what_cannot_tell_is_an_e_value_of_one(rows: list[ArmCounts]) -> None:
    """No steps, no units, or a plan of one arm say nothing."""
    assert sample_ratio(rows).value == pytest.approx(1.0)
    assert not sample_ratio(rows).shown


@pytest.mark.parametrize(
    ("shares", "units"),
    [
        ((0.5, 0.5), (1, 2, 3)),
        ((1.0,), (5,)),
        ((0.5, 0.6), (1, 1)),
        ((-0.1, 1.1), (1, 1)),
        ((math.nan, 0.5), (1, 1)),
        ((0.5, 0.5), (-1, 1)),
        ((0.5, 0.5), (math.nan, 1)),
        ((0.0, 1.0), (1, 1)),
    ],
)
def test_impossible_arms_are_refused(shares: tuple[float, ...], units: tuple[int, ...]) -> None:
    """Shares that do not add up, missing counts, and units without a share are refused."""
    with pytest.raises(ValueError, match=r"share|arms|units"):
        ArmCounts(shares, units)


@pytest.mark.parametrize("concentration", [0.0, -1.0, math.nan, math.inf])
def test_the_prior_must_be_one(concentration: float) -> None:
    """A concentration that makes no prior is refused."""
    with pytest.raises(ValueError, match="concentration"):
        sample_ratio([], concentration=concentration)
