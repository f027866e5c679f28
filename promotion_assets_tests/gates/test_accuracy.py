"""The accuracy gate: minimum, improvement, suspicion, claims, and a budget that is spent."""

from __future__ import annotations

import dataclasses

import pytest
from sklearn.metrics import roc_auc_score

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.accuracy import AccuracySettings
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.logged import claims
from promotion_assets_tests import evidence as make

FIRST = {"accept": "absolute", "reason": "nothing has served before"}


def logged(**metrics: float) -> Evidence:
    """Return evidence whose author logged ``metrics``."""
    return make.evidence(candidate=make.candidate(logged_metrics=metrics))


def test_figures_are_scikit_learns() -> None:
    """AUC, the champion's AUC and the improvement are what scikit-learn computes."""
    given = make.evidence()
    assert given.dataset is not None
    result = make.judge("accuracy", given, improvement=0.01)
    own = roc_auc_score(given.dataset.labels, given.candidate_scores.values)
    theirs = roc_auc_score(given.dataset.labels, given.champion_scores.values)
    assert result.outcome is Outcome.PASSED
    assert result.observed == pytest.approx(own)
    assert result.measurements[0].baseline == pytest.approx(theirs)
    assert result.measurements[1].observed == pytest.approx(own - theirs)
    assert result.interval is not None
    assert result.interval.low < own < result.interval.high
    assert result.sample_size == 4000


def test_below_the_minimum_fails() -> None:
    """A model below the absolute minimum fails, though it beats its champion."""
    result = make.judge("accuracy", make.evidence(), minimum=0.95)
    assert result.outcome is Outcome.FAILED
    assert result.limit == 0.95
    assert "at least 0.95" in result.reason


def test_no_better_than_the_champion_fails() -> None:
    """The champion itself, registered again, is no improvement."""
    given = make.evidence(strength=1.6, champion_strength=1.6)
    result = make.judge("accuracy", given, minimum=0.5)
    assert result.outcome is Outcome.FAILED
    assert "champion version 1" in result.reason


def test_point_takes_what_the_bound_does_not() -> None:
    """A small improvement passes on its point and is inconclusive on its bound."""
    given = make.evidence(truth=make.labels(400), strength=1.65, champion_strength=1.6)
    other = make.answers_of(given.dataset.labels, 1.55, seed=12)
    given = dataclasses.replace(given, champion_scores=make.scores(other, given.champion))
    point = make.judge("accuracy", given, minimum=0.5, improvement=0.0001)
    bound = make.judge("accuracy", given, minimum=0.5, improvement=0.0001, decide_on="lower_bound")
    difference = point.measurements[1].observed
    assert difference > 0.0001
    assert point.outcome is Outcome.PASSED
    assert bound.outcome is Outcome.INCONCLUSIVE
    assert bound.needed_sample_size is not None
    assert bound.needed_sample_size > 400


def test_non_inferiority_is_decided_on_the_bound() -> None:
    """A negative margin asks for proof, whatever decide_on says."""
    small = make.evidence(truth=make.labels(150), strength=1.6, champion_strength=1.6)
    other = make.answers_of(small.dataset.labels, 1.6, seed=99)
    small = dataclasses.replace(small, champion_scores=make.scores(other, small.champion))
    large = make.evidence(strength=1.6, champion_strength=1.6)
    settings = {"minimum": 0.5, "improvement": -0.05, "suspicious_above": None}
    assert make.judge("accuracy", large, **settings).outcome is Outcome.PASSED
    result = make.judge("accuracy", small, **settings)
    improvement = result.measurements[1]
    assert improvement.observed > -0.05
    assert improvement.interval.low < -0.05
    assert result.outcome is Outcome.INCONCLUSIVE


def test_too_good_to_be_true_fails() -> None:
    """A leap over the champion fails, and asks for the leak."""
    given = make.evidence(strength=5.0, champion_strength=0.5)
    result = make.judge("accuracy", given)
    assert result.outcome is Outcome.FAILED
    assert "too good to be true" in result.reason
    assert "leak" in result.reason


@pytest.mark.parametrize("name", ["auc", "roc_auc", "eval_auc", "test_roc_auc", "val/AUC"])
def test_a_claim_above_what_was_measured_fails(name: str) -> None:
    """An author who logged .98 where .88 is measured fails, under any usual name."""
    result = make.judge("accuracy", logged(**{name: 0.98}))
    assert result.outcome is Outcome.FAILED
    assert f"logged {name} 0.98" in result.reason
    assert "measured roc_auc is 0.8" in result.reason


def test_a_claim_that_is_no_number_fails() -> None:
    """A NaN as logged metric is not believed."""
    assert make.judge("accuracy", logged(auc=float("nan"))).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "metrics", [{"auc": 0.885}, {"auc": 0.5}, {"training_roc_auc": 0.999}, {"f1": 0.99}, {}]
)
def test_an_honest_claim_passes(metrics: dict[str, float]) -> None:
    """Close, modest, training and other metrics are no claim too much."""
    assert make.judge("accuracy", logged(**metrics)).outcome is Outcome.PASSED


def test_a_claim_can_be_reported_only() -> None:
    """With on_logged_mismatch: report the claim is shown and does not decide."""
    result = make.judge("accuracy", logged(auc=0.99), on_logged_mismatch="report")
    assert result.outcome is Outcome.PASSED
    assert [m.subject for m in result.measurements if m.name == "logged_minus_measured"] == ["auc"]


def test_a_logged_loss_is_compared_with_its_sign_turned() -> None:
    """People log log_loss, the scorer is neg_log_loss: less is better for both."""
    found = claims("neg_log_loss", {"test_log_loss": 0.3, "neg_log_loss": -0.4})
    assert found == {"test_log_loss": -0.3, "neg_log_loss": -0.4}


def test_a_spent_budget_widens_and_decides_on_the_bound() -> None:
    """Past the holdout budget the interval is wider and its lower end decides."""
    policy = make.policy(holdout_budget=5)
    fresh = make.judge("accuracy", make.evidence(policy=policy, judged_before=4), minimum=0.875)
    spent = make.judge("accuracy", make.evidence(policy=policy, judged_before=5), minimum=0.875)
    assert fresh.outcome is Outcome.PASSED
    assert spent.outcome is Outcome.INCONCLUSIVE
    assert spent.interval.low < fresh.interval.low
    assert spent.interval.confidence == pytest.approx(1 - 0.05 / 6)
    assert "5 candidates were judged on these rows" in spent.reason


def test_without_champion_or_stanza_it_is_inconclusive() -> None:
    """The comparison is never silently skipped."""
    result = make.judge("accuracy", make.evidence(champion_strength=None))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "first_version" in result.reason


def test_a_first_version_is_judged_by_the_minimum_alone() -> None:
    """With the stanza the minimum decides, and the reason is recorded."""
    given = make.evidence(champion_strength=None, policy=make.policy(first_version=FIRST))
    result = make.judge("accuracy", given)
    assert result.outcome is Outcome.PASSED
    assert "first version" in result.reason
    assert result.details["first_version"] == FIRST["reason"]
    assert make.judge("accuracy", given, minimum=0.99).outcome is Outcome.FAILED


def test_a_first_version_without_a_minimum_is_not_judged() -> None:
    """Where nothing stands in for the comparison nothing passes."""
    given = make.evidence(champion_strength=None, policy=make.policy(first_version=FIRST))
    assert make.judge("accuracy", given, minimum=None).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"suspicious_above": 0.01, "improvement": 0.02}, "suspicious_above 0.01 is not above"),
        ({"minimum": 1.2}, "minimum 1.2 is above 1"),
        ({"minimum": None, "improvement": None}, "nothing would be judged"),
        ({"metric": "neg_mean_squared_error"}, "no default for minimum and improvement"),
        ({"minimum": float("nan")}, "finite"),
    ],
)
def test_contradictory_settings_are_refused(values: dict[str, object], words: str) -> None:
    """Limits that no candidate could meet, or that judge nothing, are an error of the policy."""
    with pytest.raises(ValueError, match=words):
        AccuracySettings.model_validate(values)


def test_an_error_measure_has_no_suspicious_default() -> None:
    """The defaults of metrics within 1 are not held against an error in euros."""
    values = {"metric": "neg_mean_absolute_error", "minimum": -300, "improvement": 5}
    assert AccuracySettings.model_validate(values).suspicious_above is None


def test_settings_must_fit_the_policy() -> None:
    """A metric of another task is a contradiction of the policy, not a surprise at run time."""
    regression = make.policy(task="regression")
    assert "does not fit a regression model" in AccuracySettings().contradictions(regression)[0]
    assert AccuracySettings().contradictions(make.policy()) == ()
