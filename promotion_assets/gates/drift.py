"""Drift: does production still send what the model was trained on?

The population stability index (PSI) of every feature that the model uses, the training profile's
bins against what production sends now, binned on the same edges; missing values are a bin of
their own and categories are bins. Without any drift PSI is not 0 but about
``(bins - 1) * (1/N + 1/M)``, so that expectation is taken off before it is held against the
limit, and the interval says what of the rest may be noise. Common reading: below .1 none, .1 to
.25 moderate, above .25 strong. KL, JS, Wasserstein and KS are reported beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import Field, JsonValue, model_validator

from promotion_assets.canonical import digest_of
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.profile import (
    CategoricalFeature,
    FeatureProfile,
    NumericFeature,
)
from promotion_assets.gates.contract import (
    Gate,
    GateResult,
    GateSettings,
    Interval,
    Measurement,
    Outcome,
)
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown, shown_interval
from promotion_assets.statistics import divergence
from promotion_assets.statistics.checks import Floats
from promotion_assets.statistics.divergence import DriftEstimate

NAME = "drift"
Feature = NumericFeature | CategoricalFeature
LOG_PROFILE = "log one when training: promotion_assets.log_feature_profile(X_train)"


class DriftSettings(GateSettings):
    """Settings of the drift gate.

    Attributes:
        psi: limit of the corrected PSI of every feature.
        bands: where "moderate" and "strong" begin, for the words and the plot.
        features: other limits for single features, by name.
        ignore: features that are reported and not judged, such as a date.
        decide_on: ``point`` holds the corrected PSI against the limit; ``upper_bound`` its
            interval's upper end, and is inconclusive in between.
        min_rows: rows that production must have sent.
    """

    psi: float = Field(default=0.20, gt=0)
    bands: tuple[float, float] = (0.10, 0.25)
    features: dict[str, float] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    decide_on: Literal["point", "upper_bound"] = "point"
    min_rows: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _limits_agree(self) -> DriftSettings:
        if not 0 < self.bands[0] < self.bands[1]:
            raise ValueError(f"bands must ascend and be above 0, got {list(self.bands)}")
        wrong = [name for name, limit in self.features.items() if limit <= 0]
        if wrong:
            raise ValueError(f"features {', '.join(wrong)}: a limit of PSI must be above 0")
        both = sorted(set(self.features) & set(self.ignore))
        if both:
            raise ValueError(f"ignore names {', '.join(both)}, for which features sets a limit")
        return self


def evaluate(evidence: Evidence, settings: DriftSettings) -> GateResult:
    """Compare training and production, feature by feature; the worst comes first."""
    training, production = _profiles(evidence, settings)
    names = _judged_names(evidence, training)
    found = [_feature(name, training, production, settings) for name in names]
    found.sort(key=lambda pair: _badness(pair[0]), reverse=True)
    measurements = [measurement for measurement, _ in found]
    worst = next((m for m in measurements if m.observed is not None), None)
    passed = f"no feature of {len(names)} has drifted"
    if worst is not None:
        passed = (
            f"largest PSI of {len(names)} features is {shown(worst.observed)} ({worst.subject}), "
            f"at most {shown(worst.limit)}"
        )
    return conclude(
        NAME,
        measurements,
        passed_reason=passed,
        details={
            "features": [row for _, row in found if row],
            "bands": list[JsonValue](settings.bands),
            "training_rows": training.rows,
            "production_rows": production.rows,
        },
        inputs={
            "training_profile": digest_of(training.model_dump(mode="json")),
            "production_profile": digest_of(production.model_dump(mode="json")),
        },
    )


def _profiles(evidence: Evidence, settings: DriftSettings) -> tuple[FeatureProfile, FeatureProfile]:
    doing = naming(NAME, evidence)
    training, production = evidence.candidate.profile, evidence.production_profile
    if training is None:
        words = evidence.candidate.profile_problem or "the run has no training feature profile"
        raise NotJudged(doing, words.rstrip(". "), LOG_PROFILE, outcome=Outcome.FAILED)
    if training.rows < 1 or not training.features:
        words = "the training feature profile is empty"
        raise NotJudged(doing, words, LOG_PROFILE, outcome=Outcome.FAILED)
    if production is None:
        words = evidence.missing.get("production_profile", "there is no sample of production")
        raise NotJudged(doing, words, "set production.uri in the policy")
    if production.rows < settings.min_rows:
        raise NotJudged(
            doing,
            f"production sent {production.rows} rows, of {settings.min_rows} that are needed",
            "wait for more traffic, or widen the production sample",
            outcome=Outcome.INCONCLUSIVE,
        )
    return training, production


def _judged_names(evidence: Evidence, training: FeatureProfile) -> list[str]:
    """Return the features that the model uses; without a signature, all that were profiled."""
    signature = evidence.candidate.signature
    if signature is not None and signature.inputs and all(c.name for c in signature.inputs):
        return [column.name for column in signature.inputs]
    return [feature.name for feature in training.features]


def _feature(
    name: str,
    training: FeatureProfile,
    production: FeatureProfile,
    settings: DriftSettings,
) -> tuple[Measurement, dict[str, JsonValue]]:
    limit = settings.features.get(name, settings.psi)
    expected, actual = training.feature(name), production.feature(name)
    problem = _problem(expected, actual)
    if problem or expected is None or actual is None:
        outcome = None if name in settings.ignore else Outcome.FAILED
        return _unmeasured(name, limit, problem, outcome), {}
    estimate = divergence.psi_estimate(*bins_of(expected, actual))
    measurement = _judged(name, estimate, limit, settings)
    row: dict[str, JsonValue] = {
        "feature": name,
        "psi": estimate.corrected,
        "psi_uncorrected": estimate.value,
        "noise": estimate.null_mean,
        "low": estimate.low,
        "high": estimate.high,
        "limit": limit,
        "band": _band(estimate.corrected, settings),
        "missing_training": expected.missing / _total(expected),
        "missing_production": actual.missing / _total(actual),
        **_others(expected, actual),
    }
    return measurement, row


def _problem(expected: Feature | None, actual: Feature | None) -> str:
    if expected is None:
        return f"the training profile does not have it. Next: {LOG_PROFILE}"
    if actual is None:
        return "production does not send it. Next: mend the feature pipeline, or retrain without it"
    if _total(expected) == 0:
        return f"the training profile counts no rows of it. Next: {LOG_PROFILE}"
    if _total(actual) == 0:
        return "production sent no rows of it. Next: look at the feature pipeline"
    if expected.kind != actual.kind:
        return (
            f"it was {expected.kind} in training and is {actual.kind} in production. "
            "Next: mend its type in the feature pipeline"
        )
    if (
        isinstance(expected, NumericFeature)
        and isinstance(actual, NumericFeature)
        and expected.edges != actual.edges
    ):
        return "production was counted in other bins. Next: evaluate the version again"
    return ""


def _unmeasured(name: str, limit: float, problem: str, outcome: Outcome | None) -> Measurement:
    return Measurement(
        name="psi",
        subject=name,
        limit=limit,
        direction="max",
        outcome=outcome,
        reason=f"feature {name}: {problem}",
    )


def _judged(
    name: str, estimate: DriftEstimate, limit: float, settings: DriftSettings
) -> Measurement:
    interval = Interval(
        low=estimate.low, high=estimate.high, confidence=estimate.confidence, method=estimate.method
    )
    size = int(min(estimate.n_expected, estimate.n_actual))
    value = f"PSI of {name} is {shown(estimate.corrected)}{shown_interval(interval)}"
    needed: int | None = None
    if estimate.corrected > limit:
        outcome = Outcome.FAILED
        reason = (
            f"{value}, the limit is at most {shown(limit)} "
            f"({_band(estimate.corrected, settings)} drift). "
            "Next: retrain on recent data, or mend the feature"
        )
    elif settings.decide_on == "point" or estimate.high <= limit:
        outcome, reason = Outcome.PASSED, f"{value}, at most {shown(limit)}"
    else:
        outcome = Outcome.INCONCLUSIVE
        needed = _needed(estimate, limit, size)
        reason = f"{value}: the interval reaches over the limit of {shown(limit)}; " + (
            f"about {needed:,} rows on either side would settle it"
            if needed
            else "no sample size settles it"
        )
    return Measurement(
        name="psi",
        subject=name,
        observed=estimate.corrected,
        limit=limit,
        direction="max",
        interval=interval,
        sample_size=size,
        needed_sample_size=needed,
        outcome=None if name in settings.ignore else outcome,
        reason=reason,
    )


def _needed(estimate: DriftEstimate, limit: float, size: int) -> int | None:
    # The interval's reach shrinks with the square root of the rows.
    distance, reach = limit - estimate.corrected, estimate.high - estimate.corrected
    return int(np.ceil(size * (reach / distance) ** 2)) if distance > 1e-6 else None


def bins_of(expected: Feature, actual: Feature) -> tuple[Floats, Floats]:
    """Return both counts in the same bins, the missing values last."""
    if isinstance(expected, NumericFeature) and isinstance(actual, NumericFeature):
        first: Iterable[int] = expected.counts
        second: Iterable[int] = actual.counts
        return (
            divergence.with_missing(list(first), expected.missing),
            divergence.with_missing(list(second), actual.missing),
        )
    assert isinstance(expected, CategoricalFeature)
    assert isinstance(actual, CategoricalFeature)
    # Categories past those that either side kept are one bin together with its rest.
    kept = set(expected.counts)
    if expected.other:
        beyond = sum(count for name, count in actual.counts.items() if name not in kept)
        counted = {name: count for name, count in actual.counts.items() if name in kept}
    else:
        beyond, counted = 0, dict(actual.counts)
    _, first_counts, second_counts = divergence.union(expected.counts, counted)
    return (
        divergence.with_missing(np.append(first_counts, expected.other), expected.missing),
        divergence.with_missing(np.append(second_counts, actual.other + beyond), actual.missing),
    )


def _others(expected: Feature, actual: Feature) -> dict[str, JsonValue]:
    first, second = bins_of(expected, actual)
    row: dict[str, JsonValue] = {
        "kl": divergence.kl(first, second),
        "js": divergence.js(first, second),
    }
    if not isinstance(expected, NumericFeature) or not isinstance(actual, NumericFeature):
        return row
    if sum(expected.counts) == 0 or sum(actual.counts) == 0:
        return row
    row["ks"] = divergence.ks_binned(expected.counts, actual.counts)
    lows = [v for v in (expected.minimum, actual.minimum) if v is not None]
    highs = [v for v in (expected.maximum, actual.maximum) if v is not None]
    if lows and highs:
        row["wasserstein"] = divergence.wasserstein_binned(
            expected.counts, actual.counts, expected.edges, min(lows), max(highs)
        )
    return row


def _total(feature: Feature) -> int:
    if isinstance(feature, NumericFeature):
        return sum(feature.counts) + feature.missing
    return sum(feature.counts.values()) + feature.missing + feature.other


def _band(value: float, settings: DriftSettings) -> str:
    if value < settings.bands[0]:
        return "no"
    return "moderate" if value < settings.bands[1] else "strong"


def _badness(measurement: Measurement) -> float:
    if measurement.observed is None:
        return float("inf")
    return measurement.observed / (measurement.limit or 1.0)


GATE = Gate(
    name=NAME,
    question="Does production still send what the model was trained on?",
    settings=DriftSettings,
    evaluate=evaluate,
    reads=frozenset({"production"}),
)
