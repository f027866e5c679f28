"""Sample ratio: did each arm get the share of the units that the traffic plan says?

The null hypothesis is multinomial with the planned shares. Its e-process is the marginal
likelihood under a Dirichlet prior around the planned shares over the likelihood under them
(M. Lindon, A. Malek, Anytime-Valid Inference for Multinomial Count Data, NeurIPS 2022).
Steps with other shares have a prior of their own, and multiply.

A unit (a customer, not a request) counts once in a step. The customers inside the 5 % are inside
the 25 % too, yet each step has a prior of its own, so this alarms no more than alpha (.02 measured
with the same customers in both steps); counting each of their requests does (.31 to .39).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_tally
from promotion_assets.statistics.evalues import EValue, no_evidence
from promotion_assets.statistics.numerics import gammaln, xlogy

#: Units that the prior is worth: a prior standard deviation of .7 points around a share of 5 %.
CONCENTRATION = 1000.0


@dataclass(frozen=True)
class ArmCounts:
    """Units that were first seen in one step, by arm.

    Attributes:
        shares: planned, one for each arm; they add up to 1.
        units: seen, in the same order.
    """

    shares: tuple[float, ...]
    units: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.units) or len(self.shares) < 2:
            raise ValueError(f"{len(self.shares)} shares and {len(self.units)} arms; both >= 2")
        if not all(0.0 <= s <= 1.0 for s in self.shares) or abs(math.fsum(self.shares) - 1) > 1e-9:
            raise ValueError(f"shares must lie in [0, 1] and add up to 1, got {self.shares}")
        for share, units in zip(self.shares, self.units, strict=True):
            as_tally(units, "units of an arm")
            if share == 0.0 and units:
                raise ValueError(f"an arm with a share of 0 has {units} units")


def sample_ratio(
    rows: Sequence[ArmCounts], *, alpha: float = 0.05, concentration: float = CONCENTRATION
) -> EValue:
    """Return the evidence against "the arms have their planned shares"; ``n`` are the units."""
    if not (math.isfinite(concentration) and concentration > 0.0):
        raise ValueError(f"the concentration must be positive, got {concentration!r}")
    method = "Dirichlet-multinomial e-process, planned shares"
    units = sum(sum(row.units) for row in rows)
    if units == 0:
        return no_evidence(alpha, method)
    total = sum(float(log_e(row.units, row.shares, concentration)) for row in rows)
    return EValue(total, alpha, units, method)


def log_e(units: npt.ArrayLike, shares: npt.ArrayLike, concentration: float) -> Floats:
    """Return the logarithm of one step's e-value; the last axis are the arms."""
    n, p = np.asarray(units, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    used = np.broadcast_to(p > 0.0, n.shape)
    # An arm without a share has no units; 1 stands in for a prior that would be undefined.
    prior = np.where(p > 0.0, concentration * p, 1.0)
    each = np.where(used, gammaln(prior + n) - gammaln(prior) - xlogy(n, np.where(p > 0, p, 1)), 0)
    total = n.sum(axis=-1)
    return np.asarray(each.sum(axis=-1) + gammaln(concentration) - gammaln(concentration + total))
