"""From measurements to one result: the parts that every gate shares.

A gate that cannot judge raises :class:`NotJudged`; whoever runs it (``gates.run.run_gate``) turns
that into a result. So the body of a gate reads as the question that it puts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import GateResult, Interval, Measurement, Outcome

# What decides first: a limit that is broken, then a number that could not be had, then a doubt.
PRECEDENCE = (Outcome.FAILED, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASSED)


class NotJudged(EvidenceMissing):
    """A gate cannot put its question, because a part of the evidence is absent or unusable.

    Attributes:
        outcome: ``error`` where a part is missing or broken, ``inconclusive`` where everything
            is there and does not suffice, ``failed`` where the absence itself is the fault.
        because_of: the gate whose refusal was the cause, if one was.
    """

    def __init__(
        self,
        doing: str,
        problem: str,
        next_step: str,
        *,
        outcome: Outcome = Outcome.ERROR,
        because_of: str | None = None,
    ) -> None:
        super().__init__(doing, problem, next_step)
        self.outcome = outcome
        self.because_of = because_of


def naming(gate: str, evidence: Evidence) -> str:
    """Say what is being done to which version, for the first part of an error message."""
    return f"{gate} of {evidence.model} version {evidence.version}"


def worst(outcomes: Iterable[Outcome | None]) -> Outcome | None:
    """Return the outcome that decides, or ``None`` where nothing was judged."""
    judged = {outcome for outcome in outcomes if outcome is not None}
    return next((outcome for outcome in PRECEDENCE if outcome in judged), None)


def conclude(
    gate: str,
    measurements: Sequence[Measurement],
    *,
    passed_reason: str,
    details: Mapping[str, JsonValue] | None = None,
    inputs: Mapping[str, str] | None = None,
    also: str = "",
) -> GateResult:
    """Return the result that follows from ``measurements``.

    The first measurement with the worst outcome decides and gives the headline; put the ones
    that matter most first. Without any judged measurement the result is inconclusive.

    Args:
        gate: the gate's name.
        measurements: all numbers, judged and reported.
        passed_reason: the sentence for a pass.
        details: what else a person wants to see.
        inputs: digests of what only this gate looked at.
        also: a sentence that is added to the reason whatever the outcome.
    """
    outcome = worst(m.outcome for m in measurements)
    if outcome is None:
        outcome, decisive, others = Outcome.INCONCLUSIVE, None, 0
        reason = "nothing was judged: no limit is set for anything that could be measured"
    else:
        deciding = [m for m in measurements if m.outcome is outcome]
        decisive, others = deciding[0], len(deciding) - 1
        reason = passed_reason if outcome is Outcome.PASSED else decisive.reason
        if others and outcome is not Outcome.PASSED:
            reason += f" (and {others} more: {_names(deciding[1:])})"
    return GateResult(
        gate=gate,
        outcome=outcome,
        reason=f"{reason}; {also}" if also else reason,
        observed=decisive.observed if decisive else None,
        limit=decisive.limit if decisive else None,
        interval=decisive.interval if decisive else None,
        sample_size=decisive.sample_size if decisive else None,
        needed_sample_size=decisive.needed_sample_size if decisive else None,
        measurements=tuple(measurements),
        details=dict(details or {}),
        inputs=dict(inputs or {}),
    )


def _names(measurements: Sequence[Measurement], most: int = 4) -> str:
    named = [m.name if m.subject == "overall" else m.subject for m in measurements[:most]]
    return ", ".join(dict.fromkeys(named)) + (" …" if len(measurements) > most else "")


def shown(value: float | None, unit: str = "") -> str:
    """Format a number for a sentence: four significant digits, no trailing zeros."""
    if value is None:
        return "nothing"
    return f"{value:.4g}{' ' if unit else ''}{unit}"


def shown_interval(interval: Interval | None) -> str:
    """Format an interval for a sentence, or an empty string where there is none."""
    if interval is None:
        return ""
    low = "-inf" if interval.low is None else shown(interval.low)
    high = "inf" if interval.high is None else shown(interval.high)
    return f" [{low}, {high}]"
