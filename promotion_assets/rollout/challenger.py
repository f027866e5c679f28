"""The challenger report: which of two versions was right more often about the units it answered.

Units were assigned by hash. Only matured ones count: those answered so long ago that everybody's
outcome would be known. The interval holds at every look at once, so reading the report each day
does not make it lie; where the number of units was planned, the planned boundary is shown beside
it. A recommendation is ``promote`` where the candidate is shown to lose no more than the margin,
``keep`` where it is shown to lose more, and ``go on`` in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, JsonValue

from promotion_assets.canonical import digest_of
from promotion_assets.gates.contract import Frozen, GateResult, Measurement, Outcome
from promotion_assets.gates.limits import interval_of
from promotion_assets.gates.verdict import shown, shown_interval
from promotion_assets.policy.rollout import Experiment
from promotion_assets.rollout.unit_outcomes import ARMS, UnitOutcomes, losses
from promotion_assets.statistics.estimates import Difference
from promotion_assets.statistics.group_sequential import SequentialPlan, analyse
from promotion_assets.statistics.intervals import newcombe
from promotion_assets.statistics.mean_sequences import mean_difference_sequence
from promotion_assets.statistics.moments import MeanCounts, moments
from promotion_assets.statistics.numerics import ndtri
from promotion_assets.statistics.sample_ratio import ArmCounts, sample_ratio

GATE = "challenger"
Recommendation = Literal["promote", "keep", "go on"]
POWER = 0.8
WHOLE = 10_000
# Chance of calling the assignment broken when it is not, over all looks.
RATIO_ALPHA = 0.01
_LOSSES = {"brier": "Brier score", "accuracy": "error rate", "log_loss": "log loss"}
_OUTCOMES: dict[Recommendation, Outcome] = {
    "promote": Outcome.PASSED,
    "keep": Outcome.FAILED,
    "go on": Outcome.INCONCLUSIVE,
}


class ArmFigures(Frozen):
    """One arm: units answered, of them matured, of them with a known outcome; mean loss."""

    version: str
    units: int
    matured: int
    known: int
    loss: float | None


class ChallengerReport(Frozen):
    """What an experiment says at this look.

    Attributes:
        effect: candidate's mean loss less the champion's, with the interval that holds always.
        detectable: smallest effect that the units of now would show with power .8; and once all
            that have been answered are matured.
        power_planned, power_trend: chance that the planned looks to come show something, if the
            effect is the margin planned for or the one seen; ``None`` without a plan.
        result: the same as a gate has it, for tables and pictures.
    """

    model: str
    segment: str
    candidate: str
    champion: str
    made_at: AwareDatetime
    metric: str
    recommendation: Recommendation
    arms: tuple[ArmFigures, ArmFigures]
    effect: Measurement
    crossed: int
    immature: int
    late: int
    detectable_now: float | None = None
    detectable_later: float | None = None
    power_planned: float | None = None
    power_trend: float | None = None
    warnings: tuple[str, ...] = ()
    result: GateResult

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest_of(self.model_dump(mode="json"))


def challenger_report(
    model: str,
    segment: str,
    found: UnitOutcomes,
    experiment: Experiment,
    now: datetime,
    *,
    threshold: float = 0.5,
) -> ChallengerReport:
    """Compare the arms of an experiment.

    Args:
        threshold: score from which a decision is positive, for the error rate.
    """
    rows = _rows(found, experiment, threshold)
    gap = mean_difference_sequence(rows, alpha=experiment.alpha)
    arms = _arms(found, experiment, threshold)
    ratio = _ratio(found)
    spoilt = _spoilt(found, ratio, experiment)
    advice, reason = _advice(gap, arms, experiment, spoilt)
    effect = _effect(gap, experiment, advice, reason)
    warnings = tuple(_warnings(found, threshold, experiment))
    looks = _planned(gap, arms, experiment)
    return ChallengerReport(
        model=model,
        segment=segment,
        candidate=found.trial.candidate,
        champion=found.trial.champion,
        made_at=now,
        metric=experiment.metric,
        recommendation=advice,
        arms=arms,
        effect=effect,
        crossed=found.crossed,
        immature=found.immature,
        late=found.late,
        detectable_now=_detectable(gap, experiment, 1.0),
        detectable_later=_detectable(gap, experiment, _growth(arms)),
        power_planned=looks.power_planned if looks else None,
        power_trend=looks.power_trend if looks else None,
        warnings=warnings,
        result=_result(effect, ratio, reason, warnings, arms, looks),
    )


@dataclass(frozen=True)
class _Looks:
    """The planned analysis at this look."""

    low: float
    high: float
    fraction: float
    power_planned: float
    power_trend: float


def _rows(found: UnitOutcomes, experiment: Experiment, threshold: float) -> list[MeanCounts]:
    """Return both arms' sums by period, so that a base that moves with the shares cancels."""
    rows = []
    for period in range(len(found.trial.periods)):
        sums = []
        for arm in ARMS:
            known = found.known(arm)
            own = known[known["period"] == period]
            sums.append(moments(losses(own, experiment.metric, threshold)))
        rows.append(MeanCounts(candidate=sums[0], stable=sums[1]))
    return rows


def _arms(
    found: UnitOutcomes, experiment: Experiment, threshold: float
) -> tuple[ArmFigures, ArmFigures]:
    figures = []
    versions = (found.trial.candidate, found.trial.champion)
    for arm, version in zip(ARMS, versions, strict=True):
        known = found.known(arm)
        mean = float(losses(known, experiment.metric, threshold).mean()) if len(known) else None
        figures.append(
            ArmFigures(
                version=version,
                units=found.units(arm),
                matured=len(found.matured(arm)),
                known=len(known),
                loss=mean,
            )
        )
    return figures[0], figures[1]


def _ratio(found: UnitOutcomes) -> Measurement:
    counts = []
    for period, (_, share) in enumerate(found.trial.periods):
        planned = share / WHOLE
        units = [found.units(arm, period) for arm in ARMS]
        if 0 < share < WHOLE and any(units):
            counts.append(ArmCounts((planned, 1 - planned), (units[0], units[1])))
    evidence = sample_ratio(counts, alpha=RATIO_ALPHA)
    expected = sum(row.shares[0] * sum(row.units) for row in counts)
    outcome = Outcome.ERROR if evidence.shown else Outcome.PASSED if counts else None
    return Measurement(
        name="sample_ratio",
        observed=evidence.p_value,
        limit=RATIO_ALPHA,
        direction="min",
        sample_size=evidence.n,
        outcome=outcome,
        reason=f"the candidate answered {sum(row.units[0] for row in counts):,} units, "
        f"{expected:,.0f} were planned; always-valid p {evidence.p_value:.3g}",
    )


def _spoilt(found: UnitOutcomes, ratio: Measurement, experiment: Experiment) -> str:
    """Say why nothing can be concluded, whatever the numbers are; empty where nothing does."""
    if ratio.outcome is Outcome.ERROR:
        return f"the arms did not get the units that were planned: {ratio.reason}"
    sizes = [(len(found.known(arm)), len(found.matured(arm))) for arm in ARMS]
    if all(matured for _, matured in sizes):
        gap = newcombe(*sizes[0], *sizes[1], confidence=1 - experiment.alpha / 5)
        if gap.low > 0 or gap.high < 0:
            return (
                f"outcomes are known of {gap.first:.1%} of the candidate's matured units and of "
                f"{gap.second:.1%} of the champion's, so the arms cannot be compared"
            )
    return ""


def _advice(
    gap: Difference,
    arms: tuple[ArmFigures, ArmFigures],
    experiment: Experiment,
    spoilt: str,
) -> tuple[Recommendation, str]:
    least = min(arm.known for arm in arms)
    what = f"the candidate's {_LOSSES[experiment.metric]} less the champion's"
    if spoilt:
        return "go on", f"nothing is recommended: {spoilt}"
    if least < experiment.minimum_units:
        return "go on", (
            f"{least:,} matured units with an outcome in the smaller arm, of "
            f"{experiment.minimum_units:,} that it takes"
        )
    if not math.isfinite(gap.difference) or not math.isfinite(gap.high):
        return "go on", f"nothing can be told yet: {gap.method}"
    words = f"{what} is {shown(gap.difference)}{shown_interval(interval_of(gap))}"
    margin = f"the margin is {shown(experiment.margin)}"
    if gap.high <= experiment.margin:
        return "promote", f"promote version {arms[0].version}: {words}, {margin}"
    if gap.low > experiment.margin:
        return "keep", f"keep version {arms[1].version}: {words}, {margin}"
    return "go on", f"go on: {words}, which reaches over the margin of {shown(experiment.margin)}"


def _effect(
    gap: Difference, experiment: Experiment, advice: Recommendation, reason: str
) -> Measurement:
    known = math.isfinite(gap.difference)
    return Measurement(
        name=f"{experiment.metric}_loss_change" if known else "loss_change",
        observed=gap.difference if known else None,
        limit=experiment.margin,
        direction="max",
        interval=interval_of(gap),
        baseline=gap.second if math.isfinite(gap.second) else None,
        sample_size=gap.n,
        outcome=_OUTCOMES[advice],
        reason=reason,
    )


def _warnings(found: UnitOutcomes, threshold: float, experiment: Experiment) -> Iterator[str]:
    if found.crossed:
        yield (
            f"{found.crossed:,} units were answered by both arms under one share: assignment was "
            "not the same throughout"
        )
    for arm in ARMS:
        matured = found.matured(arm)
        positive = matured["score"] >= threshold
        sides = [matured[positive], matured[~positive]]
        if not all(len(side) for side in sides):
            continue
        counts = [(int(side["label"].notna().sum()), len(side)) for side in sides]
        gap = newcombe(*counts[0], *counts[1], confidence=1 - experiment.alpha)
        if gap.low > 0 or gap.high < 0:
            version = found.trial.candidate if arm == "candidate" else found.trial.champion
            yield (
                f"selective labels: under version {version} outcomes are known of "
                f"{gap.first:.1%} of those decided positively and of {gap.second:.1%} of the "
                "others; each version chose whose outcome is seen, so a lower loss may come of that"
            )


def _detectable(gap: Difference, experiment: Experiment, growth: float) -> float | None:
    """Return the smallest effect whose interval would end before 0 with power .8.

    The interval's own reach at the units seen, narrowed as standard errors are by ``growth``
    times the units, and the 80 % quantile of the estimate's noise.
    """
    if not math.isfinite(gap.std_error) or not math.isfinite(gap.high):
        return None
    reach = gap.high - gap.difference
    noise: float = ndtri(POWER) * gap.std_error
    return (reach + noise) / math.sqrt(growth)


def _growth(arms: tuple[ArmFigures, ArmFigures]) -> float:
    """Return by how much the units grow once all that were answered are matured."""
    known = sum(1 / max(1, arm.known) for arm in arms)
    answered = sum(1 / max(1, arm.units) for arm in arms)
    return max(1.0, known / answered)


def _planned(
    gap: Difference, arms: tuple[ArmFigures, ArmFigures], experiment: Experiment
) -> _Looks | None:
    """Return the planned analysis; this look stands for all of the plan's until now."""
    if experiment.planned_units is None or not (gap.std_error > 0 and math.isfinite(gap.std_error)):
        return None
    fraction = min(arm.known for arm in arms) / experiment.planned_units
    if fraction <= 0:
        return None
    at = tuple((number + 1) / experiment.looks for number in range(experiment.looks))
    aim = experiment.margin or abs(gap.difference) or 1e-9
    plan = SequentialPlan(looks=at, effect=-aim, alpha=experiment.alpha)
    passed = [time for time in at if time < min(fraction, 1.0)]
    look = analyse(plan, [*passed, fraction], gap.difference, gap.std_error)
    return _Looks(look.low, look.high, fraction, look.power_planned, look.power_trend)


def _result(
    effect: Measurement,
    ratio: Measurement,
    reason: str,
    warnings: tuple[str, ...],
    arms: tuple[ArmFigures, ArmFigures],
    looks: _Looks | None,
) -> GateResult:
    details: dict[str, JsonValue] = {
        "arms": [arm.model_dump(mode="json") for arm in arms],
        **({"warnings": list(warnings)} if warnings else {}),
    }
    if looks is not None:
        details["planned analysis"] = {
            "share of the planned units": looks.fraction,
            "low": looks.low if math.isfinite(looks.low) else None,
            "high": looks.high if math.isfinite(looks.high) else None,
        }
    assert effect.outcome is not None
    return GateResult(
        gate=GATE,
        outcome=effect.outcome,
        reason="; ".join((reason, *warnings)),
        observed=effect.observed,
        limit=effect.limit,
        interval=effect.interval,
        sample_size=effect.sample_size,
        measurements=(effect, ratio),
        details=details,
    )
