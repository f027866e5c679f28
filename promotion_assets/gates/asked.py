"""What the gates of a policy will want to know of answers that only counts are kept of."""

from __future__ import annotations

from collections.abc import Mapping

from promotion_assets.evaluation.large.tally import Asked
from promotion_assets.gates.accuracy import AccuracySettings
from promotion_assets.gates.calibration import BRIER, CalibrationSettings
from promotion_assets.gates.contract import Gate, GateSettings
from promotion_assets.gates.fairness import FairnessSettings
from promotion_assets.gates.tallied import COUNTED, COUNTED_NUMBERS
from promotion_assets.policy.model import ModelPolicy


def asked_by(gates: Mapping[str, tuple[Gate, GateSettings]], policy: ModelPolicy) -> Asked:
    """Return what has to be counted once, so that no gate has to read rows again.

    A metric that cannot be counted is left out; its gate says so.
    """
    metrics: list[str] = []
    thresholds: list[float] = []
    order = 0
    for _, settings in gates.values():
        if isinstance(settings, AccuracySettings | FairnessSettings):
            metrics.append(settings.metric)
            thresholds.append(settings.threshold)
        if isinstance(settings, FairnessSettings):
            order = max(order, settings.max_order)
        if isinstance(settings, CalibrationSettings):
            metrics.append(BRIER)
    binary = policy.task == "binary"
    known = COUNTED if binary else COUNTED_NUMBERS
    return Asked(
        auc=binary and "roc_auc" in metrics,
        thresholds=tuple(sorted(set(thresholds))) if binary else (),
        metrics=tuple(sorted({m for m in metrics if m in known} - {"roc_auc", "accuracy"})),
        max_order=order if policy.groups else 0,
    )
