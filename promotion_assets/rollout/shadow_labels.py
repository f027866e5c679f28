"""How right shadow and champion were, on matured pairs whose outcome is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from promotion_assets.gates.contract import Measurement, Outcome
from promotion_assets.gates.limits import interval_of
from promotion_assets.gates.verdict import shown, shown_interval
from promotion_assets.policy.model import Task
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.shadow_limits import reported
from promotion_assets.statistics.calibration import brier_difference
from promotion_assets.statistics.intervals import mean_difference, newcombe_paired
from promotion_assets.statistics.roc import auc_difference

if TYPE_CHECKING:
    from promotion_assets.rollout.labelled_pairs import LabelledPairs


def label_measurements(
    labelled: LabelledPairs, policy: ShadowPolicy, task: Task
) -> Iterator[Measurement]:
    """Yield what the outcomes say: McNemar's test, DeLong's, Brier's score; or absolute errors."""
    yield Measurement(
        name="labelled_pairs",
        observed=float(labelled.known),
        sample_size=labelled.matured,
        reason=f"{labelled.known:,} of {labelled.matured:,} matured pairs have an outcome",
    )
    if not labelled.known:
        return
    if task == "binary":
        yield from _binary(labelled, policy)
    elif task == "regression" and labelled.known > 1:
        own, theirs = (
            np.abs(answers - labelled.labels) for answers in (labelled.shadow, labelled.production)
        )
        gap = mean_difference(own, theirs, confidence=policy.confidence)
        yield reported(gap, name="absolute_error_change", baseline=gap.second)


def _binary(labelled: LabelledPairs, policy: ShadowPolicy) -> Iterator[Measurement]:
    truth = labelled.labels >= 0.5
    own = (labelled.shadow >= policy.threshold) == truth
    theirs = (labelled.production >= policy.threshold) == truth
    right = newcombe_paired(
        int((own & theirs).sum()),
        int((own & ~theirs).sum()),
        int((~own & theirs).sum()),
        int((~own & ~theirs).sum()),
        confidence=policy.confidence,
    )
    yield reported(
        right,
        name="accuracy_change",
        baseline=right.second,
        reason=f"McNemar's mid-p is {right.p_value:.3g}",
    )
    if 0 < truth.sum() < len(truth):
        yield _auc(labelled, policy)
    within = [((s >= 0) & (s <= 1)).all() for s in (labelled.shadow, labelled.production)]
    if all(within) and labelled.known > 1:
        gap = brier_difference(
            truth, labelled.shadow, labelled.production, confidence=policy.confidence
        )
        yield reported(gap, name="brier_change", baseline=gap.second)


def _auc(labelled: LabelledPairs, policy: ShadowPolicy) -> Measurement:
    """Labels come late: that there are few holds nothing up, that they show harm does."""
    truth = labelled.labels >= 0.5
    gap = auc_difference(truth, labelled.shadow, labelled.production, confidence=policy.confidence)
    measured = reported(
        gap,
        name="auc_change",
        baseline=gap.second,
        reason=f"DeLong's p is {gap.p_value:.3g}",
    )
    limit = policy.limits.auc_loss
    if limit is None or gap.high >= -limit:
        return measured
    return measured.model_copy(
        update={
            "limit": -limit,
            "direction": "min",
            "outcome": Outcome.FAILED,
            "reason": f"AUC on labelled pairs changes by {shown(gap.difference)}"
            f"{shown_interval(interval_of(gap))}, the most that may be lost is {shown(limit)}",
        }
    )
