"""A thousand simulated rollouts of 200 looks: false alarms, power, and agreement with one look.

Seeds are fixed, so a simulation that passes passes every time. A false-alarm rate of .05 seen in
1,000 runs has a standard error of .007; the bound is on what was seen, without an allowance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from promotion_assets.statistics.event_counts import EventCounts, event_harm, event_safe
from promotion_assets.statistics.exceedance import QUANTILES
from promotion_assets.statistics.mean_sequences import mean_higher, mean_lower
from promotion_assets.statistics.moments import MeanCounts, Moments
from promotion_assets.statistics.paired_counts import log_e_one_sided, log_e_two_sided
from promotion_assets.statistics.paths import (
    event_paths,
    first_shown,
    mean_paths,
    safe_paths,
    sample_ratio_paths,
    slowdown_paths,
    units_until,
)
from promotion_assets.statistics.sample_ratio import ArmCounts, sample_ratio
from promotion_assets.statistics.streams import (
    MomentArrays,
    Stream,
    draw_events,
    draw_exceedances,
    draw_moments,
)

RUNS, LOOKS, ALPHA = 1000, 200, 0.05
#: Share of the candidate at each of 200 looks: a quarter of them at each step.
RAMP = np.repeat([0.05, 0.25, 0.5, 0.99], LOOKS // 4)
AT_FIVE = np.repeat([0.05], LOOKS)


def shown(log_e: np.ndarray, alpha: float = ALPHA) -> float:
    """Return the share of runs that show something at any look."""
    return float((first_shown(log_e, alpha) >= 0).mean())


def rates(stream: Stream, run: int, look: int) -> list[EventCounts]:
    """Return what one run has counted up to a look, one row for each step."""
    rows = []
    for share in dict.fromkeys(stream.shares[: look + 1].tolist()):
        step = (stream.shares == share) & (np.arange(LOOKS) <= look)
        counts = (
            stream.events_candidate,
            stream.events_stable,
            stream.units_candidate,
            stream.units_stable,
        )
        rows.append(EventCounts(share, *(int(c[run, step].sum()) for c in counts)))
    return rows


def test_a_path_is_what_each_look_says() -> None:
    """At any look of any run, paths equal the evidence computed from that run's counts."""
    rng = np.random.default_rng(1)
    stream = draw_events(rng, runs=3, shares=RAMP, units=60, base=0.02, ratio=1.5)
    harm, safe, ratio = event_paths(stream), safe_paths(stream, 2.0), sample_ratio_paths(stream)
    for run, look in ((0, 0), (1, 49), (1, 50), (2, 199)):
        rows = rates(stream, run, look)
        arms = [
            ArmCounts((r.share, 1 - r.share), (r.units_candidate, r.units_stable)) for r in rows
        ]
        assert harm[run, look] == pytest.approx(event_harm(rows).log_e, abs=1e-9)
        assert safe[run, look] == pytest.approx(event_safe(rows, 2.0).log_e, abs=1e-9)
        assert ratio[run, look] == pytest.approx(sample_ratio(arms).log_e, abs=1e-9)


def test_a_path_of_means_is_what_each_look_says() -> None:
    """The same for means, below and above the floor."""
    rng = np.random.default_rng(2)
    one, two = draw_moments(
        rng, runs=2, shares=RAMP, units=40, stable=money(0.3), candidate=money(0.4)
    )
    higher, lower = mean_paths(RAMP, one, two)
    for run, look in ((0, 3), (0, 90), (1, 199)):
        rows = []
        for share in dict.fromkeys(RAMP[: look + 1].tolist()):
            step = (share == RAMP) & (np.arange(LOOKS) <= look)
            rows.append(MeanCounts(*(kept(arm, run, step) for arm in (one, two))))
        assert higher[run, look] == pytest.approx(mean_higher(rows).log_e, abs=1e-9)
        assert lower[run, look] == pytest.approx(mean_lower(rows).log_e, abs=1e-9)


def kept(arm: MomentArrays, run: int, step: np.ndarray) -> Moments:
    """Return one arm's sums over some looks of one run."""
    n, total, squares, nonzero = (float(a[run, step].sum()) for a in arm)
    return Moments(int(n), total, squares, int(nonzero))


def money(paying: float) -> Callable[[np.random.Generator, tuple[int, int]], np.ndarray]:
    """Return draws of what customers spend: most nothing, the others log-normal, winsorised."""

    def _draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        spent = np.minimum(rng.lognormal(size=shape), math.exp(2.326))
        return np.where(rng.random(shape) < paying, spent, 0.0)

    return _draw


@pytest.mark.parametrize("base", [0.005, 0.05, 0.4])
@pytest.mark.parametrize("shares", [AT_FIVE, RAMP], ids=["5 %", "ramp"])
def test_events_alarm_no_more_than_alpha(base: float, shares: np.ndarray) -> None:
    """With equal rates, rare or common, at most alpha of the rollouts are ever stopped."""
    stream = draw_events(np.random.default_rng(3), runs=RUNS, shares=shares, units=400, base=base)
    assert shown(event_paths(stream)) <= ALPHA
    assert shown(sample_ratio_paths(stream)) <= ALPHA


@pytest.mark.parametrize("base", [0.005, 0.2])
def test_a_base_that_trebles_alarms_no_more_than_alpha(base: float) -> None:
    """A base rate that trebles in mid-ramp, in the middle of a step, stops at most alpha."""
    moving = np.where(np.arange(LOOKS) < 75, base, 3 * base)
    stream = draw_events(np.random.default_rng(4), runs=RUNS, shares=RAMP, units=400, base=moving)
    assert shown(event_paths(stream)) <= ALPHA
    # Added up over steps, the same traffic would blame the candidate: it came when rates rose.
    pooled = replace(stream, shares=np.repeat(RAMP.mean(), LOOKS))
    assert shown(event_paths(pooled)) > 0.5


def test_a_share_that_is_off_is_blamed_on_the_sample_ratio() -> None:
    """When 6 % arrive instead of 5 %, events raise no alarm and the sample ratio does."""
    stream = draw_events(
        np.random.default_rng(5),
        runs=RUNS,
        shares=AT_FIVE,
        units=400,
        base=0.05,
        realised=np.repeat(0.06, LOOKS),
    )
    assert shown(event_paths(stream)) <= ALPHA
    assert shown(sample_ratio_paths(stream)) > 0.99


@pytest.mark.parametrize("shares", [AT_FIVE, RAMP], ids=["5 %", "ramp"])
def test_latency_alarms_no_more_than_alpha(shares: np.ndarray) -> None:
    """With equal latency at most alpha of the rollouts are stopped, however wrong the quantiles."""
    for exceeded in ([1 - q for q in QUANTILES], (0.7, 0.25, 0.04)):
        streams = draw_exceedances(
            np.random.default_rng(6),
            runs=RUNS,
            shares=shares,
            units=400,
            stable=exceeded,
            candidate=exceeded,
        )
        assert shown(slowdown_paths(streams)) <= ALPHA


@pytest.mark.parametrize("paying", [0.05, 0.5, 1.0])
def test_means_alarm_no_more_than_alpha(paying: float) -> None:
    """With equal skewed values at a 5 % share, neither side stops more than alpha."""
    one, two = draw_moments(
        np.random.default_rng(7),
        runs=RUNS,
        shares=AT_FIVE,
        units=100,
        stable=money(paying),
        candidate=money(paying),
    )
    for log_e in mean_paths(AT_FIVE, one, two):
        assert shown(log_e) <= ALPHA


@pytest.mark.parametrize("log_e", [log_e_one_sided, log_e_two_sided])
def test_pairs_alarm_no_more_than_alpha(log_e: Callable[..., np.ndarray]) -> None:
    """With versions that err alone as often, at most alpha show a difference."""
    first = np.random.default_rng(8).binomial(5, 0.5, (RUNS, LOOKS))
    assert shown(log_e(first.cumsum(axis=1), (5 - first).cumsum(axis=1))) <= ALPHA


@pytest.mark.parametrize(("base", "share"), [(0.005, 0.05), (0.05, 0.25), (0.2, 0.5)])
def test_a_harmful_candidate_is_called_safe_no_more_than_alpha(base: float, share: float) -> None:
    """At the ratio that must be excluded, at most alpha are ever called safe."""
    stream = draw_events(
        np.random.default_rng(9),
        runs=RUNS,
        shares=np.repeat(share, LOOKS),
        units=400,
        base=base,
        ratio=2.0,
    )
    assert shown(safe_paths(stream, 2.0)) <= ALPHA


def test_intervals_of_a_ratio_hold_at_all_looks() -> None:
    """The true ratio of 1.5 leaves the interval at any look in at most alpha of the runs."""
    stream = draw_events(
        np.random.default_rng(10), runs=RUNS, shares=RAMP, units=400, base=0.02, ratio=1.5
    )
    above = first_shown(event_paths(stream, null=1.5), ALPHA / 2) >= 0
    below = first_shown(safe_paths(stream, 1.5), ALPHA / 2) >= 0
    assert (above | below).mean() <= ALPHA


def test_trebled_errors_are_found_within_600_requests() -> None:
    """Errors of .5 % that become 1.5 % are found in 99 % of runs, median within 600 requests."""
    stream = draw_events(
        np.random.default_rng(11), runs=RUNS, shares=AT_FIVE, units=400, base=0.005, ratio=3.0
    )
    looks = first_shown(event_paths(stream), ALPHA)
    assert (looks >= 0).mean() >= 0.99
    assert np.median(units_until(stream.units_candidate, looks)) <= 600


@pytest.mark.parametrize("sigma", [0.2, 0.4, 0.7])
def test_a_p99_a_fifth_longer_is_found_within_500_requests(sigma: float) -> None:
    """Log-normal latency that is 1.2 times as long is found, after 500 requests in the median.

    ``sigma`` is the deviation of the logarithm: p95 is 1.4, 1.9 and 3.2 times p50.
    """
    slower = [float(ndtr(math.log(1.2) / sigma - ndtri(q))) for q in QUANTILES]
    streams = draw_exceedances(
        np.random.default_rng(12),
        runs=RUNS,
        shares=AT_FIVE,
        units=400,
        stable=[1 - q for q in QUANTILES],
        candidate=slower,
    )
    looks = first_shown(slowdown_paths(streams), ALPHA)
    assert (looks >= 0).mean() >= 0.99
    assert np.median(units_until(streams[0].units_candidate, looks)) <= 500


def test_a_safe_candidate_is_called_safe() -> None:
    """With the same rate of .5 %, twice the rate is excluded in nearly all runs."""
    stream = draw_events(
        np.random.default_rng(13), runs=300, shares=AT_FIVE, units=1000, base=0.005
    )
    assert shown(safe_paths(stream, 2.0)) >= 0.97


def test_lost_revenue_is_found() -> None:
    """Customers who pay half as often are noticed by the lower side, and by that side only."""
    one, two = draw_moments(
        np.random.default_rng(14),
        runs=300,
        shares=AT_FIVE,
        units=200,
        stable=money(0.3),
        candidate=money(0.15),
    )
    higher, lower = mean_paths(AT_FIVE, one, two)
    assert shown(lower) >= 0.99
    assert shown(higher) == 0.0


def test_exceedances_are_nested_and_have_the_stated_rates() -> None:
    """Who exceeds a threshold exceeds the lower ones too, as often as was asked, look by look."""
    candidate = np.array([[0.6, 0.5], [0.2, 0.1], [0.05, 0.01]])
    streams = draw_exceedances(
        np.random.default_rng(15),
        runs=200,
        shares=[0.5, 0.5],
        units=2000,
        stable=(0.5, 0.1, 0.01),
        candidate=candidate,
    )
    for lower, higher in pairwise(streams):
        assert (higher.events_candidate <= lower.events_candidate).all()
        assert (higher.events_stable <= lower.events_stable).all()
    for stream, rates, stable in zip(streams, candidate, (0.5, 0.1, 0.01), strict=True):
        seen = stream.events_candidate.sum(axis=0) / stream.units_candidate.sum(axis=0)
        assert seen == pytest.approx(rates, rel=0.05)
        seen = stream.events_stable.sum(axis=0) / stream.units_stable.sum(axis=0)
        assert seen == pytest.approx(stable, rel=0.05)


def test_impossible_thresholds_are_refused() -> None:
    """A higher threshold that is exceeded more often than a lower one is refused."""
    with pytest.raises(ValueError, match="higher threshold"):
        draw_exceedances(
            np.random.default_rng(0),
            runs=1,
            shares=[0.5],
            units=10,
            stable=(0.1, 0.2),
            candidate=(0.2, 0.1),
        )
