"""Robustness: do small changes leave its decisions alone, and does it survive bad input?

Some evaluation rows are asked again with a little noise, with each feature missing, and with each
feature far out of its range. A *flip* is a row whose decision changes: another side of the
threshold (binary), another class (multiclass), an answer that moves by more than
``regression_tolerance`` standard deviations of the answers (regression).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.evaluation.profile import FeatureProfile
from promotion_assets.evaluation.scores import Floats, Probe, ScoringFailure
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Measurement, Outcome
from promotion_assets.gates.limits import DecideOn, judged
from promotion_assets.gates.metrics import predictions
from promotion_assets.gates.scored import sample_answers
from promotion_assets.gates.verdict import NotJudged, conclude, naming, shown
from promotion_assets.policy.model import Task
from promotion_assets.statistics.intervals import wilson

NAME = "robustness"
PERTURBED, MISSING, OUT_OF_RANGE = "perturbed", "missing", "out_of_range"


class RobustnessSettings(GateSettings):
    """Settings of the robustness gate; ``null`` reports flips without a limit.

    Attributes:
        perturbed_flips: largest share of decisions that a little noise may flip.
        missing_flips, out_of_range_flips: the same with one feature missing, or out of range.
        exceptions: whether an input on which the model breaks fails the gate.
        missing: for which features an exception on a missing value counts: those that are
            missing in production too, or all.
        threshold: probability from which a row is predicted positive (binary).
        regression_tolerance: see the module's docstring.
        decide_on: ``point`` or the upper end of the share's interval.
    """

    perturbed_flips: float | None = Field(default=0.02, ge=0, le=1)
    missing_flips: float | None = Field(default=None, ge=0, le=1)
    out_of_range_flips: float | None = Field(default=None, ge=0, le=1)
    exceptions: Literal["fail", "report"] = "fail"
    missing: Literal["as_in_production", "all"] = "as_in_production"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    regression_tolerance: float = Field(default=0.1, gt=0)
    decide_on: Literal["point", "upper_bound"] = "point"

    @model_validator(mode="after")
    def _something_decides(self) -> RobustnessSettings:
        limits = (self.perturbed_flips, self.missing_flips, self.out_of_range_flips)
        if self.exceptions == "report" and all(limit is None for limit in limits):
            raise ValueError("exceptions are only reported and no flips are limited")
        return self

    def limit(self, kind: str) -> float | None:
        """Return the limit of flips for a kind of probe."""
        return {
            PERTURBED: self.perturbed_flips,
            MISSING: self.missing_flips,
            OUT_OF_RANGE: self.out_of_range_flips,
        }.get(kind)


def evaluate(evidence: Evidence, settings: RobustnessSettings) -> GateResult:
    """Compare the answers on changed rows with those on the rows as they are."""
    base = sample_answers(NAME, evidence)
    probes = _probes(evidence)
    _all_kinds(probes, evidence, settings)
    measurements: list[Measurement] = []
    for probe in probes:
        measurements += _judged(probe, base, evidence, settings)
    measurements.sort(key=lambda m: (m.outcome is None, -(m.observed or 0.0)))
    worst = next((m for m in measurements if m.outcome is not None), None)
    passed = "it breaks on no input"
    if worst is not None and worst.observed is not None:
        passed += f"; {shown(worst.observed)} of decisions flip at most ({worst.subject})"
    return conclude(NAME, measurements, passed_reason=passed, details={"probes": len(probes)})


def _probes(evidence: Evidence) -> tuple[Probe, ...]:
    found = evidence.candidate_probes
    doing = naming(NAME, evidence)
    if isinstance(found, ScoringFailure):
        raise NotJudged(
            doing,
            f"the candidate could not be probed ({found.kind}): {found.reason.rstrip('. ')}",
            "mend the model and register a new version",
            because_of=found.because_of,
        )
    if not found:
        words = evidence.missing.get("candidate_probes", "the candidate was not probed")
        raise NotJudged(doing, words, "evaluate the version again")
    return found


def _all_kinds(probes: Sequence[Probe], evidence: Evidence, settings: RobustnessSettings) -> None:
    """A limit on probes that nobody made is missing evidence."""
    made = {probe.name.partition(":")[0] for probe in probes}
    for kind in (PERTURBED, MISSING, OUT_OF_RANGE):
        if settings.limit(kind) is not None and kind not in made:
            raise NotJudged(
                naming(NAME, evidence),
                f"no {kind} rows were asked, and the policy limits their flips",
                "evaluate the version again",
            )


def _judged(
    probe: Probe, base: Floats, evidence: Evidence, settings: RobustnessSettings
) -> Iterator[Measurement]:
    kind, _, feature = probe.name.partition(":")
    if probe.values is None:
        yield _broken(probe, kind, feature, evidence, settings)
        return
    if len(probe.rows) == 0 or probe.values.shape != base[probe.rows].shape:
        raise NotJudged(
            naming(NAME, evidence),
            f"the answers to {probe.name} do not belong to the rows that were asked",
            "evaluate the version again",
        )
    if not np.isfinite(probe.values).all():
        yield _not_numbers(probe, settings)
        return
    flipped = _flips(base, probe, evidence.policy.task, settings)
    share = wilson(int(np.count_nonzero(flipped)), len(flipped))
    limit = settings.limit(kind)
    if limit is None:
        yield Measurement(
            name="flips", subject=probe.name, observed=share.value, sample_size=share.n
        )
        return
    decide_on: DecideOn = "bound" if settings.decide_on == "upper_bound" else "point"
    yield judged(
        share,
        name="flips",
        subject=probe.name,
        limit=limit,
        direction="max",
        decide_on=decide_on,
        called=f"the share of decisions that flip when {_words(kind, feature)}",
        next_step="look at the feature's scale and at decisions next to the threshold",
    )


def _flips(
    base: Floats, probe: Probe, task: Task, settings: RobustnessSettings
) -> npt.NDArray[np.bool_]:
    assert probe.values is not None
    before = base[probe.rows]
    if task == "regression":
        allowed = settings.regression_tolerance * float(np.std(base))
        moved: npt.NDArray[np.bool_] = np.abs(probe.values - before) > allowed
        return moved
    then = predictions(before, task, settings.threshold)
    now = predictions(probe.values, task, settings.threshold)
    changed: npt.NDArray[np.bool_] = np.asarray(then != now)
    return changed


def _broken(
    probe: Probe, kind: str, feature: str, evidence: Evidence, settings: RobustnessSettings
) -> Measurement:
    failure = probe.failure
    why = f"{failure.kind}: {failure.reason.rstrip('. ')}" if failure else "no answer, no reason"
    counts = settings.exceptions == "fail"
    if kind == MISSING and settings.missing == "as_in_production":
        counts = counts and _missing_in_production(evidence.production_profile, feature)
    if failure is not None and failure.kind == "timeout":
        # Not asked is not known; the model may be sound and the host slow.
        outcome = Outcome.INCONCLUSIVE if counts else None
    else:
        outcome = Outcome.FAILED if counts else None
    return Measurement(
        name="exceptions",
        subject=probe.name,
        observed=1.0,
        limit=0.0,
        direction="max",
        sample_size=len(probe.rows),
        outcome=outcome,
        reason=(
            f"the model breaks when {_words(kind, feature)} ({why}). "
            "Next: handle such input in the model's pipeline"
        ),
    )


def _not_numbers(probe: Probe, settings: RobustnessSettings) -> Measurement:
    kind, _, feature = probe.name.partition(":")
    return Measurement(
        name="exceptions",
        subject=probe.name,
        observed=1.0,
        limit=0.0,
        direction="max",
        sample_size=len(probe.rows),
        outcome=Outcome.FAILED,
        reason=f"it answers no numbers when {_words(kind, feature)}. Next: handle such input",
    )


def _missing_in_production(profile: FeatureProfile | None, feature: str) -> bool:
    # Without a profile nobody knows, and then a missing value must be expected.
    if profile is None:
        return True
    found = profile.feature(feature)
    return found is None or found.missing > 0


def _words(kind: str, feature: str) -> str:
    match kind:
        case "missing":
            return f"{feature} is missing"
        case "out_of_range":
            return f"{feature} is out of its range"
        case _:
            return "the input is perturbed a little"


GATE = Gate(
    name=NAME,
    question="Do small changes leave its decisions alone, and does it survive bad input?",
    settings=RobustnessSettings,
    evaluate=evaluate,
    reads=frozenset({"scores", "production"}),
)
