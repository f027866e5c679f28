"""Latency: whose clock, whose turn, how many samples, how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from promotion_assets.evaluation.latency import (
    MIN_SAMPLES,
    LatencyPlan,
    Measured,
    cpu_name,
    measure_latency,
)
from promotion_assets.evaluation.scores import LatencySample, Scores, ScoringFailure
from promotion_assets.evaluation.session import Session
from promotion_assets.policy.model import Sandbox
from promotion_assets_tests.evaluation.logged import Logged

QUICK = LatencyPlan(requests=40, warmup=4, batch_rows=10, batch_requests=32, budget_seconds=20)
SLEEP_MS = 20.0


@pytest.fixture(scope="module")
def pair(logged: Logged) -> Iterator[tuple[Session, Session]]:
    """Two processes of the same model, which is as slow as its input says."""
    limits = Sandbox(wall_seconds=60, threads=2)
    with (
        logged.open("moody", allow_pickle=True, limits=limits) as first,
        logged.open("moody", allow_pickle=True, limits=limits) as second,
    ):
        assert first.load() is None
        assert second.load() is None
        yield first, second


def in_a_mood(mood: str, rows: int = 50) -> pd.DataFrame:
    """Return features that tell the moody model what to do."""
    return pd.DataFrame({"x": np.linspace(0, 1, rows), "mood": mood})


def samples(measured: Measured | None) -> tuple[LatencySample, LatencySample]:
    """Return the single-row and the batch sample."""
    assert isinstance(measured, tuple), measured
    single, batch = measured
    return single, batch


def test_both_models_answer_as_often_in_turns(pair: tuple[Session, Session]) -> None:
    """Each gives all requests, single rows and batches, marked with how they were measured."""
    measured = measure_latency(*pair, in_a_mood("fine"), QUICK)
    for one in measured:
        single, batch = samples(one)
        assert (single.rows, len(single.milliseconds)) == (1, 40)
        assert (batch.rows, len(batch.milliseconds)) == (10, 32)
        for sample in (single, batch):
            assert sample.interleaved
            assert (sample.threads, sample.concurrency, sample.cpu) == (2, 1, cpu_name())
            assert (sample.milliseconds > 0).all()


def test_the_time_is_the_models(pair: tuple[Session, Session]) -> None:
    """A model that takes 20 ms is measured at no less, and what is added is small."""
    slow, _ = measure_latency(*pair, in_a_mood("slow"), QUICK)
    fast, _ = measure_latency(*pair, in_a_mood("fine"), QUICK)
    slow_single, fast_single = samples(slow)[0], samples(fast)[0]
    assert slow_single.milliseconds.min() >= SLEEP_MS
    # The quickest of forty, because a busy host can only add.
    difference = slow_single.milliseconds.min() - fast_single.milliseconds.min()
    assert difference == pytest.approx(SLEEP_MS, abs=10)


def test_a_slow_model_keeps_to_the_budget_and_its_least_samples(
    pair: tuple[Session, Session],
) -> None:
    """Out of time, measuring stops, yet not before there is enough to judge by."""
    plan = replace(QUICK, requests=500, warmup=50, batch_requests=500, budget_seconds=0.5)
    began = time.monotonic()
    measured = measure_latency(*pair, in_a_mood("slow"), plan)
    took = time.monotonic() - began
    for one in measured:
        for sample in samples(one):
            assert MIN_SAMPLES <= len(sample.milliseconds) < 60
    least = 2 * 2 * MIN_SAMPLES * SLEEP_MS / 1000
    assert least <= took < 500 * 2 * SLEEP_MS / 1000


def test_requests_under_way_at_once_wait_for_each_other_or_not(
    pair: tuple[Session, Session],
) -> None:
    """Four places in the queue hold four requests: sleeping ones overlap and stay at 20 ms."""
    plan = replace(QUICK, concurrency=4, requests=48, batch_rows=1)
    measured, _ = measure_latency(*pair, in_a_mood("slow"), plan)
    assert isinstance(measured, tuple)
    (single,) = measured
    assert (single.concurrency, len(single.milliseconds)) == (4, 48)
    assert single.milliseconds.min() >= SLEEP_MS
    # Answered one after the other, all but three of a burst of 16 would wait for three others.
    assert np.quantile(single.milliseconds, 0.25) < 3 * SLEEP_MS


def test_without_a_champion_the_candidate_is_measured_alone(pair: tuple[Session, Session]) -> None:
    """No champion is said so: nothing for it, and nothing interleaved."""
    measured, champion = measure_latency(pair[0], None, in_a_mood("fine"), QUICK)
    assert champion is None
    assert not samples(measured)[0].interleaved


def test_a_useless_answer_is_no_fast_answer(pair: tuple[Session, Session]) -> None:
    """Timed answers are judged like scores; the other model is still measured."""
    measured, other = measure_latency(*pair, in_a_mood("strings"), QUICK)
    assert isinstance(measured, ScoringFailure)
    assert measured.kind == "not_numeric"
    assert isinstance(other, ScoringFailure)
    again, _ = measure_latency(*pair, in_a_mood("fine"), QUICK)
    assert isinstance(again, tuple)


def test_a_failing_champion_leaves_the_candidate_measured(
    logged: Logged, pair: tuple[Session, Session]
) -> None:
    """What could not be had of the champion is its failure alone, and shown in the sample."""
    with logged.open("moody") as champion:
        measured, failure = measure_latency(pair[0], champion, in_a_mood("fine"), QUICK)
    assert isinstance(failure, ScoringFailure)
    assert failure.kind == "not_loaded"
    assert len(samples(measured)[0].milliseconds) == 40
    assert not samples(measured)[0].interleaved


def test_no_rows_are_no_measurement(pair: tuple[Session, Session]) -> None:
    """An empty dataset is a failure of both, not an empty sample."""
    measured, champion = measure_latency(*pair, in_a_mood("fine", rows=0), QUICK)
    assert isinstance(measured, ScoringFailure)
    assert isinstance(champion, ScoringFailure)


def test_fewer_rows_than_requests_are_drawn_again(pair: tuple[Session, Session]) -> None:
    """A small dataset suffices for many requests."""
    measured, _ = measure_latency(*pair, in_a_mood("fine", rows=3), QUICK)
    assert len(samples(measured)[0].milliseconds) == 40


def test_scores_and_latency_come_from_one_process(pair: tuple[Session, Session]) -> None:
    """Measuring does not end the session: scores can be had before and after."""
    for _ in range(2):
        assert isinstance(pair[0].score(in_a_mood("fine"), dataset_digest="d" * 64), Scores)
        measure_latency(*pair, in_a_mood("fine"), QUICK)
