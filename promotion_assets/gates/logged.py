"""What a version's author logged, against what was measured: never evidence, only compared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

# The scorer's name first, then what people call it; all without "neg_".
SYNONYMS: dict[str, tuple[str, ...]] = {
    "roc_auc": ("auc", "roc_auc", "auroc", "auc_roc", "roc_auc_score", "rocauc"),
    "accuracy": ("accuracy", "accuracy_score", "acc"),
    "balanced_accuracy": ("balanced_accuracy", "balanced_accuracy_score"),
    "average_precision": ("average_precision", "average_precision_score", "pr_auc", "auprc"),
    "f1": ("f1", "f1_score"),
    "r2": ("r2", "r2_score"),
    "log_loss": ("log_loss", "logloss"),
    "brier_score": ("brier_score", "brier_score_loss", "brier", "brier_loss"),
    "mean_absolute_error": ("mean_absolute_error", "mae"),
    "mean_squared_error": ("mean_squared_error", "mse"),
    "root_mean_squared_error": ("root_mean_squared_error", "rmse"),
}
# A training metric is higher by nature and claims nothing about new rows.
HELD_OUT = re.compile(r"^(eval|evaluation|test|val|valid|validation|holdout|oot)_")
HELD_OUT_AFTER = re.compile(r"_(eval|evaluation|test|val|valid|validation|holdout|oot)$")


def claims(metric: str, logged: Mapping[str, float]) -> dict[str, float]:
    """Return the logged metrics that claim ``metric`` on held-out rows, by their logged name.

    ``auc``, ``roc_auc``, ``eval_auc``, ``test_roc_auc``, ``val/auc`` all claim ``roc_auc``;
    ``training_roc_auc`` does not. For a ``neg_…`` scorer the loss is what people log, so its
    sign is turned; a value that is logged under the scorer's own name stays.
    """
    plain = metric.removeprefix("neg_")
    names = {plain, f"{plain}_score", *SYNONYMS.get(plain, ())}
    found: dict[str, float] = {}
    for name, value in logged.items():
        word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        word = HELD_OUT_AFTER.sub("", HELD_OUT.sub("", word))
        if word in names:
            found[name] = -value if metric.startswith("neg_") else value
        elif word == metric:
            found[name] = value
    return found


def overclaimed(claimed: float, observed: float, high: float | None, tolerance: float) -> bool:
    """Whether ``claimed`` is better than measured by more than ``tolerance`` and than chance.

    A claim that the interval reaches could be the same model on other rows. A claim that is no
    number is never believed.
    """
    if not math.isfinite(claimed):
        return True
    return claimed - observed > tolerance and (high is None or claimed > high)
