"""Evidence that may be looked at whenever one likes, and acted on at the first look that shows it.

An *e-process* is a non-negative quantity, 1 before any data, whose mean stays at most 1 under its
null hypothesis at every moment one could choose to stop. By J. Ville's inequality (Étude critique
de la notion de collectif, 1939) it ever reaches ``1 / alpha`` with probability at most ``alpha``
when the hypothesis is true: looking at it every minute does not make it lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from promotion_assets.statistics.checks import Floats, as_alpha


@dataclass(frozen=True)
class EValue:
    """Evidence against a hypothesis at this look.

    Attributes:
        log_e: natural logarithm of the e-value; 0 is no evidence, negative speaks for the
            hypothesis.
        alpha: chance of ever being *shown* when the hypothesis is true.
        n: what was counted: events, units or pairs, as ``method`` says.
        method: what was computed, for people.
    """

    log_e: float
    alpha: float
    n: int
    method: str

    def __post_init__(self) -> None:
        as_alpha(self.alpha)
        if math.isnan(self.log_e):
            raise ValueError(f"{self.method}: the e-value is NaN")

    @property
    def value(self) -> float:
        """The e-value itself; infinite where it exceeds what a float holds."""
        return math.exp(self.log_e) if self.log_e < 700.0 else math.inf

    @property
    def limit(self) -> float:
        """What the e-value must reach: ``1 / alpha``."""
        return 1.0 / self.alpha

    @property
    def shown(self) -> bool:
        """Whether the hypothesis is rejected at this look."""
        return self.log_e >= -math.log(self.alpha)

    @property
    def p_value(self) -> float:
        """A p-value that holds at this look however it was chosen: ``min(1, 1 / e)``."""
        return math.exp(-max(self.log_e, 0.0))


def no_evidence(alpha: float, method: str) -> EValue:
    """Return the e-value of no data: 1, which shows nothing."""
    return EValue(0.0, alpha, 0, method)


def average(evidence: Sequence[EValue], alpha: float, method: str) -> EValue:
    """Return the mean of e-values of one hypothesis, an e-value whatever their dependence.

    V. Vovk and R. Wang (Annals of Statistics 49, 2021) show that no other symmetric way of
    merging dependent e-values does better throughout.
    """
    if not evidence:
        return no_evidence(alpha, method)
    logs = np.array([e.log_e for e in evidence])
    return EValue(float(mixture(logs)), alpha, max(e.n for e in evidence), method)


def mixture(log_e: Floats) -> Floats:
    """Return the logarithm of the mean over the last axis of e-values given by logarithms."""
    return np.asarray(np.logaddexp.reduce(log_e, axis=-1) - math.log(log_e.shape[-1]))
