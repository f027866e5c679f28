"""Gate power: the smallest true effect that each gate would catch with this dataset.

"Caught" means that the gate would not pass, with probability ``power``, because the interval
excludes what it would have to reach. Whoever trusts a fairness gate on a group of 40 rows learns
here that it sees nothing below a drop of .3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from promotion_assets.errors import UsageError
from promotion_assets.evaluation.dataset import EvaluationDataset
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.scores import ScoringFailure
from promotion_assets.gates.accuracy import AccuracySettings
from promotion_assets.gates.catalogue import settings_for
from promotion_assets.gates.contract import GateSettings
from promotion_assets.gates.drift import DriftSettings, bins_of
from promotion_assets.gates.fairness import CONFIDENCE, FairnessSettings
from promotion_assets.gates.floors import Floor
from promotion_assets.gates.latency import QUANTILES, LatencySettings
from promotion_assets.gates.partitions import Partition, partitions
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.statistics.power import (
    detectable_auc_difference,
    detectable_proportion_gap,
    detectable_psi,
)
from promotion_assets.statistics.quantiles import quantile_sample_size
from promotion_assets.statistics.simultaneous import simultaneous_level

Sees = Literal["enough", "too little", "nothing"]


class Power(BaseModel):
    """What one gate can see of one subject.

    Attributes:
        gate, subject, measure: what is measured of what.
        detectable: smallest true effect that is caught; ``None`` where none is.
        limit: the effect that the policy wants to catch.
        sees: ``enough`` if the limit is caught, ``too little`` if only larger effects are,
            ``nothing`` for a group under the floor.
        rows: rows of the subject.
        note: one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gate: str
    subject: str
    measure: str
    detectable: float | None
    limit: float | None
    sees: Sees
    rows: int
    note: str = ""


@dataclass(frozen=True)
class _Asked:
    evidence: Evidence
    dataset: EvaluationDataset
    power: float

    @property
    def policy(self) -> ModelPolicy:
        return self.evidence.policy


def gate_power(evidence: Evidence, *, power: float = 0.8) -> tuple[Power, ...]:
    """Return what each gate of the policy would catch, with probability ``power``.

    Needs only the dataset; training and production profiles and latencies are used where they
    are there. Gates that estimate nothing (schema, artifact, documentation) are left out: they
    see everything that they look at.

    Raises:
        ValueError: there is no evaluation dataset version.
        UsageError: it is larger than memory.
    """
    if evidence.dataset is None:
        raise ValueError("gate power needs an evaluation dataset version; materialise it first")
    if evidence.dataset.streamed:
        raise UsageError(
            f"telling what the gates of {evidence.model} would catch",
            "that is told from rows in memory, and this dataset is read shard by shard",
            "ask about a sample of it, with evaluation.engine: memory",
        )
    asked = _Asked(evidence, evidence.dataset, power)
    rows: list[Power] = []
    for name, (_, settings) in settings_for(evidence.policy).items():
        if name in OF_GATE:
            rows += OF_GATE[name](asked, settings)
    return tuple(rows)


def _accuracy(asked: _Asked, settings: GateSettings) -> Iterator[Power]:
    assert isinstance(settings, AccuracySettings)
    if settings.metric != "roc_auc" or asked.policy.task != "binary":
        return
    positives, negatives = _classes(asked.dataset.labels)
    rows = positives + negatives
    if min(positives, negatives) == 0:
        yield Power(
            gate="accuracy", subject="overall", measure="improvement", detectable=None,
            limit=settings.improvement, sees="nothing", rows=rows, note="one class only",
        )  # fmt: skip
        return
    detectable = detectable_auc_difference(
        positives, negatives, confidence=CONFIDENCE, power=asked.power
    )
    margin = settings.improvement
    yield Power(
        gate="accuracy",
        subject="overall",
        measure="improvement",
        detectable=detectable,
        limit=margin,
        sees=_sees(detectable, abs(margin) if margin is not None else None),
        rows=rows,
        note=f"an improvement below {detectable:.3f} cannot be told from chance",
    )


def _fairness(asked: _Asked, settings: GateSettings) -> Iterator[Power]:
    assert isinstance(settings, FairnessSettings)
    binary = asked.policy.task == "binary"
    floor = Floor(settings.min_group_rows, settings.min_per_class, binary=binary)
    divided = partitions(asked.dataset.groups, settings.max_order)
    for order in sorted({part.order for part in divided}):
        family = [part for part in divided if part.order == order]
        judged = sum(len(floor.large_enough(part, asked.dataset.labels)) for part in family)
        level = simultaneous_level(CONFIDENCE, max(1, judged))
        for part in family:
            yield from _of_groups(part, floor, level, asked, settings)


def _of_groups(
    part: Partition, floor: Floor, level: float, asked: _Asked, settings: FairnessSettings
) -> Iterator[Power]:
    labels = asked.dataset.labels
    large = set(floor.large_enough(part, labels))
    for g, name in enumerate(part.names):
        of_group = labels[part.codes == g]
        for measure in settings.gate_on:
            if g not in large:
                yield Power(
                    gate="fairness", subject=name, measure=measure, detectable=None,
                    limit=settings.limit_of(measure), sees="nothing", rows=len(of_group),
                    note="under the floor: not judged",
                )  # fmt: skip
                continue
            detectable = _detectable(measure, of_group, len(labels), level, asked, settings)
            if detectable is None:
                continue
            limit = settings.limit_of(measure)
            wanted = 1 - limit if measure == "selection_rate_ratio" else limit
            yield Power(
                gate="fairness",
                subject=name,
                measure=measure,
                detectable=detectable,
                limit=limit,
                sees=_sees(detectable, wanted),
                rows=len(of_group),
            )


def _detectable(
    measure: str,
    labels: np.typing.NDArray[np.generic],
    rows: int,
    level: float,
    asked: _Asked,
    settings: FairnessSettings,
) -> float | None:
    positives, negatives = _classes(labels)
    if measure in ("drop_vs_champion", "gap_to_overall"):
        if settings.metric != "roc_auc" or asked.policy.task != "binary":
            return None
        return detectable_auc_difference(positives, negatives, confidence=level, power=asked.power)
    size = {"tpr_gap": positives, "fpr_gap": negatives}.get(measure, len(labels))
    return detectable_proportion_gap(
        size, max(1, rows - len(labels)), confidence=level, power=asked.power
    )


def _drift(asked: _Asked, settings: GateSettings) -> Iterator[Power]:
    assert isinstance(settings, DriftSettings)
    training, production = asked.evidence.candidate.profile, asked.evidence.production_profile
    if training is None or production is None or not training.rows or not production.rows:
        return
    for expected in training.features:
        actual = production.feature(expected.name)
        if actual is None or actual.kind != expected.kind:
            continue
        bins = int(np.count_nonzero(np.add(*bins_of(expected, actual))))
        if bins < 2:
            continue
        detectable = detectable_psi(training.rows, production.rows, bins, power=asked.power)
        limit = settings.features.get(expected.name, settings.psi)
        yield Power(
            gate="drift",
            subject=expected.name,
            measure="psi",
            detectable=detectable,
            limit=limit,
            sees=_sees(detectable, limit),
            rows=min(training.rows, production.rows),
        )


def _latency(asked: _Asked, settings: GateSettings) -> Iterator[Power]:
    assert isinstance(settings, LatencySettings)
    found = asked.evidence.candidate_latency
    if found is None or isinstance(found, ScoringFailure):
        return
    for sample in found:
        for name, q in QUANTILES.items():
            budget = settings.budget(name, batch=sample.rows > 1)
            if budget is None:
                continue
            needed, size = quantile_sample_size(q), int(sample.milliseconds.size)
            yield Power(
                gate="latency",
                subject="one row" if sample.rows == 1 else f"{sample.rows} rows",
                measure=f"{name}_ms",
                detectable=None,
                limit=budget,
                sees="enough" if size >= needed else "too little",
                rows=size,
                note=f"{needed} requests bound {name} on both sides",
            )


def _classes(labels: np.typing.NDArray[np.generic]) -> tuple[int, int]:
    positives = int(np.count_nonzero(np.asarray(labels) == 1))
    return positives, len(labels) - positives


def _sees(detectable: float, wanted: float | None) -> Sees:
    return "enough" if wanted is None or detectable <= wanted else "too little"


OF_GATE: Mapping[str, Callable[[_Asked, GateSettings], Iterator[Power]]] = {
    "accuracy": _accuracy,
    "fairness": _fairness,
    "drift": _drift,
    "latency": _latency,
}


def weakest(rows: Sequence[Power]) -> tuple[Power, ...]:
    """Return what the policy wants to catch and would not, the worst first."""
    blind = [row for row in rows if row.sees != "enough"]
    return tuple(
        sorted(blind, key=lambda r: -(float("inf") if r.detectable is None else r.detectable))
    )
