"""Figures from counts and sums of shards, where the rows are more than memory holds.

They are what the same gate measures on rows: equal for everything that is counted at a threshold,
equal to rounding for means over rows, and within a stated tolerance for the AUC, which the interval
includes (see ``statistics.score_cells``). A metric that needs every row's answer at once is not
guessed: the gate says that it cannot tell, and what to do.
"""

from __future__ import annotations

import math

import numpy as np

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.tally import (
    GroupTally,
    Mean,
    Moments,
    PairedMeans,
    ScoreTally,
    threshold_key,
)
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.gates.contract import Outcome
from promotion_assets.gates.scored import EVALUATE_AGAIN, not_scored
from promotion_assets.gates.verdict import NotJudged, naming
from promotion_assets.statistics.checks import Ints
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.intervals import (
    mean_difference_from,
    mean_estimate_from,
    newcombe_paired,
    wilson,
)
from promotion_assets.statistics.placements import Moments as RowMoments
from promotion_assets.statistics.roc import difference_from, estimate_from
from promotion_assets.statistics.roc_gaps import gap_between
from promotion_assets.statistics.roc_intervals import widened, widened_difference

COUNTED = ("roc_auc", "accuracy", "neg_brier_score", "neg_log_loss")
COUNTED_NUMBERS = ("neg_mean_absolute_error", "neg_mean_squared_error")
ROWS_NEEDED = "set evaluation.engine: memory for a dataset that memory holds"


def is_tallied(evidence: Evidence) -> bool:
    """Whether the evaluation dataset is larger than memory, so that gates read a tally."""
    return evidence.dataset is not None and evidence.dataset.streamed


def tally_of(gate: str, evidence: Evidence) -> ScoreTally:
    """Return what candidate's and champion's answers come to.

    Raises:
        NotJudged: either version was not scored, or the tally is absent, or of other rows or of
            other artifacts.
    """
    pairs = [("candidate", evidence.candidate_scores)]
    if evidence.champion is not None:
        pairs.append(("champion", evidence.champion_scores))
    for who, scores in pairs:
        if scores is None or isinstance(scores, ScoringFailure):
            raise not_scored(gate, evidence, who, scores)
    found = evidence.tally
    if found is None:
        words = evidence.missing.get("tally", "the answers were not counted")
        raise NotJudged(naming(gate, evidence), words, EVALUATE_AGAIN)
    problem = _mismatch(found, evidence)
    if problem:
        raise NotJudged(naming(gate, evidence), f"the counts {problem}", EVALUATE_AGAIN)
    return found


def needs_rows(gate: str, evidence: Evidence, what: str, instead: str) -> NotJudged:
    """Return that ``what`` cannot be had from counts, and what to do."""
    return NotJudged(
        naming(gate, evidence),
        f"{what} needs every row's answer at once, and of a dataset that is read shard by shard "
        "only counts are kept",
        f"{instead}, or {ROWS_NEEDED}",
        outcome=Outcome.INCONCLUSIVE,
    )


def require_counted(gate: str, evidence: Evidence, metric: str) -> None:
    """Raise where ``metric`` cannot be had from counts.

    Raises:
        NotJudged: inconclusive, with the metrics that can.
    """
    known = COUNTED if evidence.policy.task == "binary" else COUNTED_NUMBERS
    if metric not in known:
        raise needs_rows(gate, evidence, metric, f"set metric to one of {', '.join(known)}")


def estimate(group: GroupTally, metric: str, threshold: float, confidence: float) -> Estimate:
    """Return the candidate's metric on a group of rows.

    Raises:
        ValueError: it is undefined there, or was not counted.
    """
    if metric == "roc_auc":
        return _auc(group, group.candidate, confidence)
    if metric == "accuracy":
        counts = _decisions(group, threshold)
        right = int(counts[0, 0].sum() + counts[1, 1].sum())
        return wilson(right, group.rows, confidence=confidence)
    return _mean(_means(group, metric).candidate, group.rows, confidence)


def compare(
    group: GroupTally, metric: str, threshold: float, confidence: float, *, turned: bool = False
) -> Difference:
    """Return the candidate's metric less the champion's on a group of rows, paired.

    Args:
        turned: the champion's less the candidate's.

    Raises:
        ValueError: as :func:`estimate`; or there is no champion.
    """
    if metric == "roc_auc":
        found = auc_difference(group, confidence, turned=turned)
        if found is None:
            raise ValueError(f"roc_auc needs both classes, {group.name} has one")
        return found
    if metric == "accuracy":
        counts = _decisions(group, threshold)
        # By whether the candidate, and whether the champion, is right.
        right = counts[1, ::-1, ::-1] + counts[0]
        both, own, theirs, neither = (int(n) for n in right.reshape(-1))
        if turned:
            own, theirs = theirs, own
        return newcombe_paired(both, own, theirs, neither, confidence=confidence)
    means = _means(group, metric)
    if means.champion is None or means.difference is None:
        raise ValueError(f"{metric} of the champion was not counted")
    first, second, sign = means.candidate.mean, means.champion.mean, 1.0
    if turned:
        first, second, sign = second, first, -1.0
    gap = means.difference.model_copy(update={"mean": sign * means.difference.mean})
    return mean_difference_from(first, second, _mean(gap, group.rows, confidence))


def auc_difference(
    group: GroupTally, confidence: float, *, turned: bool = False
) -> Difference | None:
    """Return the paired difference of the AUCs on a group; ``None`` where a class is absent."""
    own, theirs, squares = group.candidate, group.champion, group.gap_squares
    if own is None or theirs is None or squares is None:
        return None
    negatives, positives = group.rows - group.positives, group.positives
    spreads = (
        squares[1] / (positives - 1) if positives > 1 else math.nan,
        squares[0] / (negatives - 1) if negatives > 1 else math.nan,
    )
    first, second = (theirs, own) if turned else (own, theirs)
    found = difference_from(
        _of_rows(group, first), _of_rows(group, second), spreads, group.changed, confidence
    )
    return None if found is None else widened_difference(found, own.tolerance + theirs.tolerance)


def auc_gap(group: GroupTally, overall: GroupTally, confidence: float) -> Difference | None:
    """Return the candidate's AUC in a group less that of all rows; ``None`` without a class."""
    if group.candidate is None or overall.candidate is None or group.joint is None:
        return None
    single = _auc(group, group.candidate, confidence, widen=False)
    whole = _auc(overall, overall.candidate, confidence, widen=False)
    sizes = [group.rows - group.positives, group.positives]
    all_sizes = [overall.rows - overall.positives, overall.positives]
    within = (group.candidate.negative_variance, group.candidate.positive_variance)
    among = (overall.candidate.negative_variance, overall.candidate.positive_variance)
    variances = [
        _number(within[c]) / sizes[c]
        - 2 * group.joint[c] / (sizes[c] * all_sizes[c])
        + _number(among[c]) * (all_sizes[c] - 1) / all_sizes[c] ** 2
        for c in (0, 1)
    ]
    found = gap_between(single, whole, variances, sizes, confidence)
    if group.rows == overall.rows:
        return found
    return widened_difference(found, group.candidate.tolerance + overall.candidate.tolerance)


def confusion(group: GroupTally, threshold: float) -> Ints:
    """Return the candidate's decisions, shape (2, 2), by label and prediction.

    Raises:
        ValueError: they were not counted at this threshold.
    """
    counts: Ints = _decisions(group, threshold).sum(axis=2)
    return counts


def _auc(
    group: GroupTally, moments: Moments | None, confidence: float, *, widen: bool = True
) -> Estimate:
    found = None if moments is None else estimate_from(_of_rows(group, moments), confidence)
    if found is None or moments is None:
        raise ValueError(f"roc_auc needs both classes, {group.name} has one")
    return widened(found, moments.tolerance) if widen else found


def _of_rows(group: GroupTally, moments: Moments) -> RowMoments:
    return RowMoments(
        positives=group.positives,
        negatives=group.rows - group.positives,
        auc=moments.auc,
        positive_variance=_number(moments.positive_variance),
        negative_variance=_number(moments.negative_variance),
        tolerance=moments.tolerance,
    )


def _decisions(group: GroupTally, threshold: float) -> Ints:
    """Return rows by label, candidate's and champion's prediction, shape (2, 2, 2)."""
    counts = group.decisions.get(threshold_key(threshold))
    if counts is None:
        raise ValueError(f"decisions at the threshold {threshold:g} were not counted")
    return np.array(counts, dtype=np.int64).reshape(2, 2, 2)


def _means(group: GroupTally, metric: str) -> PairedMeans:
    found = group.means.get(metric)
    if found is None:
        raise ValueError(f"{metric} was not counted")
    return found


def _mean(found: Mean, rows: int, confidence: float) -> Estimate:
    return mean_estimate_from(rows, found.mean, _number(found.deviation), confidence)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mismatch(found: ScoreTally, evidence: Evidence) -> str:
    dataset, champion = evidence.dataset, evidence.champion
    if dataset is None or found.dataset_digest != dataset.digest or found.rows != dataset.rows:
        return "are of another version of the evaluation dataset"
    if not evidence.candidate.digest or found.model_digest != evidence.candidate.digest:
        return "are of another artifact than the one that is judged"
    if found.champion_digest != (champion.digest if champion else None):
        return "are of another champion than the one that it is compared with"
    return ""
