"""What a guardrail says at one look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What one look at a guardrail gave; the first in this order outweighs those after it."""

    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    SUCCESS = "success"


PRECEDENCE = tuple(Verdict)


@dataclass(frozen=True)
class Finding:
    """One guardrail's verdict.

    Attributes:
        observed: the number that people look at: a ratio, a difference, a share.
        low, high: bounds of it that hold at all looks at once; ``None`` where open or absent.
        e_value: evidence of harm, and ``limit`` what it must reach to be acted on.
        n: units, or events, that it rests on.
    """

    guardrail: str
    verdict: Verdict
    reason: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    e_value: float | None = None
    limit: float | None = None
    n: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON types."""
        return {**asdict(self), "verdict": self.verdict.value}


def worst(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict that outweighs the others; nothing found is inconclusive."""
    found = {finding.verdict for finding in findings}
    return next((v for v in PRECEDENCE if v in found), Verdict.INCONCLUSIVE)


def named(findings: Sequence[Finding], verdict: Verdict) -> str:
    """Return the reasons of those findings that have this verdict."""
    return "; ".join(f"{f.guardrail}: {f.reason}" for f in findings if f.verdict is verdict)
