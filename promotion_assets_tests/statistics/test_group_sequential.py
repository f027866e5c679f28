"""Planned looks: published boundaries, simulated paths, and what a look says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from promotion_assets.statistics.crossing import exits
from promotion_assets.statistics.group_sequential import (
    SequentialPlan,
    Sides,
    Spending,
    analyse,
    boundaries,
    spent_at,
)

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # As printed by the program of D. Reboussin, D. DeMets, K. Kim, K. Lan (Controlled Clinical
        # Trials 21, 2000, 190-207): two-sided .05, five equal looks.
        (Spending.OBRIEN_FLEMING, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        (Spending.POCOCK, (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_boundaries_are_the_published_ones(
    spending: Spending, published: tuple[float, ...]
) -> None:
    """Five equal looks have the boundaries of the literature, to the precision of its programs."""
    ours = boundaries(FIVE, SequentialPlan(FIVE, 1.0, spending=spending))
    assert ours == pytest.approx(published, abs=3e-4)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),
    # C. Jennison, B. Turnbull, Group Sequential Methods, 2000, tables 2.1 and 2.3, alpha .05.
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (5, 2.413, 2.040), (10, 2.555, 2.087)],
)
def test_classical_constants_give_five_percent(
    looks: int, pocock: float, obrien_fleming: float
) -> None:
    """The integration gives .05 at the constants that were tabulated for equal looks."""
    times = [(k + 1) / looks for k in range(looks)]
    for upper in ([pocock] * looks, [obrien_fleming / math.sqrt(t) for t in times]):
        left = exits(times, [-c for c in upper], upper)
        assert math.fsum(a + b for a, b in left) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("drift", [0.0, 1.5, -1.0])
def test_two_looks_equal_the_bivariate_normal(drift: float) -> None:
    """With two looks the exits are SciPy's bivariate normal probabilities."""
    times, low, high = (0.3, 1.0), (-2.5, -2.0), (2.2, 1.9)
    left = exits(times, low, high, drift=drift)
    mean = [drift * math.sqrt(t) for t in times]
    pair = multivariate_normal(mean, [[1, math.sqrt(0.3)], [math.sqrt(0.3), 1]])
    assert left[0][1] == pytest.approx(norm.sf(2.2 - mean[0]))
    inside_then_above = pair.cdf([2.2, np.inf], lower_limit=[-2.5, 1.9])
    assert left[1][1] == pytest.approx(inside_then_above, abs=1e-6)


@settings(max_examples=15)
@given(
    st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6, unique_by=lambda t: round(t, 2)),
    st.sampled_from(list(Spending)),
    st.sampled_from(list(Sides)),
    st.sampled_from([0.01, 0.05, 0.2]),
)
def test_all_looks_together_spend_alpha(
    looks: list[float], spending: Spending, sides: Sides, alpha: float
) -> None:
    """Whenever the looks come, their exits add up to alpha, and never to more on the way."""
    times = (*sorted(looks), 1.0)
    plan = SequentialPlan(times, 1.0, alpha, spending, sides)
    upper = boundaries(times, plan)
    lower = [-math.inf if sides is Sides.HIGHER else -c for c in upper]
    used = np.cumsum([a + b for a, b in exits(times, lower, upper)])
    allowed = [spent_at(t, plan) for t in times]
    assert used == pytest.approx(allowed, abs=2e-6)
    assert used[-1] == pytest.approx(alpha, abs=2e-6)


def test_false_alarms_and_power_in_simulated_trials() -> None:
    """Simulated paths without effect cross in 5 %, with the planned effect as often as computed."""
    rng = np.random.default_rng(8)
    plan = SequentialPlan(FIVE, 1.0)
    upper = np.array(boundaries(FIVE, plan))
    for drift, expected in ((0.0, 0.05), (2.8, None)):
        steps = rng.normal(drift * 0.2, math.sqrt(0.2), (40_000, 5))
        z = steps.cumsum(axis=1) / np.sqrt(FIVE)
        crossed = float((np.abs(z) >= upper).any(axis=1).mean())
        computed = math.fsum(a + b for a, b in exits(FIVE, -upper, upper, drift=drift))
        assert crossed == pytest.approx(computed, abs=0.01)
        assert expected is None or computed == pytest.approx(expected, abs=1e-5)


def test_a_look_says_what_was_seen_and_what_is_left() -> None:
    """The interval is the boundary times the error; power left is that of the looks to come."""
    plan = SequentialPlan(FIVE, effect=0.1)
    look = analyse(plan, (0.2, 0.4), effect=0.05, std_error=0.06)
    assert (look.look, look.fraction, look.shown) == (2, 0.4, False)
    assert look.critical == pytest.approx(3.3569, abs=3e-4)
    assert (look.low, look.high) == pytest.approx(
        (0.05 - look.critical * 0.06, 0.05 + look.critical * 0.06)
    )
    rng = np.random.default_rng(9)
    start = look.z * math.sqrt(0.4)
    upper = np.array(boundaries(FIVE, plan)[2:])
    for power, drift in (
        (look.power_planned, 0.1 / (0.06 * math.sqrt(0.4))),
        (look.power_trend, look.z / math.sqrt(0.4)),
    ):
        paths = start + rng.normal(drift * 0.2, math.sqrt(0.2), (40_000, 3)).cumsum(axis=1)
        z = np.abs(paths / np.sqrt([0.6, 0.8, 1.0]))
        assert power == pytest.approx((z >= upper).any(axis=1).mean(), abs=0.01)


@given(st.floats(-0.4, 0.4), st.floats(0.01, 0.2), st.sampled_from([1, 2, 5]))
@settings(max_examples=25)
def test_shown_is_an_interval_without_zero(effect: float, std_error: float, looks: int) -> None:
    """The verdict and the repeated interval say the same; the last look leaves no power."""
    plan = SequentialPlan(FIVE, effect=0.1)
    look = analyse(plan, FIVE[:looks], effect, std_error)
    assert look.shown == (look.low >= 0 or look.high <= 0)
    assert 0 <= look.power_planned <= 1
    assert (look.power_trend == 0.0) == (looks == 5)


def test_more_effect_is_more_power_left() -> None:
    """A plan for a larger effect has more power left, and one-sided more than two-sided."""
    small, large = (
        analyse(SequentialPlan(FIVE, effect=e), (0.2,), 0.02, 0.08).power_planned
        for e in (0.05, 0.2)
    )
    one_sided = analyse(SequentialPlan(FIVE, 0.2, sides=Sides.HIGHER), (0.2,), 0.02, 0.08)
    assert small < large < one_sided.power_planned
    assert one_sided.high == math.inf


def test_a_look_too_early_to_spend_has_open_bounds() -> None:
    """Where nothing can be spent yet, no effect is large enough, and the interval is open."""
    look = analyse(SequentialPlan(FIVE, 0.1), (0.01,), effect=5.0, std_error=1.0)
    assert (look.critical, look.shown) == (math.inf, False)
    assert (look.low, look.high) == (-math.inf, math.inf)


def test_an_overrun_spends_what_is_left_and_ends_the_plan() -> None:
    """A last look past the planned information counts, and another one after it is refused."""
    plan = SequentialPlan(FIVE, 0.1)
    look = analyse(plan, (0.2, 0.4, 1.07), effect=0.2, std_error=0.06)
    assert look.spent == pytest.approx(0.05)
    with pytest.raises(ValueError, match="ended"):
        analyse(plan, (0.2, 0.4, 1.07, 1.2), effect=0.2, std_error=0.06)


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (0.5, 0.5), (0.6, 0.4), (math.nan,)])
def test_looks_must_ascend(fractions: tuple[float, ...]) -> None:
    """Looks that do not ascend, or none at all, are refused."""
    with pytest.raises(ValueError, match="ascend"):
        boundaries(fractions, SequentialPlan(FIVE, 0.1))


@pytest.mark.parametrize(("effect", "std_error"), [(math.nan, 1.0), (0.1, 0.0), (0.1, math.nan)])
def test_a_look_needs_an_estimate(effect: float, std_error: float) -> None:
    """An estimate that is not finite, or has no standard error, is refused."""
    with pytest.raises(ValueError, match="standard error"):
        analyse(SequentialPlan(FIVE, 0.1), (0.2,), effect, std_error)


@pytest.mark.parametrize(
    ("looks", "effect", "alpha"),
    [((0.5, 0.9), 0.1, 0.05), ((1.0,), 0.0, 0.05), ((1.0,), math.nan, 0.05), ((1.0,), 0.1, 0.0)],
)
def test_a_plan_that_is_none_is_refused(
    looks: tuple[float, ...], effect: float, alpha: float
) -> None:
    """A plan without an end, without an effect, or without a false-alarm rate is refused."""
    with pytest.raises(ValueError, match=r"last planned|effect|alpha"):
        SequentialPlan(looks, effect, alpha)
