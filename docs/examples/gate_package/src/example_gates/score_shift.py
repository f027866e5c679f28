"""Score shift: does the average score stay where those who act on it expect it?

A collections team works off a list that is cut at a fixed score. A new model may rank better and
still fill the list twice over, so its mean score must not move far from the champion's.
"""

from __future__ import annotations

from pydantic import Field

from promotion_assets.evaluation.evidence import Evidence
from promotion_assets.gates.contract import Gate, GateResult, GateSettings
from promotion_assets.gates.limits import judged
from promotion_assets.gates.scored import answers, without_champion
from promotion_assets.gates.verdict import conclude
from promotion_assets.statistics.intervals import mean_difference

NAME = "score_shift"


class ScoreShiftSettings(GateSettings):
    """Settings of the gate.

    Attributes:
        maximum: how much higher the candidate's mean score may be.
    """

    maximum: float = Field(default=0.02, ge=0)


def evaluate(evidence: Evidence, settings: ScoreShiftSettings) -> GateResult:
    """Hold the difference of both mean scores against the maximum."""
    given = answers(NAME, evidence)
    if given.champion is None:
        raise without_champion(NAME, evidence)
    shift = judged(
        mean_difference(given.candidate, given.champion),
        name="mean_score_shift",
        limit=settings.maximum,
        direction="max",
        decide_on="point",
        called="the mean score's shift",
        next_step="move the cut-off with those who work off the list",
    )
    return conclude(NAME, [shift], passed_reason=shift.reason)


GATE = Gate(
    name=NAME,
    question="Does the average score stay where it is expected?",
    settings=ScoreShiftSettings,
    evaluate=evaluate,
)
