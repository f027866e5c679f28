"""Rates of one arm, with bounds and evidence that hold at all looks at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from promotion_assets.statistics.evalues import EValue, mixture, no_evidence
from promotion_assets.statistics.event_counts import RATIOS
from promotion_assets.statistics.numerics import betaln, brentq, xlog1py, xlogy

_PRIOR = 0.5
_TINY = 1e-12


def rate_below(events: int, units: int, limit: float, *, alpha: float = 0.05) -> EValue:
    """Return the evidence against "the rate of this arm is at least ``limit``".

    The mean over several lower rates of the Bernoulli likelihood ratio against ``limit``. Where
    nobody errs there are no events to compare arms by, and this is what tells that all is well.
    """
    _check(events, units)
    method = f"Bernoulli e-process, rate at least {limit:g}"
    if units == 0:
        return no_evidence(alpha, method)
    logs = []
    for ratio in RATIOS:
        rate = limit / ratio
        without = (units - events) * (math.log1p(-rate) - math.log1p(-limit))
        logs.append(without - events * math.log(ratio))
    return EValue(float(mixture(np.array(logs))), alpha, units, method)


def rate_bounds(events: int, units: int, *, alpha: float) -> tuple[float, float]:
    """Return bounds of a rate that hold at all looks with probability ``1 - alpha``.

    The rates that a beta-binomial e-process has not excluded, with the prior Beta(1/2, 1/2)
    (H. Robbins, Statistical methods related to the law of the iterated logarithm, Annals of
    Mathematical Statistics 41, 1970, section 9). Without units they are 0 and 1.
    """
    _check(events, units)
    if units == 0:
        return 0.0, 1.0
    without = units - events
    weighed = float(betaln(_PRIOR + events, _PRIOR + without) - betaln(_PRIOR, _PRIOR))

    def _excess(rate: float) -> float:
        likelihood = float(xlogy(events, rate) + xlog1py(without, -rate))
        return weighed - likelihood + math.log(alpha)

    top = events / units
    return _edge(_excess, top, _TINY), _edge(_excess, top, 1.0 - _TINY)


def difference_bounds(
    first: tuple[int, int], second: tuple[int, int], *, alpha: float
) -> tuple[float, float]:
    """Return bounds of the first rate minus the second; each is given as events and units."""
    low_first, high_first = rate_bounds(*first, alpha=alpha / 2)
    low_second, high_second = rate_bounds(*second, alpha=alpha / 2)
    return low_first - high_second, high_first - low_second


def _edge(excess: Callable[[float], float], inside: float, end: float) -> float:
    if excess(end) <= 0:
        return round(end)
    start = min(max(inside, _TINY), 1.0 - _TINY)
    return float(brentq(excess, start, end)) if excess(start) < 0 else start


def _check(events: int, units: int) -> None:
    if not 0 <= events <= units:
        raise ValueError(f"{events} events of {units} units: a unit counts once")
