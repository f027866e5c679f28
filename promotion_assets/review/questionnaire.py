"""What a reviewer is asked, by risk class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from promotion_assets.policy.model import RiskClass
from promotion_assets.policy.review import ReviewPolicy

Kind = Literal["confirm", "text"]
YES = "yes"


class Question(BaseModel):
    """One question; ``confirm`` is answered by :data:`YES` and nothing else."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    kind: Kind


def _confirm(name: str, text: str) -> Question:
    return Question(id=name, text=text, kind="confirm")


def _asks(name: str, text: str) -> Question:
    return Question(id=name, text=text, kind="text")


LOW = (
    _confirm("model_card", "I have read the model card."),
    _confirm("disaggregated", "I have read the results of every group, not only the overall ones."),
    _asks("gain_and_risk", "What is gained, and why does it justify the risk?"),
)
MEDIUM = (
    *LOW,
    _asks("edge_cases", "On which inputs does it answer badly, and what happens then?"),
    _asks("data_issues", "Which issues of the training or evaluation data are known?"),
    _asks("on_call", "Who is on call for the next days and can roll it back?"),
)
HIGH = (
    *MEDIUM,
    _asks("timing", "Why is now a good time, and what else changes this week?"),
)
BY_RISK: dict[RiskClass, tuple[Question, ...]] = {"low": LOW, "medium": MEDIUM, "high": HIGH}


def questions_for(
    risk_class: RiskClass, policy: ReviewPolicy, limitations: Sequence[str]
) -> tuple[Question, ...]:
    """Return all questions: the risk class's, the team's own, and one a known limitation."""
    extra = (Question(id=f"team_{q.id}", text=q.text, kind=q.kind) for q in policy.questions)
    acknowledged = (
        _confirm(f"limitation_{number}", f"I know and accept this limitation: {limitation}")
        for number, limitation in enumerate(limitations, start=1)
    )
    return (*BY_RISK[risk_class], *extra, *acknowledged)
