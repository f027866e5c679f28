"""How much worse a group fares: five measures, each with an interval, for every group.

``drop_vs_champion``: the champion's metric less the candidate's on the group's rows.
``gap_to_overall``: the metric of all rows less the group's.
``selection_rate_ratio``: the group's share of favourable decisions over the largest share of a
group of the same attribute (the four-fifths rule, 29 CFR 1607.4 D; fairlearn's
``demographic_parity_ratio`` is the smallest of these).
``tpr_gap``: the largest true positive rate of a group of the same attribute less this group's;
``fpr_gap``: this group's false positive rate less the smallest (fairlearn's
``equalized_odds_difference`` is the largest of all of these).

The group that the last three compare with was chosen by the data, so their intervals are a
little too narrow for the groups next to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from promotion_assets.gates.metrics import compare, estimate
from promotion_assets.gates.partitions import Partition
from promotion_assets.gates.scored import Answers
from promotion_assets.policy.model import Task
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.groups import ConfusionTable, confusion_by_group, parts
from promotion_assets.statistics.intervals import newcombe, proportion_ratio
from promotion_assets.statistics.numerics import ndtri
from promotion_assets.statistics.roc import auc_difference_by_group
from promotion_assets.statistics.roc_gaps import auc_gap_by_group

Measure = Literal[
    "drop_vs_champion", "gap_to_overall", "selection_rate_ratio", "tpr_gap", "fpr_gap"
]
OF_DECISIONS: tuple[Measure, ...] = ("selection_rate_ratio", "tpr_gap", "fpr_gap")


@dataclass(frozen=True)
class Loss:
    """One group's loss by one measure.

    Attributes:
        value, low, high, std_error, n, confidence, method: as in an estimate.
        own: the group's figure under the candidate.
        other: what it is compared with.
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int
    method: str
    std_error: float
    own: float
    other: float


@dataclass(frozen=True)
class How:
    """What is measured, and how.

    Attributes:
        metric, task: of the first two measures.
        threshold: probability from which a row is predicted positive.
        favourable: which prediction is the favourable one.
        resamples, seed: of the bootstrap, where the metric needs one.
    """

    metric: str
    task: Task
    threshold: float
    favourable: Literal["positive", "negative"]
    resamples: int
    seed: int


def losses(
    measure: Measure,
    partition: Partition,
    judged: Sequence[int],
    given: Answers,
    how: How,
    confidence: float,
) -> dict[int, Loss]:
    """Return the loss of every group in ``judged`` for which it is defined, by its code.

    Args:
        judged: codes of the groups that are large enough.
        confidence: of each single interval.
    """
    if measure == "drop_vs_champion":
        return _drops(partition, judged, given, how, confidence)
    if measure == "gap_to_overall":
        return _gaps(partition, judged, given, how, confidence)
    return _of_decisions(measure, partition, judged, given, how, confidence)


def _drops(
    partition: Partition, judged: Sequence[int], given: Answers, how: How, confidence: float
) -> dict[int, Loss]:
    if given.champion is None:
        return {}
    if how.metric == "roc_auc" and how.task == "binary":
        found = auc_difference_by_group(
            given.labels,
            given.champion,
            given.candidate,
            partition.codes,
            len(partition.names),
            confidence=confidence,
        )
        return {g: lost(d) for g in judged if (d := found[g]) is not None}
    drops = {}
    for g in judged:
        rows = partition.codes == g
        difference = compare(
            how.metric,
            given.labels[rows],
            given.champion[rows],
            given.candidate[rows],
            task=how.task,
            confidence=confidence,
            threshold=how.threshold,
            resamples=how.resamples,
            seed=how.seed,
        )
        drops[g] = lost(difference)
    return drops


def lost(champion_less_candidate: Difference) -> Loss:
    """Return a drop as a loss: positive where the candidate is worse."""
    d = champion_less_candidate
    return Loss(
        d.difference, d.low, d.high, d.confidence, d.n, d.method, d.std_error, d.second, d.first
    )


def _gaps(
    partition: Partition, judged: Sequence[int], given: Answers, how: How, confidence: float
) -> dict[int, Loss]:
    if how.metric == "roc_auc" and how.task == "binary":
        found = auc_gap_by_group(
            given.labels,
            given.candidate,
            partition.codes,
            len(partition.names),
            confidence=confidence,
        )
        return {g: fallen_behind(d) for g in judged if (d := found[g]) is not None}
    overall = _measured(given, np.ones(given.rows, dtype=np.bool_), how, confidence)
    gaps = {}
    for g in judged:
        own = _measured(given, partition.codes == g, how, confidence)
        gaps[g] = behind(overall, own)
    return gaps


def fallen_behind(group_less_overall: Difference) -> Loss:
    """Return a group's gap, turned round: a loss is positive."""
    d = group_less_overall
    return Loss(
        -d.difference, -d.high, -d.low, d.confidence, d.n, d.method, d.std_error, d.first, d.second
    )


def behind(overall: Estimate, own: Estimate) -> Loss:
    """Return how far a group's figure is below that of all rows, the latter taken as fixed."""
    return Loss(
        overall.value - own.value,
        overall.value - own.high,
        overall.value - own.low,
        own.confidence,
        own.n,
        f"{own.method}, overall taken as fixed",
        own.std_error,
        own.value,
        overall.value,
    )


def _measured(
    given: Answers, rows: np.typing.NDArray[np.bool_], how: How, confidence: float
) -> Estimate:
    return estimate(
        how.metric,
        given.labels[rows],
        given.candidate[rows],
        task=how.task,
        confidence=confidence,
        threshold=how.threshold,
        resamples=how.resamples,
        seed=how.seed,
    )


def _of_decisions(
    measure: Measure,
    partition: Partition,
    judged: Sequence[int],
    given: Answers,
    how: How,
    confidence: float,
) -> dict[int, Loss]:
    chosen = given.candidate >= how.threshold
    table = confusion_by_group(given.labels, chosen, partition.codes, len(partition.names))
    return of_decisions(measure, table, judged, how, confidence)


def of_decisions(
    measure: Measure,
    table: ConfusionTable,
    judged: Sequence[int],
    how: How,
    confidence: float,
) -> dict[int, Loss]:
    """Return the loss by a measure of decisions of every group in ``judged``, by its code."""
    if measure == "selection_rate_ratio" and how.favourable == "negative":
        table = ConfusionTable(table.counts[:, :, ::-1])
    rate: Literal["selection_rate", "tpr", "fpr"] = "selection_rate"
    if measure != "selection_rate_ratio":
        rate = "tpr" if measure == "tpr_gap" else "fpr"
    hits, trials = parts(table, rate)
    rated = [g for g in judged if trials[g] > 0]
    if not rated:
        return {}
    best = (min if measure == "fpr_gap" else max)(rated, key=lambda g: hits[g] / trials[g])
    found = {}
    for g in rated:
        own, other = (int(hits[g]), int(trials[g])), (int(hits[best]), int(trials[best]))
        if g == best:
            found[g] = _best(measure, own, confidence)
        elif measure == "selection_rate_ratio":
            found[g] = _ratio(own, other, confidence)
        else:
            pair = (*own, *other) if measure == "fpr_gap" else (*other, *own)
            difference = newcombe(*pair, confidence=confidence)
            loss = lost(difference)
            found[g] = replace(loss, own=own[0] / own[1], other=other[0] / other[1])
    return {g: loss for g, loss in found.items() if math.isfinite(loss.value)}


def _best(measure: Measure, own: tuple[int, int], confidence: float) -> Loss:
    """The group that others are compared with loses nothing."""
    none = 1.0 if measure == "selection_rate_ratio" else 0.0
    rate = own[0] / own[1]
    method = "the group that others are compared with"
    return Loss(none, none, none, confidence, own[1], method, 0.0, rate, rate)


def _ratio(own: tuple[int, int], other: tuple[int, int], confidence: float) -> Loss:
    found = proportion_ratio(*own, *other, confidence=confidence)
    std_error = math.nan
    if math.isfinite(found.high) and math.isfinite(found.low):
        std_error = (found.high - found.low) / (2 * float(ndtri(0.5 + confidence / 2)))
    return Loss(
        found.value,
        found.low,
        found.high,
        confidence,
        own[1],
        found.method,
        std_error,
        own[0] / own[1],
        other[0] / other[1],
    )
