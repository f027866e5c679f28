"""The latency gate: quantiles against budgets, and against the champion's."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import LatencySample
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.latency import LatencySettings
from promotion_assets_tests import evidence as make


def timed(*samples: LatencySample, **changes: object) -> Evidence:
    """Return evidence with these samples of the candidate."""
    return make.evidence(candidate_latency=samples, **changes)


def test_figures_are_the_samples_quantiles() -> None:
    """p95 of one row is numpy's, inside its interval, and all quantiles are reported."""
    sample = make.latency()
    result = make.judge("latency", timed(sample))
    assert result.outcome is Outcome.PASSED
    assert result.observed == pytest.approx(np.quantile(sample.milliseconds, 0.95))
    assert result.interval is not None
    assert result.interval.low < result.observed < result.interval.high
    assert {m.name for m in result.measurements} >= {"p50_ms", "p95_ms", "p99_ms"}


def test_a_slow_model_fails() -> None:
    """A p95 above the budget fails, with both figures."""
    result = make.judge("latency", timed(make.latency(60.0)))
    assert result.outcome is Outcome.FAILED
    assert "p95 of one row is" in result.reason
    assert "at most 50 ms" in result.reason


def test_thirty_requests_are_enough_to_stop_a_slow_model() -> None:
    """A model that is too slow to be asked often is still failed, not inconclusive."""
    assert make.judge("latency", timed(make.latency(500.0, 30))).outcome is Outcome.FAILED


def test_too_few_requests_are_inconclusive() -> None:
    """A dozen requests say nothing about a p95."""
    result = make.judge("latency", timed(make.latency(requests=12)))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.needed_sample_size == 30


@pytest.mark.parametrize("times", [[], [1.0, np.nan], [1.0, -0.5], [np.inf]])
def test_times_that_are_none_do_not_pass(times: list[float]) -> None:
    """Samples without a time, with one that is no number, or one below zero, are an error."""
    odd = make.latency(milliseconds=np.array(times, dtype=np.float64))
    result = make.judge("latency", timed(make.latency(), odd))
    assert result.outcome is Outcome.ERROR
    assert "are empty, negative or not numbers" in result.reason


def test_upper_bound_asks_for_more_requests() -> None:
    """With decide_on: upper_bound an open interval says how many requests would bound it."""
    result = make.judge("latency", timed(make.latency(requests=40)), decide_on="upper_bound")
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.needed_sample_size == 72
    enough = make.judge("latency", timed(make.latency(requests=400)), decide_on="upper_bound")
    assert enough.outcome is Outcome.PASSED


def test_batches_have_budgets_of_their_own() -> None:
    """A batch is held against its own budget, a single row against the other."""
    samples = (make.latency(10.0), make.latency(80.0, rows=100))
    assert make.judge("latency", timed(*samples)).outcome is Outcome.PASSED
    result = make.judge("latency", timed(*samples), batch_p95_ms=60)
    assert result.outcome is Outcome.FAILED
    assert "100 rows" in result.reason


@pytest.mark.parametrize("settings", [{"batch_p95_ms": 60}, {"batch_p50_ms": 60}])
def test_a_budget_for_what_was_not_timed_is_an_error(settings: dict[str, int]) -> None:
    """A budget for batches that nobody timed is never a pass."""
    result = make.judge("latency", timed(make.latency()), **settings)
    assert result.outcome is Outcome.ERROR
    assert "was not timed" in result.reason


def test_load_is_judged_as_well() -> None:
    """A sample at a concurrency is held against the budget too."""
    samples = (make.latency(10.0), make.latency(90.0, concurrency=8))
    result = make.judge("latency", timed(*samples))
    assert result.outcome is Outcome.FAILED
    assert "one row at concurrency 8" in result.reason


def test_the_ratio_to_the_champion_is_limited() -> None:
    """Twice the champion's p95 fails a ratio of 1.5 and passes one of 3."""
    given = timed(make.latency(20.0), champion_latency=(make.latency(10.0, seed=9),))
    failed = make.judge("latency", given, max_ratio_to_champion=1.5)
    assert failed.outcome is Outcome.FAILED
    assert "over the champion's" in failed.reason
    assert make.judge("latency", given, max_ratio_to_champion=3).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "change", [{"interleaved": False}, {"threads": 4}, {"concurrency": 2}, {"rows": 50}]
)
def test_a_ratio_needs_the_same_conditions(change: dict[str, object]) -> None:
    """A champion that was timed otherwise is not compared with."""
    given = timed(make.latency(), champion_latency=(make.latency(**change),))
    result = make.judge("latency", given, max_ratio_to_champion=2)
    assert result.outcome is Outcome.ERROR
    assert "same conditions" in result.reason


def test_a_ratio_without_a_champion_is_inconclusive_or_a_first_version() -> None:
    """Without champion the ratio stops, unless the policy says what stands in."""
    first = {"accept": "absolute", "reason": "nothing has served before"}
    alone = make.evidence(champion_strength=None, champion_latency=None)
    assert make.judge("latency", alone, max_ratio_to_champion=2).outcome is Outcome.INCONCLUSIVE
    accepted = make.evidence(
        champion_strength=None, champion_latency=None, policy=make.policy(first_version=first)
    )
    assert make.judge("latency", accepted, max_ratio_to_champion=2).outcome is Outcome.PASSED


def test_conditions_are_recorded() -> None:
    """Threads and processor are in the result: a figure without them means nothing."""
    result = make.judge("latency", timed(make.latency()))
    assert result.details["conditions"][0]["threads"] == 1
    assert result.details["conditions"][0]["cpu"] == "test"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"p50_ms": 80}, "p50_ms 80.0 is above p95_ms 50.0"),
        ({"p95_ms": 50, "p99_ms": 40}, "p95_ms 50.0 is above p99_ms 40.0"),
        ({"p95_ms": None}, "nothing would be judged"),
        ({"p95_ms": 0}, "greater than 0"),
    ],
)
def test_contradictory_settings_are_refused(values: dict[str, object], words: str) -> None:
    """Budgets that contradict each other are an error of the policy."""
    with pytest.raises(ValueError, match=words):
        LatencySettings.model_validate(values)
