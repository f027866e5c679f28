"""Metrics by scorer name, held against scikit-learn's own computation."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import get_scorer

from promotion_assets.gates import fast_metrics
from promotion_assets.gates.metrics import (
    WITHIN_ONE,
    compare,
    estimate,
    metric_problem,
    predictions,
    scorer,
)

AVERAGED = [f"{m}_{a}" for m in fast_metrics.AVERAGED for a in fast_metrics.AVERAGES]
OF_PREDICTIONS = [*AVERAGED, "balanced_accuracy", "matthews_corrcoef"]


def truth_and_answers(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of a model that is often right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    raw = rng.random((rows, classes))
    raw[np.arange(rows), labels] += rng.random(rows)
    values = raw / raw.sum(axis=1, keepdims=True)
    return labels, values[:, 1] if classes == 2 else values


@pytest.mark.parametrize("metric", OF_PREDICTIONS)
@pytest.mark.parametrize(("task", "classes"), [("binary", 2), ("multiclass", 4)])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 40))
def test_fast_metrics_are_those_of_scikit_learn(
    metric: str, task: Literal["binary", "multiclass"], classes: int, seed: int, rows: int
) -> None:
    """A metric of predictions by counting equals scikit-learn's scorer."""
    labels, values = truth_and_answers(seed, rows, classes)
    fast = fast_metrics.of_predictions(metric, task, classes)
    assert fast is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scorer(metric, task, 0.5, classes)(labels, values)
    assert fast(labels, predictions(values, task, 0.5)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "metric", ["neg_root_mean_squared_error", "neg_median_absolute_error", "r2"]
)
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 40))
def test_fast_regression_metrics_are_those_of_scikit_learn(
    metric: str, seed: int, rows: int
) -> None:
    """A metric of numbers equals scikit-learn's scorer."""
    rng = np.random.default_rng(seed)
    labels, values = rng.normal(size=rows), rng.normal(size=rows)
    fast = fast_metrics.of_numbers(metric, "regression")
    assert fast is not None
    expected = scorer(metric, "regression", 0.5, 2)(labels, values)
    assert fast(labels, values) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 40), digits=st.integers(1, 3))
def test_fast_average_precision_is_that_of_scikit_learn(seed: int, rows: int, digits: int) -> None:
    """Average precision equals scikit-learn's, with ties and without positives too."""
    labels, values = truth_and_answers(seed, rows, 2)
    values = np.round(values, digits)
    fast = fast_metrics.of_probabilities("average_precision", "binary")
    assert fast is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scorer("average_precision", "binary", 0.5, 2)(labels, values)
    assert fast(labels, values) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["roc_auc_ovr", "roc_auc_ovr_weighted"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(20, 40))
def test_fast_one_against_rest_is_that_of_scikit_learn(metric: str, seed: int, rows: int) -> None:
    """The AUC of each class against the rest equals scikit-learn's, ties and lost classes too."""
    labels, values = truth_and_answers(seed, rows, 3)
    values = np.round(values, 2)
    values[:, 0] = 1 - values[:, 1] - values[:, 2]
    fast = fast_metrics.of_probabilities(metric, "multiclass")
    assert fast is not None
    expected = scorer(metric, "multiclass", 0.5, 3)(labels, values)
    assert fast(labels, values) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("metric", "task", "classes"),
    [
        ("roc_auc", "binary", 2),
        ("accuracy", "binary", 2),
        ("neg_brier_score", "binary", 2),
        ("neg_log_loss", "binary", 2),
        ("average_precision", "binary", 2),
        ("f1", "binary", 2),
        ("accuracy", "multiclass", 3),
        ("neg_log_loss", "multiclass", 3),
        ("f1_macro", "multiclass", 3),
        ("roc_auc_ovr", "multiclass", 3),
    ],
)
def test_the_estimate_is_the_scorers_value_inside_its_interval(
    metric: str, task: Literal["binary", "multiclass"], classes: int
) -> None:
    """The point estimate is scikit-learn's, and the difference is that of both."""
    labels, values = truth_and_answers(1, 300, classes)
    _, other = truth_and_answers(2, 300, classes)
    measure = scorer(metric, task, 0.5, classes)
    found = estimate(metric, labels, values, task=task, resamples=100)
    assert found.value == pytest.approx(measure(labels, values), abs=1e-9)
    assert found.low < found.value < found.high
    gap = compare(metric, labels, values, other, task=task, resamples=100)
    expected = measure(labels, values) - measure(labels, other)
    assert gap.difference == pytest.approx(expected, abs=1e-9)
    assert gap.low < gap.difference < gap.high


def test_a_regression_is_measured_by_its_errors() -> None:
    """Absolute and squared errors have Student's interval around scikit-learn's value."""
    rng = np.random.default_rng(0)
    labels = rng.normal(size=200)
    values = labels + rng.normal(scale=0.3, size=200)
    for metric in ("neg_mean_absolute_error", "neg_mean_squared_error", "r2"):
        found = estimate(metric, labels, values, task="regression", resamples=100)
        expected = scorer(metric, "regression", 0.5, 2)(labels, values)
        assert found.value == pytest.approx(expected, abs=1e-12)
        assert found.low < found.value < found.high


def test_a_perfect_model_is_not_certain_for_ever() -> None:
    """Accuracy 1.0 on 50 rows still has an interval below 1."""
    labels = np.arange(50) % 2
    found = estimate("accuracy", labels, labels.astype(float), task="binary")
    assert found.value == 1.0
    assert found.low < 0.95


@pytest.mark.parametrize(
    ("metric", "task", "words"),
    [
        ("roc_auk", "binary", "did you mean 'roc_auc'"),
        ("roc_auc", "multiclass", "'roc_auc_ovr' does"),
        ("f1", "multiclass", "does not fit a multiclass model"),
        ("accuracy", "regression", "'r2' does"),
        ("r2", "binary", ""),
        ("neg_mean_absolute_error", "regression", ""),
        ("f1_macro", "multiclass", ""),
        ("roc_auc", "binary", ""),
    ],
)
def test_a_metric_that_does_not_fit_is_named(
    metric: str, task: Literal["binary", "multiclass", "regression"], words: str
) -> None:
    """An unknown scorer, or one of another task, is refused with what would do."""
    problem = metric_problem(metric, task)
    assert (words in problem) if words else problem == ""


def test_metrics_within_one_are_scorers_that_never_exceed_one() -> None:
    """Every name in the set is a scorer of scikit-learn whose sign is not turned."""
    for name in WITHIN_ONE:
        assert get_scorer(name) is not None
        assert not name.startswith("neg_")
