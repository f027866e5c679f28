"""scikit-learn's commonest scorers as plain numpy, for the thousands of calls of a bootstrap.

scikit-learn spends 2 to 5 ms on checking the arguments of each call, whatever the rows; here a
metric of predictions is a bincount. Every function is held against scikit-learn in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from promotion_assets.policy.model import Task

Array = npt.NDArray[np.generic]
Counts = npt.NDArray[np.float64]
Metric = Callable[[Array, Array], float]

AVERAGED = ("f1", "precision", "recall", "jaccard")
AVERAGES = ("macro", "micro", "weighted")


def of_predictions(metric: str, task: Task, classes: int) -> Metric | None:
    """Return ``f(labels, predicted codes)``, or ``None`` where it is not one of these metrics."""
    if task == "regression":
        return None
    name, _, average = metric.partition("_")
    if name in AVERAGED and average in AVERAGES:
        return lambda y, p: _averaged(name, average, _confusion(y, p, classes))
    if metric in AVERAGED and task == "binary":
        return lambda y, p: _one_class(metric, _confusion(y, p, classes))
    if metric == "balanced_accuracy":
        return lambda y, p: _balanced(_confusion(y, p, classes))
    if metric == "matthews_corrcoef":
        return lambda y, p: _matthews(_confusion(y, p, classes))
    return None


def of_numbers(metric: str, task: Task) -> Metric | None:
    """Return ``f(labels, answers)`` of a regression, or ``None``."""
    if task != "regression":
        return None
    match metric:
        case "neg_root_mean_squared_error":
            return lambda y, v: -float(np.sqrt(np.mean(_errors(y, v) ** 2)))
        case "neg_median_absolute_error":
            return lambda y, v: -float(np.median(np.abs(_errors(y, v))))
        case "r2":
            return _r2
        case _:
            return None


def of_probabilities(metric: str, task: Task) -> Metric | None:
    """Return ``f(labels, probabilities)`` of a classifier, or ``None``."""
    if task == "binary" and metric == "average_precision":
        return _average_precision
    if task == "multiclass" and metric in ("roc_auc_ovr", "roc_auc_ovr_weighted"):
        return lambda y, v: _one_against_rest(y, v, metric.endswith("_weighted"))
    return None


def _average_precision(labels: Array, values: Array) -> float:
    """Return the mean precision over positives, rows with one score counted at once."""
    order = np.argsort(values)[::-1]
    truth, scores = np.asarray(labels)[order] == 1, np.asarray(values)[order]
    last_of_score = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    hits = np.cumsum(truth)[last_of_score]
    if hits[-1] == 0:
        return 0.0
    precision = hits / (last_of_score + 1)
    return float(precision @ np.diff(hits, prepend=0) / hits[-1])


def _one_against_rest(labels: Array, values: Array, weighted: bool) -> float:
    """Return the mean over classes of the AUC of each against the others; NaN without one."""
    rows, classes = values.shape
    sizes = np.bincount(np.asarray(labels, dtype=np.int64), minlength=classes)
    if (sizes == 0).any() or (sizes == rows).any():
        return math.nan
    # Half a second to import, which every command that reads the policy would wait for.
    from scipy.stats import rankdata

    # The rank sum of a class is its AUC times the pairs, up to a constant (Mann and Whitney).
    ranks = rankdata(values, axis=0)
    own = np.array([ranks[labels == c, c].sum() for c in range(classes)])
    areas = (own - sizes * (sizes + 1) / 2) / (sizes * (rows - sizes))
    return float(np.average(areas, weights=sizes if weighted else None))


def _errors(labels: Array, answers: Array) -> Counts:
    return np.asarray(answers, dtype=np.float64) - np.asarray(labels, dtype=np.float64)


def _r2(labels: Array, answers: Array) -> float:
    truth = np.asarray(labels, dtype=np.float64)
    total = float(np.sum((truth - truth.mean()) ** 2))
    rest = float(np.sum(_errors(labels, answers) ** 2))
    if total == 0.0:
        # scikit-learn's convention for labels that do not vary.
        return 1.0 if rest == 0.0 else 0.0
    return 1.0 - rest / total


def _confusion(labels: Array, predicted: Array, classes: int) -> Counts:
    """Return counts by label and prediction, shape (classes, classes)."""
    cells = np.asarray(labels, dtype=np.int64) * classes + np.asarray(predicted, dtype=np.int64)
    counts = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return counts.astype(np.float64)


def _shares(name: str, hits: Counts, actual: Counts, predicted: Counts) -> Counts:
    """Return a metric of each class; 0 where it is undefined, as scikit-learn does."""
    whole = {
        "f1": (actual + predicted) / 2,
        "precision": predicted,
        "recall": actual,
        "jaccard": actual + predicted - hits,
    }[name]
    shares: Counts = np.divide(hits, whole, out=np.zeros_like(hits), where=whole > 0)
    return shares


def _averaged(name: str, average: str, table: Counts) -> float:
    hits, actual, predicted = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    if average == "micro":
        one = (np.array([part.sum()]) for part in (hits, actual, predicted))
        return float(_shares(name, *one)[0])
    shares = _shares(name, hits, actual, predicted)
    if average == "weighted":
        return float(np.average(shares, weights=actual))
    # A class that neither occurs nor is predicted is no class to scikit-learn.
    return float(shares[actual + predicted > 0].mean())


def _one_class(name: str, table: Counts) -> float:
    hits, actual, predicted = table[1, 1], table[1].sum(), table[:, 1].sum()
    return float(_shares(name, np.array([hits]), np.array([actual]), np.array([predicted]))[0])


def _balanced(table: Counts) -> float:
    actual = table.sum(axis=1)
    occurs = actual > 0
    return float((np.diag(table)[occurs] / actual[occurs]).mean())


def _matthews(table: Counts) -> float:
    rows, actual, predicted = table.sum(), table.sum(axis=1), table.sum(axis=0)
    covariance = np.trace(table) * rows - actual @ predicted
    spread = (rows**2 - predicted @ predicted) * (rows**2 - actual @ actual)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0
