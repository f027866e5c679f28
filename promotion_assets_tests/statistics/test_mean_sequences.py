"""Means at every look: closed forms against quadrature and plain sums, guards and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from promotion_assets.statistics.mean_sequences import (
    FLOOR,
    log_e,
    log_e_one_sided,
    mean_difference_sequence,
    mean_higher,
    mean_lower,
    mean_sequence,
    tuning,
)
from promotion_assets.statistics.moments import MeanCounts, Moments, moments, winsorise

VALUES = st.lists(st.floats(-100, 100), max_size=60)


def row(rng: np.random.Generator, candidate: int, stable: int, shift: float = 0.0) -> MeanCounts:
    """Return a row of exponential values, the candidate's moved by ``shift``."""
    return MeanCounts(
        moments(rng.exponential(size=candidate) + shift), moments(rng.exponential(size=stable))
    )


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.5, 6.0])
@pytest.mark.parametrize("time", [0.2, 1.0, 40.0])
def test_mixtures_equal_quadrature(z: float, time: float) -> None:
    """The closed forms are the likelihood ratio integrated over a normal, or half-normal, prior."""

    # At variance v a drift d gives exp(d s - d² v / 2); the prior of d is normal with variance
    # 1 / rho, and in units of its deviation only z and v / rho are left.
    def _weighted(d: float) -> float:
        return math.exp(d * z * math.sqrt(time) - d * d * time / 2) * float(norm.pdf(d))

    peak = z * math.sqrt(time) / (1 + time)
    whole = quad(_weighted, -12, 12, points=[peak], limit=200)[0]
    upper = quad(_weighted, 0, 12, points=[abs(peak)], limit=200)[0]
    assert float(log_e(z, time)) == pytest.approx(math.log(whole), abs=1e-7)
    assert float(log_e_one_sided(z, time)) == pytest.approx(math.log(2 * upper), abs=1e-7)


@pytest.mark.parametrize("time", [0.1, 1.0, 25.0])
def test_expected_evidence_is_one(time: float) -> None:
    """For a standard normal statistic the mean e-value is 1, one- and two-sided."""
    z = np.linspace(-12, 12, 40_001)
    # Where the prior is wide the mixture's integrand has a wide tail too: the density carries it.
    for kernel in (log_e, log_e_one_sided):
        integrand = np.exp(
            kernel(z * math.sqrt(1 + time), time) + norm.logpdf(z * np.sqrt(1 + time))
        )
        assert np.trapezoid(integrand, z) * math.sqrt(1 + time) == pytest.approx(1.0, abs=1e-6)


def test_the_tuning_is_the_best_one() -> None:
    """At the units that it is tuned for, no other parameter gives a much tighter interval."""

    def _width(parameter: float) -> float:
        u = 500 / parameter
        return math.sqrt((1 + u) / u * (2 * math.log(20) + math.log1p(u)))

    best = min(_width(float(p)) for p in np.geomspace(5, 5000, 2000))
    assert _width(tuning(0.05, 500)) == pytest.approx(best, rel=1e-3)


def test_the_interval_ends_where_the_evidence_reaches_its_limit() -> None:
    """Moving the stable arm by a bound of the interval makes the p-value exactly alpha."""
    rng = np.random.default_rng(1)
    counts = row(rng, 400, 3000, 0.3)
    found = mean_difference_sequence([counts])
    assert found.low < found.difference < found.high
    for bound in (found.low, found.high):
        m = counts.stable
        squares = m.squares + 2 * bound * m.total + m.n * bound**2
        moved = Moments(m.n, m.total + m.n * bound, squares, m.n)
        again = mean_difference_sequence([MeanCounts(counts.candidate, moved)])
        assert again.p_value == pytest.approx(0.05, rel=1e-6)


def test_one_row_is_welch_or_pooled_whichever_is_wider() -> None:
    """The standard error of one row is the larger of Welch's and the pooled one."""
    rng = np.random.default_rng(2)
    narrow, wide = rng.normal(0, 1, 300), rng.normal(0, 3, 5000)
    for one, two in ((narrow, wide), (wide[:300], narrow.repeat(10))):
        welch = math.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two))
        spread = one.var() * len(one) + two.var() * len(two)
        pooled = math.sqrt(spread / (len(one) + len(two) - 2) * (1 / len(one) + 1 / len(two)))
        found = mean_difference_sequence([MeanCounts(moments(one), moments(two))])
        assert found.std_error == pytest.approx(max(welch, pooled))
        assert found.difference == pytest.approx(one.mean() - two.mean())


def test_a_base_that_moves_while_the_share_changes_cancels() -> None:
    """Rows are compared within themselves, so a tide that lifts both arms is no difference."""
    rng = np.random.default_rng(3)
    low = MeanCounts(moments(rng.normal(1, 1, 500)), moments(rng.normal(1, 1, 9500)))
    high = MeanCounts(moments(rng.normal(9, 1, 2500)), moments(rng.normal(9, 1, 7500)))
    found = mean_difference_sequence([low, high])
    assert found.first - found.second > 1
    assert abs(found.difference) < 0.1
    assert found.low < 0 < found.high


@given(st.integers(0, 2**32 - 1), st.floats(-0.5, 0.5))
def test_higher_and_lower_mirror(seed: int, shift: float) -> None:
    """With the arms exchanged, higher is lower; the difference changes its sign only."""
    rng = np.random.default_rng(seed)
    rows = [row(rng, 60, 200, shift), row(rng, 120, 150, shift)]
    mirrored = [MeanCounts(r.stable, r.candidate) for r in rows]
    assert mean_higher(rows).log_e == pytest.approx(mean_lower(mirrored).log_e)
    one, two = mean_difference_sequence(rows), mean_difference_sequence(mirrored)
    assert [one.low, one.high] == pytest.approx([-two.high, -two.low])
    assert mean_higher(rows[::-1]).log_e == pytest.approx(mean_higher(rows).log_e)


@pytest.mark.parametrize("nonzero", [0, 1, FLOOR - 1])
def test_below_the_floor_nothing_is_said(nonzero: int) -> None:
    """With fewer non-zero values than the floor in one arm, bounds are open and evidence is 1."""
    few = moments(np.r_[np.full(nonzero, 50.0), np.zeros(5000)])
    many = moments(np.r_[np.full(500, 50.0), np.zeros(500)])
    for counts in (MeanCounts(few, many), MeanCounts(many, few)):
        found = mean_difference_sequence([counts])
        assert (found.low, found.high, found.p_value) == (-math.inf, math.inf, 1.0)
        assert f"inconclusive: {nonzero} non-zero" in found.method
        assert mean_higher([counts]).value == mean_lower([counts]).value == 1.0
    alone = mean_sequence(few)
    assert (alone.low, alone.high) == (-math.inf, math.inf)


def test_the_floor_is_one_value_away() -> None:
    """At the floor itself there is a verdict."""
    enough = moments(np.r_[np.linspace(40, 60, FLOOR), np.zeros(200)])
    lots = moments(np.r_[np.linspace(40, 60, 2000), np.zeros(100)])
    assert mean_lower([MeanCounts(enough, lots)]).shown


@pytest.mark.parametrize("rows", [[], [MeanCounts(moments([]), moments([]))]])
def test_no_data_is_no_evidence(rows: list[MeanCounts]) -> None:
    """No rows, or rows without units, give open bounds, a p-value of 1 and an e-value of 1."""
    found = mean_difference_sequence(rows)
    assert (found.low, found.high, found.p_value, found.n) == (-math.inf, math.inf, 1.0, 0)
    assert math.isnan(found.difference)
    assert mean_higher(rows).value == 1.0


def test_values_that_do_not_vary_are_no_evidence() -> None:
    """Without any spread there is no scale to judge a difference on."""
    same = MeanCounts(Moments(100, 100.0, 100.0, 100), Moments(900, 900.0, 900.0, 900))
    assert mean_higher([same]).value == 1.0
    assert mean_difference_sequence([same]).p_value == 1.0


def test_one_mean_has_the_boundary_of_the_mixture() -> None:
    """One arm's bounds lie where the two-sided e-value is 1 / alpha."""
    values = np.random.default_rng(4).normal(3, 2, 800)
    found = mean_sequence(moments(values), alpha=0.1)
    error = values.std(ddof=1) / math.sqrt(800)
    u = 800 / tuning(0.1, 500)
    z = brentq(lambda z: float(log_e(z, u)) - math.log(10), 0, 20)
    assert found.high - found.value == pytest.approx(z * error)
    assert found.value == pytest.approx(values.mean())


@given(VALUES)
@example([5e-163] * 4)
def test_moments_are_plain_sums(values: list[float]) -> None:
    """What is kept of values are their number, sum, squares and non-zero ones."""
    kept = moments(values)
    assert kept.n == len(values)
    assert kept.total == pytest.approx(math.fsum(values), abs=1e-9)
    assert kept.squares == pytest.approx(math.fsum(v * v for v in values))
    assert kept.nonzero == sum(v != 0 for v in values)


@given(VALUES.filter(bool), st.floats(-50, 0), st.floats(1, 50))
def test_winsorised_values_keep_their_order(values: list[float], low: float, high: float) -> None:
    """Values beyond a limit are moved to it; the others stay."""
    moved = winsorise(values, low, high)
    assert moved.tolist() == [min(max(v, low), high) for v in values]


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    """NaN and infinity are refused before they reach a sum."""
    for work in (moments, lambda v: winsorise(v, 0, 1)):
        with pytest.raises(ValueError, match="NaN"):
            work(values)


@pytest.mark.parametrize(
    "sums",
    [
        (-1, 0.0, 0.0, 0),
        (3, math.nan, 1.0, 0),
        (3, 1.0, math.inf, 1),
        (3, 1.0, 1.0, 4),
        (2, 9.0, 1.0, 2),
    ],
)
def test_impossible_sums_are_refused(sums: tuple[int, float, float, int]) -> None:
    """Negative counts, sums that are not finite, and squares below their sum are refused."""
    with pytest.raises(ValueError, match=r"n must|finite|nonzero|squares"):
        Moments(*sums)


def test_wrong_settings_are_refused() -> None:
    """Limits in the wrong order, and a tuning for no units, are refused."""
    with pytest.raises(ValueError, match="limit"):
        winsorise([1.0], 2.0, 1.0)
    with pytest.raises(ValueError, match="tuned_for"):
        mean_higher([], tuned_for=0.0)
