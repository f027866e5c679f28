"""Latency: how often an answer takes longer than the champion's frozen quantiles.

A quantile of latency is frozen before the rollout, from the champion's own answers, and what is
counted is how many units in either arm took longer: a Bernoulli event, so no shape of the times is
assumed. Two ways to judge the counts:

- :func:`slowdown` compares the two arms as :mod:`promotion_assets.statistics.event_counts` does.
  A host that is slow for both moves both counts and cancels, and so does an error in the frozen
  quantile. **This is the guardrail.** At a share of 5 % the stable arm is so much larger that the
  comparison needs hardly more answers than knowing the rate would.
- :func:`rate_above` holds the candidate alone against a stated rate: an absolute budget ("at most
  1 % slower than 50 ms"). Were it used on the champion's frozen p99 it would blame the candidate
  for every busy hour and for the noise of the frozen estimate.

Several quantiles are watched at once because each sees a different fault: where everything is
slower by a factor, the 90th percentile shows it with fewer answers than the 99th, while a fault of
the slowest few shows only at the 99th. The e-values are averaged, which is an e-value again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from promotion_assets.statistics.checks import as_tally
from promotion_assets.statistics.evalues import EValue, average, mixture, no_evidence
from promotion_assets.statistics.event_counts import RATIOS, EventCounts, above_one, event_harm

#: The champion's quantiles that are frozen and watched.
QUANTILES = (0.5, 0.9, 0.99)


def slowdown(
    rows: Mapping[float, Sequence[EventCounts]],
    *,
    alpha: float = 0.05,
    ratios: Sequence[float] = RATIOS,
) -> EValue:
    """Return the evidence against "the candidate exceeds each frozen quantile no more often".

    Args:
        rows: by quantile, such as :data:`QUANTILES`: how many units took longer than the
            champion's frozen value of it.
    """
    for quantile in rows:
        if not 0.0 < quantile < 1.0:
            raise ValueError(f"a quantile must lie between 0 and 1, got {quantile!r}")
    if not rows:
        return no_evidence(alpha, "exceedances of no quantile")
    each = [event_harm(counts, alpha=alpha, ratios=ratios) for counts in rows.values()]
    names = ", ".join(f"p{100 * q:g}" for q in sorted(rows))
    return average(each, alpha, f"exceedances of the champion's {names}, conditional e-process")


def rate_above(
    events: int,
    units: int,
    limit: float,
    *,
    alpha: float = 0.05,
    ratios: Sequence[float] = RATIOS,
) -> EValue:
    """Return the evidence against "the rate of this one arm is at most ``limit``".

    For a budget that is absolute, whatever the other arm does; ``n`` are the units. A base rate
    that moves in both arms moves this too: to compare arms use :func:`event_harm`.
    """
    k, n = as_tally(events, "events"), as_tally(units, "units")
    if k > n:
        raise ValueError(f"events ({k}) exceed units ({n}): a unit counts once")
    if not 0.0 < limit < 1.0:
        raise ValueError(f"the limit of a rate must lie between 0 and 1, got {limit!r}")
    method = f"Bernoulli e-process, rate at most {limit:g}"
    if n == 0:
        return no_evidence(alpha, method)
    rates = sorted({min(limit * r, (1.0 + limit) / 2) for r in above_one(ratios)})
    logs = [
        k * math.log(p / limit) + (n - k) * (math.log1p(-p) - math.log1p(-limit)) for p in rates
    ]
    return EValue(float(mixture(np.array(logs))), alpha, n, method)
