"""The conditional e-process against brute force, against exact expectations, and its refusals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from promotion_assets.statistics.event_counts import (
    RATIOS,
    EventCounts,
    event_change,
    event_harm,
    event_ratio,
    event_safe,
    log_e,
)


@st.composite
def rows(draw: st.DrawFn, most: int = 4) -> list[EventCounts]:
    """Return rows of traffic with at most one event a unit."""
    result = []
    for _ in range(draw(st.integers(0, most))):
        units = draw(st.integers(0, 300)), draw(st.integers(0, 3000))
        events = draw(st.integers(0, units[0])), draw(st.integers(0, min(units[1], 200)))
        result.append(EventCounts(draw(st.floats(0, 1)), *events, *units))
    return result


def event_by_event(counts: Sequence[EventCounts], null: float, factors: Sequence[float]) -> float:
    """Return the mean likelihood ratio, multiplied up event by event as the paper writes it."""
    total = 0.0
    for factor in factors:
        product = 1.0
        for row in counts:
            units = row.units_candidate + row.units_stable
            w = row.units_candidate / units if units else 0.0
            r, s = null * factor, null
            theta, base = w * r / (w * r + 1 - w), w * s / (w * s + 1 - w)
            for _ in range(row.events_candidate):
                product *= theta / base
            for _ in range(row.events_stable):
                product *= (1 - theta) / (1 - base)
        total += product
    return total / len(factors)


COUNTS = [EventCounts(0.05, 3, 21, 590, 11_410), EventCounts(0.25, 7, 14, 1030, 2970)]


def test_harm_is_the_product_over_events() -> None:
    """The closed form is the product of each event's likelihood ratio, averaged over ratios."""
    assert event_harm(COUNTS).value == pytest.approx(event_by_event(COUNTS, 1.0, RATIOS))


def test_safe_is_the_product_over_events() -> None:
    """The mirrored one is the same product against the largest ratio that is tolerated."""
    factors = [1 / r for r in RATIOS]
    assert event_safe(COUNTS, 2.0).value == pytest.approx(event_by_event(COUNTS, 2.0, factors))


def test_change_looks_both_ways() -> None:
    """Evidence of a change is the mean over ratios above and below 1."""
    both = [*RATIOS, *(1 / r for r in RATIOS)]
    assert event_change(COUNTS).value == pytest.approx(event_by_event(COUNTS, 1.0, both))


@pytest.mark.parametrize("weight", [0.02, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("events", [1, 7, 60])
def test_expected_evidence_is_one_when_events_are_rare(weight: float, events: int) -> None:
    """Under the hypothesis, given the events, the mean e-value over the binomial is exactly 1."""
    x = np.arange(events + 1)
    e = np.exp(log_e(x[:, None], np.full((len(x), 1), events), [weight], RATIOS))
    assert e @ binom.pmf(x, events, weight) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("candidate", "stable", "events"), [(20, 380, 4), (20, 380, 200), (9, 9, 9)]
)
def test_expected_evidence_is_at_most_one_when_events_are_common(
    candidate: int, stable: int, events: int
) -> None:
    """With one event a unit the counts are hypergeometric, and the mean e-value is below 1."""
    x = np.arange(min(candidate, events) + 1)
    weight = candidate / (candidate + stable)
    for factors in (RATIOS, [1 / r for r in RATIOS]):
        e = np.exp(log_e(x[:, None], np.full((len(x), 1), events), [weight], factors))
        assert e @ hypergeom.pmf(x, candidate + stable, candidate, events) < 1.0


@pytest.mark.parametrize("true_ratio", [2.0, 3.0, 8.0])
def test_a_ratio_at_the_limit_or_beyond_is_not_called_safe(true_ratio: float) -> None:
    """The mean of "safe" is at most 1 for every ratio that the hypothesis holds."""
    x, w = np.arange(41), 0.05
    theta = w * true_ratio / (w * true_ratio + 1 - w)
    e = np.exp(log_e(x[:, None], np.full((41, 1), 40), [w], [1 / r for r in RATIOS], null=2.0))
    assert e @ binom.pmf(x, 40, theta) <= 1.0 + 1e-12


@given(rows())
def test_order_within_a_look_does_not_matter(counts: list[EventCounts]) -> None:
    """Rows multiply, so they may come in any order."""
    straight, reversed_ = event_harm(counts), event_harm(counts[::-1])
    assert straight.log_e == pytest.approx(reversed_.log_e, abs=1e-9)
    assert straight.n == sum(c.events_candidate + c.events_stable for c in counts)


@given(rows(most=1), st.integers(1, 50))
def test_more_events_in_the_candidate_are_more_evidence(
    counts: list[EventCounts], more: int
) -> None:
    """Moving events from stable to candidate raises "harm" and lowers "safe"."""
    if not counts:
        return
    row = counts[0]
    moved = min(more, row.events_stable, row.units_candidate - row.events_candidate)
    worse = EventCounts(
        row.share,
        row.events_candidate + moved,
        row.events_stable - moved,
        row.units_candidate,
        row.units_stable,
    )
    assert event_harm([worse]).log_e >= event_harm([row]).log_e - 1e-9
    assert event_safe([worse], 2.0).log_e <= event_safe([row], 2.0).log_e + 1e-9


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [EventCounts(0.05, 0, 0, 0, 0)],
        [EventCounts(0.05, 0, 0, 500, 9500)],
        [EventCounts(0.0, 0, 40, 0, 9500)],
        [EventCounts(1.0, 40, 0, 9500, 0)],
    ],
    ids=["no rows", "no units", "no events", "no candidate", "no stable"],
)
def test_what_cannot_tell_is_an_e_value_of_one(counts: list[EventCounts]) -> None:
    """No rows, no events, or one arm only say nothing about the ratio, in either direction."""
    for evidence in (event_harm(counts), event_safe(counts, 2.0), event_change(counts)):
        assert evidence.log_e == pytest.approx(0.0, abs=1e-9)
        assert not evidence.shown
    ratio = event_ratio(counts)
    assert (ratio.low, ratio.high) == (0.0, math.inf)


def test_the_planned_share_is_not_what_counts() -> None:
    """Events are judged by the units that were really seen: lost units are no lost safety."""
    planned, other = EventCounts(0.05, 9, 90, 900, 9100), EventCounts(0.5, 9, 90, 900, 9100)
    assert event_harm([planned]).log_e == event_harm([other]).log_e


@given(rows(), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_interval_is_what_the_e_processes_do_not_exclude(
    counts: list[EventCounts], alpha: float
) -> None:
    """A bound above 1 is shown harm at half of alpha; one below the limit is shown safety."""
    ratio = event_ratio(counts, alpha=alpha)
    assert (ratio.low > 1.0) == event_harm(counts, alpha=alpha / 2).shown
    assert (ratio.high < 2.0) == event_safe(counts, 2.0, alpha=alpha / 2).shown
    if not math.isnan(ratio.value):
        assert ratio.low <= ratio.value <= ratio.high


def test_the_most_likely_ratio_of_one_row_is_the_ratio_of_rates() -> None:
    """In one row the estimate is the plain ratio of the two rates."""
    ratio = event_ratio([EventCounts(0.05, 9, 50, 600, 11_400)])
    assert ratio.value == pytest.approx((9 / 600) / (50 / 11_400))


@pytest.mark.parametrize(
    "counts",
    [
        (0.05, -1, 0, 10, 10),
        (0.05, math.nan, 0, 10, 10),
        (0.05, 0, math.inf, 10, 10),
        (0.05, 0.5, 0, 10, 10),
        (0.05, 11, 0, 10, 10),
        (1.05, 1, 0, 10, 10),
        (math.nan, 1, 0, 10, 10),
    ],
)
def test_impossible_counts_are_refused(counts: tuple[float, ...]) -> None:
    """Negative, missing, infinite, fractional counts and more events than units are refused."""
    with pytest.raises(ValueError, match=r"count|exceed|share"):
        EventCounts(*counts)  # type: ignore[arg-type]


@pytest.mark.parametrize("ratios", [(), (1.0,), (0.5, 2.0), (math.nan,), (math.inf,)])
def test_alternatives_must_be_worse(ratios: tuple[float, ...]) -> None:
    """Ratios that are not above 1 are no alternatives."""
    with pytest.raises(ValueError, match="ratios"):
        event_harm(COUNTS, ratios=ratios)


@pytest.mark.parametrize("largest", [1.0, 0.0, math.nan, math.inf])
def test_the_tolerated_ratio_must_exceed_one(largest: float) -> None:
    """A tolerated ratio of 1 or less could never be shown to hold."""
    with pytest.raises(ValueError, match="largest ratio"):
        event_safe(COUNTS, largest)
