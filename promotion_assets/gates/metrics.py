"""A metric by its scikit-learn scorer name, measured on stored answers, with an interval.

Every metric is a score: greater is better, a loss is ``neg_…``. The binary AUC has DeLong's
method, accuracy Wilson's and Newcombe's paired one, a mean over rows (Brier, log loss, absolute
and squared error) Student's, and any other scorer a bootstrap over rows. Rows are put in a fixed
order before they are resampled, so the order in which a dataset was written changes no figure.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from promotion_assets.gates import fast_metrics
from promotion_assets.policy.model import Task
from promotion_assets.statistics import bootstrap
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.intervals import (
    mean_difference,
    mean_estimate,
    newcombe_paired,
    wilson,
)
from promotion_assets.statistics.roc import auc_difference, auc_estimate

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]

# Scorers whose best value is 1, for which the policy's defaults make sense.
WITHIN_ONE = frozenset(
    {
        *("roc_auc", "roc_auc_ovr", "roc_auc_ovo", "roc_auc_ovr_weighted", "roc_auc_ovo_weighted"),
        *("accuracy", "balanced_accuracy", "average_precision", "top_k_accuracy"),
        *("matthews_corrcoef", "r2", "explained_variance"),
        *fast_metrics.AVERAGED,
        *(f"{name}_{how}" for name in fast_metrics.AVERAGED for how in fast_metrics.AVERAGES),
    }
)

# Clipped as scikit-learn does, so that one certain and wrong answer stays finite.
SMALLEST = float(np.finfo(np.float64).eps)


def estimate(
    metric: str,
    labels: Labels,
    values: Values,
    *,
    task: Task,
    confidence: float = 0.95,
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Return ``metric`` of one version's answers.

    Args:
        metric: a scikit-learn scorer's name.
        labels: as in ``EvaluationDataset.labels``, shape (rows,).
        values: as in ``Scores.values``.
        threshold: probability from which a row is predicted positive (binary).

    Raises:
        ValueError: the metric is unknown, does not fit the task, or is undefined on the rows.
    """
    if metric == "roc_auc" and task == "binary":
        return auc_estimate(labels, values, confidence=confidence)
    if metric == "accuracy" and task != "regression":
        right = predictions(values, task, threshold) == labels
        return wilson(int(right.sum()), len(right), confidence=confidence)
    by_row = _row_scores(metric, task)
    if by_row is not None:
        return mean_estimate(by_row(labels, values), confidence=confidence)
    measure, (answers,) = _measure(metric, task, threshold, values)
    order = _fixed_order(labels, answers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bootstrap.bootstrap(
            measure,
            labels[order],
            answers[order],
            resamples=resamples,
            confidence=confidence,
            rng=np.random.default_rng(seed),
        )


def compare(
    metric: str,
    labels: Labels,
    first: Values,
    second: Values,
    *,
    task: Task,
    confidence: float = 0.95,
    threshold: float = 0.5,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """Return ``metric`` of ``first`` less that of ``second``, paired by row; see :func:`estimate`.

    Raises:
        ValueError: as :func:`estimate`.
    """
    if metric == "roc_auc" and task == "binary":
        return auc_difference(labels, first, second, confidence=confidence)
    if metric == "accuracy" and task != "regression":
        a = predictions(first, task, threshold) == labels
        b = predictions(second, task, threshold) == labels
        cells = (a & b, a & ~b, ~a & b, ~a & ~b)
        return newcombe_paired(*(int(cell.sum()) for cell in cells), confidence=confidence)
    by_row = _row_scores(metric, task)
    if by_row is not None:
        return mean_difference(
            by_row(labels, first),
            by_row(labels, second),
            confidence=confidence,
        )
    measure, (one, two) = _measure(metric, task, threshold, first, second)
    order = _fixed_order(labels, one, two)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bootstrap.paired_bootstrap(
            measure,
            labels[order],
            one[order],
            two[order],
            resamples=resamples,
            confidence=confidence,
            rng=np.random.default_rng(seed),
        )


def predictions(values: Values, task: Task, threshold: float) -> npt.NDArray[np.generic]:
    """Return what is predicted: 0/1 (binary), class codes (multiclass), numbers (regression)."""
    if task == "binary":
        return (values >= threshold).astype(np.int64)
    if task == "multiclass":
        codes: npt.NDArray[np.int64] = np.argmax(values, axis=1)
        return codes
    return values


def scorer(
    metric: str, task: Task, threshold: float, classes: int
) -> Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]:
    """Return ``f(labels, answers) -> float`` for a scikit-learn scorer; NaN where undefined.

    Raises:
        ValueError: there is no such scorer.
    """
    from sklearn.metrics import get_scorer

    found = get_scorer(metric)
    stand_in = _stand_in(task, threshold, classes)

    def measure(labels: npt.NDArray[Any], answers: npt.NDArray[Any]) -> float:
        try:
            return float(found(stand_in, answers, labels))
        except ValueError:
            # A resample without one of the classes; the bootstrap counts and bounds these.
            return math.nan

    return measure


def unknown_metric(metric: str) -> str:
    """Return that there is no such scorer, with the nearest name, or an empty string."""
    if metric in WITHIN_ONE:
        return ""
    from sklearn.metrics import get_scorer_names

    names = get_scorer_names()
    if metric in names:
        return ""
    near = difflib.get_close_matches(metric, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see sklearn.metrics.get_scorer_names()"
    return f"{metric!r} is not a scikit-learn scorer: {hint}"


@lru_cache
def metric_problem(metric: str, task: Task) -> str:
    """Return why ``metric`` cannot judge models of ``task``, or an empty string."""
    if metric == "roc_auc" and task == "binary":
        return ""
    unknown = unknown_metric(metric)
    if unknown:
        return unknown
    labels, values = _example(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = scorer(metric, task, 0.5, _classes(values))(labels, values)
        except Exception:
            value = math.nan
    if math.isfinite(value):
        return ""
    better = {"binary": "roc_auc", "multiclass": "roc_auc_ovr", "regression": "r2"}[task]
    return f"{metric!r} does not fit a {task} model; {better!r} does"


RowScores = Callable[[Labels, Values], npt.NDArray[np.float64]]


def _row_scores(metric: str, task: Task) -> RowScores | None:
    """Return what ``metric`` is the mean of over rows, or ``None`` where it is no mean."""
    match metric, task:
        case "neg_brier_score", "binary":
            return lambda y, v: -((v - y) ** 2)
        case "neg_log_loss", "binary":
            return lambda y, v: np.log(np.clip(np.where(y == 1, v, 1 - v), SMALLEST, 1.0))
        case "neg_log_loss", "multiclass":
            return lambda y, v: np.log(np.clip(v[np.arange(len(y)), y], SMALLEST, 1.0))
        case "neg_mean_absolute_error", "regression":
            return lambda y, v: -np.abs(v - y)
        case "neg_mean_squared_error", "regression":
            return lambda y, v: -((v - y) ** 2)
        case _:
            return None


def _measure(
    metric: str, task: Task, threshold: float, *values: Values
) -> tuple[fast_metrics.Metric, tuple[npt.NDArray[Any], ...]]:
    """Return a function of labels and answers, and the answers in the form that it takes."""
    classes = _classes(values[0])
    by_prediction = fast_metrics.of_predictions(metric, task, classes)
    if by_prediction is not None:
        return by_prediction, tuple(predictions(v, task, threshold) for v in values)
    fast = fast_metrics.of_numbers(metric, task) or fast_metrics.of_probabilities(metric, task)
    return fast or scorer(metric, task, threshold, classes), values


def _fixed_order(labels: Labels, *columns: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    keys: list[npt.NDArray[Any]] = [labels]
    for values in columns:
        keys.extend(values.T if values.ndim == 2 else [values])
    order: npt.NDArray[np.int64] = np.lexsort(keys)
    return order


def _classes(values: Values) -> int:
    return values.shape[1] if values.ndim == 2 else 2


def _stand_in(task: Task, threshold: float, classes: int) -> Any:
    """Return an estimator whose "features" are the answers that were stored."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Answered(BaseEstimator):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Any:
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, X: Values) -> npt.NDArray[np.generic]:
            return predictions(X, task, threshold)

    class Regressor(RegressorMixin, Answered):  # type: ignore[misc]
        pass

    class Classifier(ClassifierMixin, Answered):  # type: ignore[misc]
        classes_ = np.arange(classes)

        def predict_proba(self, X: Values) -> Values:
            return X if X.ndim == 2 else np.column_stack([1 - X, X])

    return Regressor() if task == "regression" else Classifier()


def _example(task: Task) -> tuple[Labels, Values]:
    if task == "regression":
        return np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.1, 1.9, 3.2, 4.1])
    if task == "binary":
        return np.array([0, 0, 1, 1, 0, 1]), np.array([0.1, 0.6, 0.4, 0.8, 0.3, 0.9])
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    values = np.full((8, 4), 0.1)
    values[np.arange(8), np.array([0, 1, 2, 3, 1, 1, 2, 0])] = 0.7
    return labels, values
