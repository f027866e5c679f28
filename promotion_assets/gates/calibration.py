"""Calibration: can the score be read as a probability?

The expected calibration error (ECE) over bins of equally many rows, and the Brier score. An ECE is
never 0, noise alone gives some: with ``decide_on: point`` (the default) the limit should leave room
for that; ``upper_bound`` asks for proof that the true error is within the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates import tallied
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement
from promotion_assets.gates.limits import DecideOn, judged
from promotion_assets.gates.scored import Answers, answers, without_champion
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.statistics.calibration import (
    brier_difference,
    brier_estimate,
    ece_estimate,
    reliability,
)
from promotion_assets.statistics.estimates import Difference, Estimate

NAME = "calibration"
BRIER = "neg_brier_score"
CONFIDENCE = 0.95
RECALIBRATE = "recalibrate the model (sklearn.calibration.CalibratedClassifierCV)"


class CalibrationSettings(GateSettings):
    """Settings of the calibration gate; ``null`` sets no limit.

    Attributes:
        ece: largest expected calibration error.
        brier: largest Brier score.
        brier_increase: how much larger the Brier score may be than the champion's.
        bins: bins of the ECE.
        decide_on: see the module's docstring.
        seed: of the ECE's interval.
    """

    ece: float | None = Field(default=0.05, gt=0, le=1)
    brier: float | None = Field(default=None, gt=0, le=1)
    brier_increase: float | None = Field(default=None, ge=0, le=1)
    bins: int = Field(default=15, ge=2, le=1000)
    decide_on: Literal["point", "upper_bound"] = "point"
    seed: int = 0

    @model_validator(mode="after")
    def _something_decides(self) -> CalibrationSettings:
        if self.ece is None and self.brier is None and self.brier_increase is None:
            raise ValueError("ece, brier and brier_increase are all null: nothing would be judged")
        return self

    def contradictions(self, policy: ModelPolicy) -> tuple[str, ...]:
        """Return what in ``policy`` does not fit these settings."""
        if policy.task != "binary":
            return (f"calibration judges the probability of a binary model, not {policy.task}",)
        return ()


def evaluate(evidence: Evidence, settings: CalibrationSettings) -> GateResult:
    """Hold the candidate's calibration against the limits."""
    if evidence.policy.task != "binary":
        raise NotJudged(
            naming(NAME, evidence),
            f"a {evidence.policy.task} model has no single probability",
            "remove the calibration gate from the policy",
        )
    if tallied.is_tallied(evidence):
        return _counted(evidence, settings)
    given = answers(NAME, evidence)
    measurements = list(_measured(given, evidence, settings))
    table = reliability(given.labels, given.candidate, bins=settings.bins)
    rows: list[JsonValue] = [
        {"rows": int(n), "mean_score": float(score), "observed_rate": float(rate)}
        for n, score, rate in zip(table.rows, table.mean_score, table.observed_rate, strict=True)
    ]
    passed = [f"{m.name} {shown(m.observed)}" for m in measurements if m.outcome]
    return conclude(
        NAME,
        measurements,
        passed_reason=f"{', '.join(passed)} within the limits",
        details={"reliability": rows},
    )


def _measured(
    given: Answers, evidence: Evidence, settings: CalibrationSettings
) -> Iterator[Measurement]:
    decide_on: DecideOn = "bound" if settings.decide_on == "upper_bound" else "point"
    if settings.ece is not None:
        yield judged(
            ece_estimate(
                given.labels,
                given.candidate,
                bins=settings.bins,
                rng=np.random.default_rng(settings.seed),
            ),
            name="ece",
            limit=settings.ece,
            direction="max",
            decide_on=decide_on,
            called="the expected calibration error",
            next_step=RECALIBRATE,
        )
    if settings.brier is not None:
        yield _brier(brier_estimate(given.labels, given.candidate), settings.brier, decide_on)
    if settings.brier_increase is not None:
        yield from _increase(given, evidence, settings.brier_increase, decide_on)


def _counted(evidence: Evidence, settings: CalibrationSettings) -> GateResult:
    """Hold the Brier score against the limits, where only counts of shards are kept."""
    overall = tallied.tally_of(NAME, evidence).overall
    if settings.ece is not None:
        raise tallied.needs_rows(
            NAME, evidence, "the expected calibration error", "set ece: null and a limit of brier"
        )
    decide_on: DecideOn = "bound" if settings.decide_on == "upper_bound" else "point"
    measurements = []
    if settings.brier is not None:
        loss = tallied.estimate(overall, BRIER, 0.5, CONFIDENCE)
        own = replace(loss, value=-loss.value, low=-loss.high, high=-loss.low)
        measurements.append(_brier(own, settings.brier, decide_on))
    if settings.brier_increase is not None and evidence.champion is None:
        measurements.append(_without_champion(evidence, settings.brier_increase))
    elif settings.brier_increase is not None:
        # The champion's score less the candidate's is the increase of the loss.
        gain = tallied.compare(overall, BRIER, 0.5, CONFIDENCE, turned=True)
        worse = replace(gain, first=-gain.second, second=-gain.first)
        measurements.append(_increased(worse, settings.brier_increase, decide_on))
    passed = [f"{m.name} {shown(m.observed)}" for m in measurements if m.outcome]
    return conclude(NAME, measurements, passed_reason=f"{', '.join(passed)} within the limits")


def _increase(
    given: Answers, evidence: Evidence, limit: float, decide_on: DecideOn
) -> Iterator[Measurement]:
    if given.champion is None:
        yield _without_champion(evidence, limit)
        return
    difference = brier_difference(given.labels, given.candidate, given.champion)
    yield _increased(difference, limit, decide_on)


def _brier(own: Estimate, limit: float, decide_on: DecideOn) -> Measurement:
    return judged(
        own,
        name="brier",
        limit=limit,
        direction="max",
        decide_on=decide_on,
        called="the Brier score",
        next_step=RECALIBRATE,
    )


def _increased(difference: Difference, limit: float, decide_on: DecideOn) -> Measurement:
    return judged(
        difference,
        name="brier_increase",
        limit=limit,
        direction="max",
        decide_on=decide_on,
        baseline=difference.second,
        called=f"the Brier score less the champion's {shown(difference.second)}",
        next_step=RECALIBRATE,
    )


def _without_champion(evidence: Evidence, limit: float) -> Measurement:
    if evidence.policy.first_version is None:
        raise without_champion(NAME, evidence)
    return Measurement(
        name="brier_increase",
        limit=limit,
        direction="max",
        # The absolute limits stand in; where there is none, nothing speaks for the version.
        outcome=None,
        reason="first version: there is no champion to compare with",
    )


GATE = Gate(
    name=NAME,
    question="Can its score be read as a probability?",
    settings=CalibrationSettings,
    evaluate=evaluate,
)
