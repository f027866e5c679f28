"""The shadow report: its verdict, and every number a second time by another library."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ks_2samp, spearmanr, wasserstein_distance
from sklearn.metrics import brier_score_loss, confusion_matrix, roc_auc_score

from promotion_assets.gates.contract import Measurement, Outcome
from promotion_assets.policy.model import Group
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.labelled_pairs import Horizon, label_pairs
from promotion_assets.rollout.shadow_report import ShadowReport, report_on
from promotion_assets.rollout.shadow_tally import tally
from promotion_assets.rollout.shadow_text import as_text
from promotion_assets_tests.rollout.shadows import (
    NOW,
    RULES,
    SUBJECT,
    batches,
    outcome_frame,
    policy,
    shadow_frame,
)

WITH_GROUPS = replace(RULES, groups=(Group(column="EDUCATION", name="education"),))
COUNTED = {"pairs", "hours", "labelled_pairs"}


def traffic(n: int = 3000, seed: int = 1, *, noise: float = 0.02, **columns: Any) -> pd.DataFrame:
    """Requests that the shadow answers nearly as the champion does."""
    rng = np.random.default_rng(seed)
    one = rng.beta(2, 5, n)
    two = np.clip(one + rng.normal(0, noise, n), 0, 1)
    frame = shadow_frame(
        one,
        two,
        production_latency_ms=rng.gamma(4, 0.5, n),
        shadow_latency_ms=rng.gamma(4, 0.6, n),
        features=[json.dumps({"EDUCATION": int(v)}) for v in rng.integers(1, 4, n)],
    )
    return frame.assign(**columns)


def report(
    frame: pd.DataFrame,
    rules: ShadowPolicy | None = None,
    *,
    outcomes: pd.DataFrame | None = None,
    dropped: int = 0,
) -> ShadowReport:
    """The report on ``frame``."""
    asked = rules or policy()
    found = tally(batches(frame), WITH_GROUPS)
    labelled = None
    if outcomes is not None:
        horizon = Horizon(NOW, asked.label_delay, asked.outcome_window)
        labelled = label_pairs(found.sample, batches(outcomes, "outcome"), horizon, 0.5)
    return report_on(SUBJECT, found, asked, NOW, dropped=dropped, labelled=labelled)


def number(made: ShadowReport, name: str, subject: str = "overall") -> Measurement:
    """One number of a report."""
    (found,) = [m for m in made.result.measurements if (m.name, m.subject) == (name, subject)]
    return found


def test_a_shadow_that_answers_alike_passes_after_its_time() -> None:
    """Enough pairs over enough hours within all limits pass, and the report says how many."""
    made = report(traffic())
    assert made.passed, made.result.reason
    assert made.result.reason.startswith("3,000 pairs over 72 h: decided differently in ")


def test_no_traffic_is_inconclusive() -> None:
    """A shadow that nobody asked anything has shown nothing, and says so."""
    made = report(traffic().head(0))
    assert made.result.outcome is Outcome.INCONCLUSIVE
    assert "no traffic says nothing" in made.result.reason
    assert (made.first, made.last, made.pairs) == (None, None, 0)


def test_only_failures_are_no_traffic_either() -> None:
    """A shadow that never answered fails by its errors, and has no pairs."""
    made = report(traffic(outcome="crashed", shadow_score=np.nan, error="it exited"))
    assert (made.result.outcome, made.pairs) == (Outcome.FAILED, 0)
    assert made.result.details["errors"] == [{"error": "it exited", "times": 3000}]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.floats(0.1, 200), st.integers(1, 400), st.floats(1, 200))
def test_nothing_passes_before_its_time_or_its_pairs(
    pairs: int, hours: float, needed: int, minimum: float
) -> None:
    """Whatever else is well, less time or fewer pairs than the policy asks for never pass."""
    frame = shadow_frame(np.linspace(0, 1, pairs), np.linspace(0, 1, pairs), hours=hours)
    asked = policy(minimum_pairs=needed, minimum_hours=minimum)
    made = report(frame, asked)
    seen = timedelta(microseconds=int(frame["time_us"].max() - frame["time_us"].min()))
    if pairs < needed or seen < asked.minimum_time:
        assert not made.passed
    if made.passed:
        assert made.pairs >= needed
        assert made.result.outcome is Outcome.PASSED


def test_a_week_is_asked_for_where_days_differ() -> None:
    """``weekly`` makes it seven days; a number of hours in the policy goes before either."""
    assert policy().minimum_time == timedelta(hours=48)
    assert policy(weekly=True).minimum_time == timedelta(days=7)
    assert policy(weekly=True, minimum_hours=5).minimum_time == timedelta(hours=5)
    made = report(traffic(), policy(weekly=True))
    assert made.result.outcome is Outcome.INCONCLUSIVE
    assert "72.0 h from the first pair to the last, of 168 h" in made.result.reason


def test_decisions_are_those_of_a_confusion_matrix() -> None:
    """Disagreement and shift, in total and by group, are what scikit-learn counts."""
    frame = traffic(noise=0.2)
    made = report(frame, policy(limits={"shift": 0.5, "group_shift": 0.5, "disagreement": 0.9}))
    education = np.array([json.loads(text)["EDUCATION"] for text in frame["features"]])
    for subject, chosen in (
        ("overall", np.ones(len(frame), dtype=bool)),
        *((f"education={v}", education == v) for v in (1, 2, 3)),
    ):
        one, two = (frame[c][chosen] >= 0.5 for c in ("production_score", "shadow_score"))
        (_, up), (down, _) = confusion_matrix(one, two)
        shift = number(made, "shift" if subject == "overall" else "group_shift", subject)
        assert shift.observed == pytest.approx((up - down) / chosen.sum())
        assert shift.baseline == pytest.approx(one.mean())
        assert shift.sample_size == chosen.sum()
    share = number(made, "disagreement")
    one, two = frame["production_score"] >= 0.5, frame["shadow_score"] >= 0.5
    assert share.observed == pytest.approx((one != two).mean())
    bounds = binomtest(int((one != two).sum()), len(frame)).proportion_ci(method="wilson")
    assert (share.interval.low, share.interval.high) == pytest.approx(tuple(bounds))


def test_distances_ranks_and_quantiles_are_scipys_and_numpys() -> None:
    """KS, Wasserstein, rank correlation, PSI and quantiles agree with a second computation."""
    frame = traffic(noise=0.1)
    made = report(frame)
    one, two = (frame[c].to_numpy() for c in ("production_score", "shadow_score"))
    assert number(made, "ks").observed == pytest.approx(ks_2samp(one, two).statistic)
    assert number(made, "wasserstein").observed == pytest.approx(wasserstein_distance(one, two))
    assert number(made, "rank_correlation").observed == pytest.approx(spearmanr(one, two).statistic)
    for q in (5, 25, 50, 75, 95):
        measured = number(made, "score_quantile", f"p{q}")
        assert measured.observed == pytest.approx(np.quantile(two, q / 100), abs=1e-9)
        assert measured.baseline == pytest.approx(np.quantile(one, q / 100), abs=1e-9)
    cuts = [-np.inf, *np.quantile(one, np.arange(1, 10) / 10), np.inf]
    shares = [np.histogram(values, cuts)[0] / len(values) for values in (one, two)]
    plain = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    noise = 9 * 2 / len(frame)
    assert number(made, "psi").observed == pytest.approx(plain - noise, rel=0.02, abs=1e-4)
    slower = number(made, "latency_change", "p95")
    expected = np.quantile(frame["shadow_latency_ms"], 0.95) - np.quantile(
        frame["production_latency_ms"], 0.95
    )
    assert slower.observed == pytest.approx(expected)


def test_labels_are_compared_by_mcnemar_delong_and_brier() -> None:
    """Accuracy, AUC and Brier score on matured labels are scikit-learn's and SciPy's."""
    frame = traffic(noise=0.2)
    rng = np.random.default_rng(5)
    labels = rng.random(len(frame)) < frame["production_score"]
    made = report(frame, outcomes=outcome_frame(frame, labels, after_days=0.5))
    one, two = (frame[c].to_numpy() for c in ("production_score", "shadow_score"))
    assert number(made, "labelled_pairs").observed == len(frame)
    auc = number(made, "auc_change")
    assert auc.observed == pytest.approx(roc_auc_score(labels, two) - roc_auc_score(labels, one))
    brier = number(made, "brier_change")
    assert brier.observed == pytest.approx(
        brier_score_loss(labels, two) - brier_score_loss(labels, one)
    )
    right = [(scores >= 0.5) == labels for scores in (two, one)]
    accuracy = number(made, "accuracy_change")
    assert accuracy.observed == pytest.approx(right[0].mean() - right[1].mean())
    only = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    exact = binomtest(only[0], sum(only)).pvalue
    said = float(accuracy.reason.rsplit(" ", 1)[1])
    assert said <= exact * 1.01


def test_labels_that_show_harm_fail_it_and_few_labels_hold_nothing_up() -> None:
    """A worse AUC on matured labels fails; without labels the rest decides."""
    rng = np.random.default_rng(6)
    labels = rng.random(3000) < 0.3
    one = np.clip(0.3 * labels + rng.normal(0.3, 0.15, 3000), 0, 1)
    frame = shadow_frame(one, np.roll(one, 1))
    limits = {"disagreement": None, "shift": None, "group_shift": None}
    made = report(frame, policy(limits=limits), outcomes=outcome_frame(frame, labels))
    assert made.result.outcome is Outcome.FAILED
    assert "AUC on labelled pairs" in made.result.reason
    assert report(frame, policy(limits=limits)).passed


def test_one_harmed_group_fails_a_shadow_that_is_well_on_average() -> None:
    """In one group of four decisions move by a fifth: the average hides it, the group does not."""
    rng = np.random.default_rng(8)
    n = 4000
    education = rng.integers(1, 5, n)
    one = rng.uniform(0, 0.45, n)
    two = np.where((education == 3) & (rng.random(n) < 0.2), 0.9, one)
    frame = shadow_frame(one, two, features=[json.dumps({"EDUCATION": int(v)}) for v in education])
    made = report(frame, policy(limits={"shift": 0.1, "psi": None}))
    assert made.result.outcome is Outcome.FAILED
    assert "education=3" in made.result.reason
    assert number(made, "shift").outcome is Outcome.PASSED


def test_small_and_missing_groups_are_named_and_not_judged() -> None:
    """A group below the floor, and an attribute that no event carries, are said to be missing."""
    frame = traffic(600)
    frame["features"] = ['{"EDUCATION": 1}'] * 590 + ['{"EDUCATION": 2}'] * 10
    made = report(frame, policy(minimum_pairs=500))
    assert made.passed
    assert made.result.details["groups too small to judge"] == "education=2 (10 pairs)"
    bare = report(traffic(600, features=""), policy(minimum_pairs=500))
    assert bare.passed
    assert "not told apart by education" in bare.result.reason


@pytest.mark.parametrize(
    ("columns", "dropped", "outcome", "said"),
    [
        ({"shadow_latency_ms": 500.0}, 0, Outcome.FAILED, "p95 of one answer's time"),
        ({"shadow_score": 0.9}, 0, Outcome.FAILED, "decided differently"),
        ({}, 3000, Outcome.INCONCLUSIVE, "dropped before the shadow saw them"),
    ],
)
def test_a_broken_limit_is_named(
    columns: dict[str, Any], dropped: int, outcome: Outcome, said: str
) -> None:
    """Slow answers and other decisions fail; many drops leave it open what the rest would say."""
    made = report(traffic(**columns), dropped=dropped)
    assert made.result.outcome is outcome
    assert said in made.result.reason


def test_what_reaches_over_its_limit_waits_for_more_pairs() -> None:
    """An interval over the limit is inconclusive and says how many pairs would settle it."""
    frame = traffic(2000)
    flipped = np.arange(len(frame)) % 100 < 14
    frame.loc[flipped, "shadow_score"] = 0.5 + frame.loc[flipped, "production_score"] / 2
    made = report(frame, policy(limits={"shift": None, "group_shift": None, "psi": None}))
    share = number(made, "disagreement")
    assert (made.result.outcome, share.outcome) == (Outcome.INCONCLUSIVE,) * 2
    assert share.needed_sample_size is not None
    assert share.needed_sample_size > 2000


def test_every_estimate_has_an_interval_and_its_sample() -> None:
    """No number of a report stands without the pairs it was computed from."""
    frame = traffic()
    labels = np.arange(len(frame)) % 3 == 0
    made = report(frame, outcomes=outcome_frame(frame, labels))
    assert len(made.result.measurements) > 20
    for measured in made.result.measurements:
        assert measured.sample_size, measured.name
        assert measured.name in COUNTED or measured.interval is not None, measured.name


def test_the_report_is_pinned_by_its_content() -> None:
    """Read back it has the same digest, another number gives another one, and text shows all."""
    made = report(traffic())
    assert ShadowReport.model_validate_json(made.model_dump_json()).digest == made.digest
    assert made.model_copy(update={"pairs": 1}).digest != made.digest
    text = as_text(made)
    assert "credit-risk version 2 as the shadow of champion 1: passed" in text
    assert text.count("\n") > len(made.result.measurements)


def test_a_regression_has_no_decisions_and_its_labels_are_errors() -> None:
    """Numbers are compared by distribution, and on labels by their absolute error."""
    rng = np.random.default_rng(9)
    truth = rng.normal(100, 10, 2000)
    frame = shadow_frame(truth + rng.normal(0, 3, 2000), truth + rng.normal(0, 2, 2000))
    rules = replace(RULES, task="regression")
    found = tally(batches(frame), rules)
    asked = policy()
    horizon = Horizon(NOW, asked.label_delay, asked.outcome_window)
    told = batches(outcome_frame(frame, truth), "outcome")
    labelled = label_pairs(found.sample, told, horizon, 0.5)
    made = report_on(SUBJECT, found, asked, NOW, labelled=labelled)
    names = {m.name for m in made.result.measurements}
    assert not names & {"disagreement", "shift", "auc_change"}
    assert made.passed
    gap = number(made, "absolute_error_change")
    one, two = (abs(frame[c] - truth).mean() for c in ("production_score", "shadow_score"))
    assert gap.observed == pytest.approx(two - one)
