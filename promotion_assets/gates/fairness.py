"""Fairness: is any protected group worse off?

Every group of every protected attribute, and their intersections, is measured on its own rows;
``gate_on`` says which measures decide (see ``group_losses``), the others are reported beside. The
default is the drop against the champion: a fixed gap between groups stops nearly every real
model, the champion too, while a group that fares worse than today is what a promotion must not do.

The rule
--------
Intervals hold for all groups of one order (single attributes, then pairs) at once, by Šidák, so
that many groups do not mean many false alarms. Orders are corrected apart, so that looking at
pairs does not hide a single attribute's loss. A group

- **fails** if its loss is above the limit and its interval shows that there is a loss at all
  (its lower end is above "no loss"). Where no group of an order is really worse, any of them
  fails with 2.5 % at most; a group that is really at the limit fails half the time;
- is **inconclusive** if its loss is above the limit and could still be chance, with the sample that
  would settle it;
- **passes** otherwise; with ``decide_on: upper_bound`` only if the whole interval is within the
  limit, which is proof of no harm and needs far more rows.

The sample: a loss of ``d`` shows once ``d`` is above ``z * se``, where ``z`` is about 3 for ten to
twenty groups and the ``se`` of a paired AUC difference about ``.4 / sqrt(rows of the rarer
class)``: some 600 positives for a drop of .05.

A group under the floor (``min_group_rows``, ``min_per_class``) is never judged: it is named as
inconclusive, and ``small_groups: fail`` makes that count. No protected group configured, or none
large enough, is never a pass.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.large.tally import ScoreTally
from promotion_assets.gates import tallied
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.families import Family, families_of_rows, families_of_tally
from promotion_assets.gates.floors import Floor, below_floor
from promotion_assets.gates.group_judgement import measured
from promotion_assets.gates.group_losses import OF_DECISIONS, How, Loss, Measure
from promotion_assets.gates.metrics import metric_problem
from promotion_assets.gates.scored import Answers, answers, without_champion
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.statistics.simultaneous import simultaneous_level

NAME = "fairness"
CONFIDENCE = 0.95
ALL: tuple[Measure, ...] = ("drop_vs_champion", "gap_to_overall", *OF_DECISIONS)


class FairnessSettings(GateSettings):
    """Settings of the fairness gate.

    Attributes:
        metric: a scikit-learn scorer's name, for the drop and the gap.
        gate_on: which measures decide.
        drop_vs_champion, gap_to_overall, tpr_gap, fpr_gap: largest loss of a group.
        selection_rate_ratio: least ratio to the best group (four fifths).
        first_version_gap: limit of ``gap_to_overall`` where a first version is judged without
            a champion, in place of the drop; wider, because nearly every real model has gaps.
        decide_on: see the module's docstring.
        intersections: ``true`` for pairs of attributes, ``false`` for none, or the largest number
            of attributes that are crossed.
        min_group_rows, min_per_class: the floor; the latter for binary models.
        small_groups: what a group under the floor means.
        threshold: probability from which a row is predicted positive.
        favourable: which prediction is the favourable one, for the selection rate.
        resamples, seed: of the bootstrap, for metrics that need one.
    """

    metric: str = "roc_auc"
    gate_on: tuple[Measure, ...] = ("drop_vs_champion",)
    drop_vs_champion: float = Field(default=0.05, ge=0)
    gap_to_overall: float = Field(default=0.05, ge=0)
    selection_rate_ratio: float = Field(default=0.8, gt=0, le=1)
    tpr_gap: float = Field(default=0.1, ge=0)
    fpr_gap: float = Field(default=0.1, ge=0)
    first_version_gap: float = Field(default=0.1, ge=0)
    decide_on: Literal["point", "upper_bound"] = "point"
    intersections: bool | int = True
    min_group_rows: int = Field(default=100, ge=2)
    min_per_class: int = Field(default=30, ge=2)
    small_groups: Literal["report", "fail"] = "report"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    favourable: Literal["positive", "negative"] = "positive"
    resamples: int = Field(default=500, ge=100, le=100_000)
    seed: int = 0

    @model_validator(mode="after")
    def _something_decides(self) -> FairnessSettings:
        if not self.gate_on:
            raise ValueError("gate_on is empty, so nothing would be judged")
        if len(set(self.gate_on)) < len(self.gate_on):
            raise ValueError("gate_on names a measure twice")
        if self.max_order < 1:
            raise ValueError(f"intersections must be true, false or at least 1: {self.max_order}")
        return self

    def limit_of(self, measure: Measure) -> float:
        """Return the limit of ``measure``."""
        return float(getattr(self, measure))

    @property
    def max_order(self) -> int:
        """The largest number of attributes that are crossed."""
        if isinstance(self.intersections, bool):
            return 2 if self.intersections else 1
        return self.intersections

    def contradictions(self, policy: ModelPolicy) -> tuple[str, ...]:
        """Return what in ``policy`` does not fit these settings."""
        found = []
        if not policy.groups:
            found.append("fairness has no protected groups to judge: add groups to the model")
        problem = metric_problem(self.metric, policy.task)
        if problem:
            found.append(f"metric {problem}")
        for measure in self.gate_on:
            if measure in OF_DECISIONS and policy.task != "binary":
                found.append(f"gate_on names {measure}, which only a binary model has")
        return tuple(found)


def evaluate(evidence: Evidence, settings: FairnessSettings) -> GateResult:
    """Measure every protected group and hold the measures of ``gate_on`` against their limits."""
    given = _given(evidence, settings)
    limits, also = _deciding_limits(evidence, settings)
    how = How(
        settings.metric,
        evidence.policy.task,
        settings.threshold,
        settings.favourable,
        settings.resamples,
        settings.seed,
    )
    floor = Floor(
        settings.min_group_rows, settings.min_per_class, binary=evidence.policy.task == "binary"
    )
    divided = _families(given, evidence, settings, floor)
    found = _judged_groups(divided, limits, settings, how, floor)
    small = [m for part in divided for m in below_floor(part.names, part.sizes, part.rarer, floor)]
    deciding = sorted(found, key=lambda m: _rank(m, settings))
    if settings.small_groups == "fail":
        deciding += small
    if not deciding:
        raise _none_large_enough(evidence, small, settings)
    unjudged = f"too small to judge: {_named(small)}" if small else ""
    result = conclude(
        NAME,
        deciding,
        passed_reason=_passed(deciding),
        details={
            "groups": _table(divided, how, floor),
            "limits": {str(measure): limit for measure, limit in limits.items()},
            "metric": settings.metric,
            "too_small": [m.subject for m in small],
        },
        also="; ".join(words for words in (also, unjudged) if words),
    )
    if settings.small_groups == "fail":
        return result
    # Intersections are named in the details; hundreds of them would bury the rest.
    named = [m for m in small if " & " not in m.subject]
    return result.model_copy(update={"measurements": (*result.measurements, *named)})


def _deciding_limits(
    evidence: Evidence, settings: FairnessSettings
) -> tuple[dict[Measure, float], str]:
    limits = {measure: settings.limit_of(measure) for measure in settings.gate_on}
    if evidence.champion is not None or "drop_vs_champion" not in limits:
        return limits, ""
    if evidence.policy.first_version is None:
        raise without_champion(NAME, evidence)
    # What stands in for the comparison is the absolute question, never nothing.
    del limits["drop_vs_champion"]
    limits.setdefault("gap_to_overall", settings.first_version_gap)
    return limits, f"first version: judged on {', '.join(limits)} instead of a champion"


def _given(evidence: Evidence, settings: FairnessSettings) -> Answers | ScoreTally:
    if not tallied.is_tallied(evidence):
        return answers(NAME, evidence)
    counted = tallied.tally_of(NAME, evidence)
    tallied.require_counted(NAME, evidence, settings.metric)
    return counted


def _families(
    given: Answers | ScoreTally, evidence: Evidence, settings: FairnessSettings, floor: Floor
) -> tuple[Family, ...]:
    labels = [group.label for group in evidence.policy.groups]
    if isinstance(given, ScoreTally):
        _require_groups(evidence, labels, [a for g in given.groups for a in g.attributes])
        return families_of_tally(labels, given, settings.max_order)
    _require_groups(evidence, labels, given.dataset.groups)
    groups = {label: given.dataset.groups[label] for label in labels}
    return families_of_rows(groups, given, floor, settings.max_order)


def _require_groups(evidence: Evidence, labels: Sequence[str], known: Container[str]) -> None:
    if not labels:
        raise NotJudged(
            naming(NAME, evidence),
            "the policy names no protected groups, so nobody's disadvantage would be seen",
            "add groups to the model in the policy, or remove the fairness gate knowingly",
        )
    absent = [label for label in labels if label not in known]
    if absent:
        raise NotJudged(
            naming(NAME, evidence),
            f"the evaluation dataset has no rows by {', '.join(absent)}",
            "add the column to the dataset, or correct groups in the policy",
        )


def _judged_groups(
    divided: Sequence[Family],
    limits: Mapping[Measure, float],
    settings: FairnessSettings,
    how: How,
    floor: Floor,
) -> list[Measurement]:
    found: list[Measurement] = []
    for order in sorted({part.order for part in divided}):
        family = [
            (part, floor.large(part.sizes, part.rarer)) for part in divided if part.order == order
        ]
        count = sum(len(judged) for _, judged in family)
        if not count:
            continue
        level = simultaneous_level(CONFIDENCE, count)
        for part, judged in family:
            for measure, limit in limits.items():
                by_group = part.losses(measure, judged, how, level)
                found += [
                    measured(
                        measure,
                        part.names[g],
                        by_group.get(g),
                        limit=limit,
                        decide_on=settings.decide_on,
                        metric=settings.metric,
                        family=count,
                        rows=int(part.sizes[g]),
                    )
                    for g in judged
                ]
    return found


def _rank(measurement: Measurement, settings: FairnessSettings) -> tuple[int, float]:
    """Single attributes first, then the loss that exceeds its limit most."""
    order = measurement.subject.count(" & ")
    observed, limit = measurement.observed, measurement.limit
    if observed is None or limit is None:
        return order, 0.0
    excess = limit - observed if measurement.direction == "min" else observed - limit
    return order, -excess


def _none_large_enough(
    evidence: Evidence, small: Sequence[Measurement], settings: FairnessSettings
) -> NotJudged:
    names = ", ".join(m.subject for m in small[:5])
    needed = max((m.needed_sample_size or 0 for m in small), default=0)
    return NotJudged(
        naming(NAME, evidence),
        f"no group has {settings.min_group_rows} rows with {settings.min_per_class} of each class "
        f"({names})",
        f"evaluate on more rows, about {needed:,} in a group, or lower the floor knowingly",
        outcome=Outcome.INCONCLUSIVE,
    )


def _named(small: Sequence[Measurement]) -> str:
    """Name the one group, or say how many there are and where they are listed."""
    first = f"{small[0].subject} ({small[0].reason.split(': ')[0]})"
    return first if len(small) == 1 else f"{len(small)} groups, listed in too_small, as {first}"


def _passed(deciding: Sequence[Measurement]) -> str:
    worst = min(
        (m for m in deciding if m.observed is not None and m.limit is not None),
        key=lambda m: _room(m),
        default=None,
    )
    if worst is None:
        return "no group is worse off"
    return (
        f"no group of {len({m.subject for m in deciding})} is worse off; closest to its limit is "
        f"{worst.subject} with {worst.name} {shown(worst.observed)}, limit {shown(worst.limit)}"
    )


def _room(measurement: Measurement) -> float:
    observed, limit = measurement.observed or 0.0, measurement.limit or 0.0
    return observed - limit if measurement.direction == "min" else limit - observed


def _table(divided: Sequence[Family], how: How, floor: Floor) -> list[JsonValue]:
    """One row a group with every measure that can be computed, each with its own 95 % interval."""
    reported = ALL if how.task == "binary" else ALL[:2]
    rows: list[JsonValue] = []
    for part in divided:
        large = floor.large(part.sizes, part.rarer)
        # A bootstrap for each pair of attributes costs more than a table is worth.
        if how.metric != "roc_auc" and part.order > 1:
            continue
        by_measure = {m: part.losses(m, large, how, CONFIDENCE) for m in reported}
        for g in large:
            row: dict[str, JsonValue] = {
                "group": part.names[g],
                "order": part.order,
                "rows": int(part.sizes[g]),
            }
            for name, loss in _flat(by_measure, g):
                row[name] = loss
            rows.append(row)
    return rows


def _flat(by_measure: dict[Measure, dict[int, Loss]], g: int) -> Iterator[tuple[str, float]]:
    for measure, by_group in by_measure.items():
        loss = by_group.get(g)
        if loss is None:
            continue
        yield measure, loss.value
        if measure == "drop_vs_champion":
            yield "drop_low", loss.low
            yield "drop_high", loss.high
            yield "champion", loss.other
        if measure == "gap_to_overall":
            yield "candidate", loss.own


GATE = Gate(
    name=NAME,
    question="Is any protected group worse off?",
    settings=FairnessSettings,
    evaluate=evaluate,
)
