"""The challenger report: who is compared, what is recommended, and how often it errs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from promotion_assets.gates.contract import Outcome
from promotion_assets.policy.rollout import Experiment
from promotion_assets.rollout.challenger import ChallengerReport, challenger_report
from promotion_assets.rollout.labelled_pairs import Horizon
from promotion_assets.rollout.unit_outcomes import Trial, UnitOutcomes, losses, unit_outcomes
from promotion_assets_tests.rollout.shadows import (
    DAY_US,
    MODEL,
    NOW,
    batches,
    microseconds,
    outcome_frame,
)

SALT = "rollout:credit-risk:default:2@17"
BEGIN = microseconds(NOW - timedelta(days=60))
TRIAL = Trial("2", "1", SALT, ((BEGIN, 5000),))
HORIZON = Horizon(NOW, timedelta(days=30), timedelta(days=90))
EXPERIMENT = Experiment(shares=(0.5,), label_delay_days=30, minimum_units=200)


def exposures(
    scores: np.ndarray, candidate: np.ndarray, *, days: float = 60, **columns: Any
) -> pd.DataFrame:
    """One exposure a unit, evenly over the last ``days``."""
    n = len(scores)
    frame = pd.DataFrame(
        {
            "event_id": [f"exposure-{i}" for i in range(n)],
            "time_us": (microseconds(NOW) - np.linspace(days, 0.01, n) * DAY_US).astype(np.int64),
            "request_id": [f"request-{i}" for i in range(n)],
            "model": MODEL,
            "segment": "default",
            "salt": SALT,
            "unit": [f"unit-{i}" for i in range(n)],
            "model_label": np.where(candidate, "candidate", "stable"),
            "version": np.where(candidate, "2", "1"),
            "prediction": "",
            "score": scores,
        }
    )
    return frame.assign(**columns)


def world(
    n: int, seed: int, *, better: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Exposures and outcomes of ``n`` units; the candidate's scores hold ``better`` more truth."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(float)
    candidate = rng.random(n) < 0.5
    told = 0.2 + better * candidate
    scores = np.clip(told * labels + (1 - told) * rng.beta(2, 4, n), 0, 1)
    frame = exposures(scores, candidate)
    return frame, outcome_frame(frame, labels, after_days=20), labels


def joined(frame: pd.DataFrame, outcomes: pd.DataFrame, trial: Trial = TRIAL) -> UnitOutcomes:
    """Units with their outcomes."""
    return unit_outcomes(batches(frame, "exposure"), batches(outcomes, "outcome"), trial, HORIZON)


def report(
    frame: pd.DataFrame, outcomes: pd.DataFrame, experiment: Experiment = EXPERIMENT, **trial: Any
) -> ChallengerReport:
    """The report on these units."""
    found = joined(frame, outcomes, Trial(**{**vars(TRIAL), **trial}))
    return challenger_report(MODEL, "default", found, experiment, NOW)


def test_a_better_candidate_is_recommended_and_a_worse_one_is_not() -> None:
    """The recommendation follows the interval, names the version and gives the margin."""
    better = report(*world(8000, 1, better=0.5)[:2])
    assert better.recommendation == "promote"
    assert better.result.reason.startswith("promote version 2: the candidate's Brier score less")
    assert better.result.outcome is Outcome.PASSED
    worse = report(*world(8000, 2, better=-0.2)[:2])
    assert worse.recommendation == "keep"
    assert worse.result.reason.startswith("keep version 1: ")


def test_what_cannot_be_told_goes_on() -> None:
    """Two versions alike give no recommendation, and the smallest effect that would show."""
    made = report(*world(4000, 3)[:2])
    assert made.recommendation == "go on"
    assert made.detectable_now is not None
    assert made.detectable_later is not None
    assert made.detectable_later < made.detectable_now


def test_the_effect_is_a_difference_of_scikit_learns_scores() -> None:
    """Brier score and log loss of either arm's matured units are scikit-learn's."""
    frame, outcomes, labels = world(4000, 4, better=0.3)
    made = report(frame, outcomes)
    matured = frame["time_us"].to_numpy() <= microseconds(NOW - timedelta(days=30))
    arms = [matured & (frame["version"] == v).to_numpy() for v in ("2", "1")]
    scores = [brier_score_loss(labels[arm], frame["score"][arm]) for arm in arms]
    assert [arm.loss for arm in made.arms] == pytest.approx(scores)
    assert made.effect.observed == pytest.approx(scores[0] - scores[1])
    assert [arm.known for arm in made.arms] == [int(arm.sum()) for arm in arms]
    pairs = pd.DataFrame({"score": frame["score"], "label": labels})
    clipped = np.clip(pairs["score"], 0.001, 0.999)
    assert losses(pairs, "log_loss").mean() == pytest.approx(log_loss(labels, clipped))
    wrong = ((pairs["score"] >= 0.5) != (labels == 1)).mean()
    assert losses(pairs, "accuracy").mean() == pytest.approx(wrong)


def test_immature_labels_are_never_counted() -> None:
    """However bad the candidate looks by the labels of young units, they change nothing."""
    frame, outcomes, _ = world(6000, 5, better=0.4)
    young = frame["time_us"] > microseconds(NOW - timedelta(days=30))
    early = outcomes.assign(time_us=frame["time_us"] + 1000, observed_us=frame["time_us"] + 1000)
    harmful = young & (frame["version"] == "2")
    early.loc[harmful, "label"] = 1.0
    frame = frame.assign(score=frame["score"].where(~harmful, 0.0))
    with_early, without = report(frame, early), report(frame, early[~young])
    assert with_early.effect == without.effect
    assert with_early.recommendation == "promote"
    assert with_early.immature == int(young.sum())


def test_labels_so_far_favour_whoever_answers_the_quick_ones() -> None:
    """Where failures show in a day and successes in thirty, what is known now is no fair sample.

    Both versions have the same error rate; one errs on failures, the other on successes. By the
    labels that happen to be there the difference is found nearly always; the matured cohort's
    interval holds 0 at least as often as it says.
    """
    rng = np.random.default_rng(93)
    naive = matured = 0
    runs, n = 20, 3000
    for _ in range(runs):
        fails = rng.random(n) < 0.5
        candidate = rng.random(n) < 0.5
        right = rng.random(n) < np.where(fails == candidate, 0.85, 0.55)
        frame = exposures(np.where(right == fails, 0.9, 0.1), candidate)
        outcomes = outcome_frame(frame, fails, after_days=np.where(fails, 1.0, 29.9))
        made = report(frame, outcomes, EXPERIMENT.model_copy(update={"metric": "accuracy"}))
        interval = made.effect.interval
        matured += interval is not None and not interval.low <= 0 <= interval.high
        known = (outcomes["time_us"] <= microseconds(NOW)).to_numpy()
        rates = [right[known & (candidate == arm)] for arm in (True, False)]
        error = np.sqrt(sum(r.var() / len(r) for r in rates))
        naive += abs(rates[0].mean() - rates[1].mean()) > 1.96 * error
    assert naive / runs > 0.9
    assert matured <= 2


def test_arms_that_did_not_get_their_share_are_not_compared() -> None:
    """A broken assignment is found, and nothing is recommended from it."""
    frame, outcomes, _ = world(8000, 6, better=0.5)
    made = report(frame, outcomes, periods=((BEGIN, 2000),))
    assert made.recommendation == "go on"
    assert "did not get the units that were planned" in made.result.reason


def test_arms_whose_outcomes_are_known_unlike_are_not_compared() -> None:
    """Where the candidate's outcomes are missing more often, the rest is no fair comparison."""
    frame, outcomes, _ = world(8000, 7, better=0.5)
    lost = (frame["version"] == "2") & (np.arange(len(frame)) % 3 == 0)
    made = report(frame, outcomes[~lost])
    assert made.recommendation == "go on"
    assert "so the arms cannot be compared" in made.result.reason


def test_selective_labels_are_warned_of() -> None:
    """Outcomes that are seen only of those whom a version accepted are called out by version."""
    frame, outcomes, _ = world(8000, 8, better=0.5)
    refused = (frame["score"] >= 0.5) & (np.arange(len(frame)) % 10 > 0)
    made = report(frame, outcomes[~refused.to_numpy()])
    assert any("selective labels: under version 2" in warning for warning in made.warnings)
    assert any("selective labels: under version 1" in warning for warning in made.warnings)


def test_a_unit_counts_once_by_its_first_answer() -> None:
    """Later answers change nothing; going over under one share is called out, growth is not."""
    frame, outcomes, _ = world(4000, 9)
    once = report(frame, outcomes)
    again = frame.head(100).assign(
        event_id=[f"again-{i}" for i in range(100)],
        request_id=[f"second-{i}" for i in range(100)],
        time_us=microseconds(NOW - timedelta(days=2)),
        version=np.where(frame["version"].head(100) == "1", "2", "1"),
    )
    twice = report(pd.concat([frame, again]), outcomes)
    assert (twice.effect, twice.arms) == (once.effect, once.arms)
    assert (once.crossed, twice.crossed) == (0, 100)
    grown = again[again["version"] == "2"]
    later = ((BEGIN, 5000), (microseconds(NOW - timedelta(days=3)), 9000))
    assert joined(pd.concat([frame, grown]), outcomes, Trial("2", "1", SALT, later)).crossed == 0


def test_others_are_not_of_the_experiment() -> None:
    """Another salt, another version, no unit, or a time before the start: left out."""
    frame, outcomes, _ = world(1000, 10)
    for columns in (
        {"salt": "another"},
        {"version": "7"},
        {"unit": ""},
        {"time_us": BEGIN - 1},
    ):
        found = joined(frame.assign(**columns), outcomes)
        assert len(found.frame) == 0
        made = challenger_report(MODEL, "default", found, EXPERIMENT, NOW)
        assert (made.recommendation, made.effect.observed) == ("go on", None)


def test_too_few_units_recommend_nothing() -> None:
    """Below the policy's minimum there is no recommendation, whatever the difference."""
    made = report(*world(500, 11, better=0.7)[:2])
    assert made.recommendation == "go on"
    assert "matured units with an outcome in the smaller arm, of 200" in made.result.reason


def test_a_planned_experiment_shows_its_power() -> None:
    """With planned units the chance that the looks to come show something is given."""
    frame, outcomes, _ = world(4000, 12, better=0.1)
    planned = EXPERIMENT.model_copy(update={"planned_units": 3000, "margin": 0.01})
    made = report(frame, outcomes, planned)
    assert made.power_planned is not None
    assert made.power_trend is not None
    assert 0 <= made.power_trend <= 1
    assert "planned analysis" in made.result.details
    assert report(frame, outcomes).power_planned is None


def test_a_base_that_moves_with_the_share_cancels() -> None:
    """When the share grows while everybody gets worse, no arm is blamed for it."""
    rng = np.random.default_rng(13)
    n = 12_000
    late = np.arange(n) >= n // 2
    candidate = rng.random(n) < np.where(late, 0.5, 0.05)
    labels = (rng.random(n) < np.where(late, 0.6, 0.1)).astype(float)
    frame = exposures(np.full(n, 0.1) + 0.01 * rng.random(n), candidate, days=60)
    frame["time_us"] = (microseconds(NOW) - np.linspace(60, 31, n) * DAY_US).astype(np.int64)
    outcomes = outcome_frame(frame, labels, after_days=20)
    half = int(frame["time_us"].iloc[n // 2])
    made = report(frame, outcomes, periods=((BEGIN, 500), (half, 5000)))
    interval = made.effect.interval
    assert interval is not None
    assert interval.low <= 0 <= interval.high
    arms = [labels[candidate].mean(), labels[~candidate].mean()]
    assert arms[0] - arms[1] > 0.1
