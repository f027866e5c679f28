"""What a gate is: the result that it gives, and the form in which it is found.

A gate is one file. It defines a settings model, a pure function ``evaluate(evidence, settings)``
and one :class:`Gate` named ``GATE``. Quantities that are estimated carry an interval and a
sample size; where the data cannot tell, the outcome is ``inconclusive`` and says which sample
would settle it. Absence of evidence is never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from promotion_assets.evaluation.evidence import Evidence


class Outcome(StrEnum):
    """What a gate found. Only ``passed`` and ``waived`` let a candidate through."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    WAIVED = "waived"


class Frozen(BaseModel):
    """Base of the values in this module: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(Frozen):
    """A confidence interval.

    ``low`` or ``high`` is ``None`` where the interval is open on that side. ``method`` names
    how it was computed (``DeLong``, ``paired bootstrap``, ``Wilson`` …).
    """

    low: float | None
    high: float | None
    confidence: float = 0.95
    method: str


class Measurement(Frozen):
    """One number that a gate looked at, and what it was held against.

    Attributes:
        name: what was measured, ``roc_auc``, ``psi``, ``p95_ms``.
        subject: of what: a group (``EDUCATION=3``), a feature, ``overall``.
        observed: the point estimate, or ``None`` where there is none.
        limit: what it is held against; ``None`` where it is only reported.
        direction: ``min`` if ``observed`` must be at least ``limit``, ``max`` if at most.
        baseline: the champion's figure, where one was measured.
        outcome: what follows from this number alone; ``None`` where it is only reported.
    """

    name: str
    subject: str = "overall"
    observed: float | None = None
    limit: float | None = None
    direction: Literal["min", "max"] = "min"
    unit: str = ""
    interval: Interval | None = None
    baseline: float | None = None
    sample_size: int | None = None
    needed_sample_size: int | None = None
    outcome: Outcome | None = None
    reason: str = ""


class GateResult(Frozen):
    """What one gate says about one candidate.

    The headline fields (``observed`` … ``sample_size``) are those of the measurement that
    decided; ``measurements`` holds all of them. ``because_of`` names another gate when this one
    could not judge only because of that one's refusal: such a result is not a deciding gate.
    """

    gate: str
    outcome: Outcome
    reason: str = Field(min_length=1, description="One sentence a person can act on.")
    observed: float | None = None
    limit: float | None = None
    interval: Interval | None = None
    sample_size: int | None = None
    needed_sample_size: int | None = None
    measurements: tuple[Measurement, ...] = ()
    details: Mapping[str, JsonValue] = Field(default_factory=dict)
    inputs: Mapping[str, str] = Field(
        default_factory=dict, description="Digests of what was looked at, by name."
    )
    because_of: str | None = None
    duration_seconds: float = 0.0

    @property
    def lets_through(self) -> bool:
        """Whether this result alone allows the candidate to go on."""
        return self.outcome in (Outcome.PASSED, Outcome.WAIVED)


class GateSettings(BaseModel):
    """Base of every gate's settings: immutable, and an unknown key is an error.

    ``required`` distinguishes the gates that must pass from those that only inform: a gate with
    ``required: false`` is run and recorded and never decides.

    Attributes:
        required: whether it must let a version through.
        on_inconclusive: what it means that the data cannot tell; ``warn`` lets the version
            through and says so, where something was measured at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    required: bool = True
    on_inconclusive: Literal["fail", "warn"] = "fail"
    review_by: str | None = Field(
        default=None, description="ISO date after which this stanza's limits want another look."
    )


class Evaluate(Protocol):
    """The one signature of every gate."""

    def __call__(self, evidence: Evidence, settings: Any, /) -> GateResult:
        """Judge ``evidence`` by ``settings``."""


@dataclass(frozen=True)
class Gate:
    """A gate as it is registered: its name, its settings and its function.

    Attributes:
        name: the word in the policy.
        question: the question that it puts, shown in the UI.
        settings: its settings model, a subclass of :class:`GateSettings`.
        evaluate: pure function from evidence and settings to a result.
        reads: which parts of the evidence it reads besides the candidate: any of ``scores``
            (with dataset, champion and latencies) and ``production`` (profile and contract).
        before_loading: judged before anything of the candidate is loaded or executed; such a
            gate reads no scores.
    """

    name: str
    question: str
    settings: type[GateSettings]
    evaluate: Callable[[Evidence, Any], GateResult]
    reads: frozenset[Literal["scores", "production"]] = frozenset({"scores"})
    before_loading: bool = False
