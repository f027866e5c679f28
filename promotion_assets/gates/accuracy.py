"""Accuracy: is the candidate good enough, and better than the champion by a margin?

Both versions are measured on the same rows. The AUC of a binary model has DeLong's interval and
paired test; any other scikit-learn scorer has a bootstrap over rows, paired likewise.

What decides
------------
``decide_on: point`` is the default: a minimum and a margin are levels that people set with
slack, and the interval is shown beside them. ``lower_bound`` asks for proof: the whole 95 %
interval must lie above, else the gate is inconclusive and says which sample would settle it; a
wrong approval is then had in 2.5 % of cases at most. Two cases take the bound whatever the policy
says, because the point means nothing there: a negative margin (non-inferiority is a claim about
how much worse it could be), and a holdout budget that is spent (the best of many candidates looks
better than it is), where the interval is also widened by Bonferroni for every candidate that was
judged on these rows.

An improvement above ``suspicious_above`` fails: a leak is likelier than a miracle. So does a
version whose author logged clearly more than was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates import tallied
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.limits import DecideOn, interval_of, judged, value_of
from promotion_assets.gates.logged import claims, overclaimed
from promotion_assets.gates.metrics import (
    WITHIN_ONE,
    compare,
    estimate,
    metric_problem,
    unknown_metric,
)
from promotion_assets.gates.scored import Answers, answers, without_champion
from promotion_assets.gates.verdict import conclude, shown, shown_interval
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.simultaneous import bonferroni

NAME = "accuracy"
CONFIDENCE = 0.95


class AccuracySettings(GateSettings):
    """Settings of the accuracy gate.

    Attributes:
        metric: a scikit-learn scorer's name; greater is better, losses are ``neg_…``.
        minimum: the least that the candidate must reach; ``null`` for none.
        improvement: how much better than the champion it must be; negative allows it to be
            that much worse (non-inferiority); ``null`` compares nothing.
        decide_on: see the module's docstring.
        suspicious_above: an improvement above this fails; ``null`` for no such limit.
        logged_tolerance: how far a logged metric may exceed the measured one.
        on_logged_mismatch: whether a logged metric that exceeds it fails the gate.
        threshold: probability from which a row is predicted positive, for metrics of
            predictions (binary).
        resamples, seed: of the bootstrap, for metrics other than the binary AUC.
    """

    metric: str = "roc_auc"
    minimum: float | None = 0.82
    improvement: float | None = 0.005
    decide_on: Literal["point", "lower_bound"] = "point"
    suspicious_above: float | None = 0.2
    logged_tolerance: float = Field(default=0.02, ge=0)
    on_logged_mismatch: Literal["fail", "report"] = "fail"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    resamples: int = Field(default=1000, ge=100, le=100_000)
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _defaults_fit_the_metric(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("metric", "roc_auc") in WITHIN_ONE:
            return values
        unknown = unknown_metric(str(values["metric"]))
        if unknown:
            raise ValueError(f"metric {unknown}")
        # The defaults are for metrics that end at 1; for an error in euros they mean nothing.
        unset = [name for name in ("minimum", "improvement") if name not in values]
        if unset:
            names = " and ".join(unset)
            raise ValueError(f"metric {values['metric']!r} has no default for {names}: set both")
        return {"suspicious_above": None, **values}

    @model_validator(mode="after")
    def _limits_agree(self) -> AccuracySettings:
        if self.minimum is None and self.improvement is None:
            raise ValueError("minimum and improvement are both null, so nothing would be judged")
        if self.metric in WITHIN_ONE and self.minimum is not None and self.minimum > 1:
            raise ValueError(f"minimum {self.minimum} is above 1, the best {self.metric}")
        above, margin = self.suspicious_above, self.improvement
        if above is not None and margin is not None and above <= margin:
            raise ValueError(
                f"suspicious_above {above} is not above improvement {margin}: "
                "no candidate could meet both"
            )
        return self

    def contradictions(self, policy: ModelPolicy) -> tuple[str, ...]:
        """Return what in ``policy`` does not fit these settings."""
        problem = metric_problem(self.metric, policy.task)
        if problem:
            return (f"metric {problem}",)
        if policy.first_version is not None and self.minimum is None:
            return ("minimum is null, so nothing stands in for the comparison of first_version",)
        return ()


def evaluate(evidence: Evidence, settings: AccuracySettings) -> GateResult:
    """Measure candidate and champion on the same rows and hold both against the limits."""
    spent = evidence.judged_before >= evidence.policy.holdout_budget
    confidence = bonferroni(CONFIDENCE, evidence.judged_before + 1) if spent else CONFIDENCE
    decide_on: DecideOn = "bound" if spent or settings.decide_on == "lower_bound" else "point"
    own, difference = _measured(evidence, settings, confidence)
    measurements = [
        _absolute(own, difference, settings, decide_on),
        *_compared(difference, evidence, settings, decide_on),
        *_logged(own, evidence, settings),
    ]
    return conclude(
        NAME,
        measurements,
        passed_reason=_passed(own, difference, settings),
        details={
            "metric": settings.metric,
            "confidence": confidence,
            "judged_before": evidence.judged_before,
            "holdout_budget": evidence.policy.holdout_budget,
            "first_version": _first_version(evidence),
        },
        also=_budget_words(evidence) if spent else "",
    )


def _measured(
    evidence: Evidence, settings: AccuracySettings, confidence: float
) -> tuple[Estimate, Difference | None]:
    if not tallied.is_tallied(evidence):
        given = answers(NAME, evidence)
        own = _estimate(given, evidence, settings, confidence)
        return own, _difference(given, evidence, settings, confidence)
    counted = tallied.tally_of(NAME, evidence)
    tallied.require_counted(NAME, evidence, settings.metric)
    how = (settings.metric, settings.threshold, confidence)
    own = tallied.estimate(counted.overall, *how)
    if evidence.champion is None:
        _require_first_version(evidence, settings)
        return own, None
    return own, tallied.compare(counted.overall, *how)


def _estimate(
    given: Answers, evidence: Evidence, settings: AccuracySettings, confidence: float
) -> Estimate:
    return estimate(
        settings.metric,
        given.labels,
        given.candidate,
        task=evidence.policy.task,
        confidence=confidence,
        threshold=settings.threshold,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _difference(
    given: Answers, evidence: Evidence, settings: AccuracySettings, confidence: float
) -> Difference | None:
    if given.champion is None:
        _require_first_version(evidence, settings)
        return None
    return compare(
        settings.metric,
        given.labels,
        given.candidate,
        given.champion,
        task=evidence.policy.task,
        confidence=confidence,
        threshold=settings.threshold,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _require_first_version(evidence: Evidence, settings: AccuracySettings) -> None:
    if settings.improvement is not None and evidence.policy.first_version is None:
        raise without_champion(NAME, evidence)


def _absolute(
    own: Estimate,
    difference: Difference | None,
    settings: AccuracySettings,
    decide_on: DecideOn,
) -> Measurement:
    baseline = difference.second if difference else None
    if settings.minimum is None:
        return Measurement(
            name=settings.metric,
            observed=own.value,
            interval=interval_of(own),
            baseline=baseline,
            sample_size=own.n,
        )
    return judged(
        own,
        name=settings.metric,
        limit=settings.minimum,
        direction="min",
        decide_on=decide_on,
        baseline=baseline,
        next_step="train a better model; the minimum is gates.accuracy.minimum",
    )


def _compared(
    difference: Difference | None,
    evidence: Evidence,
    settings: AccuracySettings,
    decide_on: DecideOn,
) -> Iterator[Measurement]:
    if difference is None or evidence.champion is None:
        return
    champion = f"champion version {evidence.champion.version}"
    if settings.improvement is None:
        yield Measurement(
            name="improvement",
            observed=difference.difference,
            interval=interval_of(difference),
            baseline=difference.second,
            sample_size=difference.n,
        )
        return
    yield judged(
        difference,
        name="improvement",
        limit=settings.improvement,
        direction="min",
        decide_on="bound" if settings.improvement < 0 else decide_on,
        baseline=difference.second,
        called=(
            f"{settings.metric} {shown(difference.first)} against {shown(difference.second)} of "
            f"{champion}: the improvement"
        ),
        next_step=f"keep {champion}, or train a model that is better by the margin",
    )
    if settings.suspicious_above is not None:
        yield judged(
            difference,
            name="suspicious_improvement",
            limit=settings.suspicious_above,
            direction="max",
            decide_on="point",
            baseline=difference.second,
            called=f"the improvement over {champion} is too good to be true: it",
            next_step="look for a leak of the label, or of evaluation rows into training",
        )


def _logged(own: Estimate, evidence: Evidence, settings: AccuracySettings) -> Iterator[Measurement]:
    fails = settings.on_logged_mismatch == "fail"
    high = interval_of(own).high
    for name, claimed in claims(settings.metric, evidence.candidate.logged_metrics).items():
        over = overclaimed(claimed, own.value, high, settings.logged_tolerance)
        outcome = Outcome.FAILED if over else Outcome.PASSED
        finite = claimed - own.value if abs(claimed) < float("inf") else None
        yield Measurement(
            name="logged_minus_measured",
            subject=name,
            observed=finite,
            limit=settings.logged_tolerance,
            direction="max",
            sample_size=own.n,
            outcome=outcome if fails else None,
            reason=(
                f"the run logged {name} {claimed:.4g}, measured {settings.metric} is "
                f"{shown(own.value)}{shown_interval(interval_of(own))}. Next: ask the author on "
                "which rows it was measured"
                if over
                else ""
            ),
        )


def _passed(own: Estimate, difference: Difference | None, settings: AccuracySettings) -> str:
    words = f"{settings.metric} {shown(own.value)}{shown_interval(interval_of(own))}"
    if difference is None:
        return f"{words}; first version, judged by the absolute minimum alone"
    return (
        f"{words}, {value_of(difference):+.4f}{shown_interval(interval_of(difference))} against "
        f"the champion's {shown(difference.second)}"
    )


def _first_version(evidence: Evidence) -> str | None:
    stanza = evidence.policy.first_version
    return stanza.reason if evidence.champion is None and stanza else None


def _budget_words(evidence: Evidence) -> str:
    return (
        f"{evidence.judged_before} candidates were judged on these rows before, past the budget of "
        f"{evidence.policy.holdout_budget}, so the interval is widened and decides; "
        "bring a fresh evaluation dataset"
    )


GATE = Gate(
    name=NAME,
    question="Is it good enough, and better than the champion by the margin?",
    settings=AccuracySettings,
    evaluate=evaluate,
)
