"""Rates of events in two arms that answer at the same time: is the candidate's higher?

Given that an event happened, it belongs to the candidate with probability ``w r / (w r + 1 - w)``,
where ``w`` is the candidate's share of the units and ``r`` the ratio of the two rates. The base
rate cancels: it may treble in mid-ramp without an alarm. The e-process is the mean over several
``r`` of the likelihood ratio against the null hypothesis (M. Lindon, A. Malek, Anytime-Valid
Inference for Multinomial Count Data, NeurIPS 2022). With ``x`` of ``m`` events in the
candidate, one row contributes ``r^x / (1 + w (r - 1))^m``; rows multiply.

**The share that counts is the realised one**, units of the candidate among the units seen, row by
row; the planned share only says what the sample-ratio test expects. Units per arm say nothing
about events when the hypothesis is true, so conditioning on them costs nothing, and units that
were lost, or that went to another arm than planned, raise no alarm here but in
:mod:`promotion_assets.statistics.sample_ratio`, which names the right fault. The likelihood ratio
is convex in ``x``, and with at most one event a unit ``x`` is hypergeometric given all margins,
less spread than the binomial in convex order (W. Hoeffding, JASA 58, 1963, theorem 4), so its
mean stays at most 1 at any base rate, rare events or not.

What a row must be: traffic with one assignment probability, such as a step of the rollout, or a
slice of one. A *unit* (a customer, not a request) counts once in a row, and once as an event
however many it had: requests of one customer fail together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_alpha, as_tally
from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.evalues import EValue, mixture, no_evidence
from promotion_assets.statistics.numerics import brentq

#: How many times worse a rate may have become: the alternatives that are averaged over.
RATIOS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
#: Logarithm of the ratio beyond which a bound counts as open.
REACH = 30.0


@dataclass(frozen=True)
class EventCounts:
    """Sufficient statistics of one row of traffic.

    Attributes:
        share: planned share of the candidate, in [0, 1].
        events_candidate, events_stable: units that had the event.
        units_candidate, units_stable: units that each arm answered.
    """

    share: float
    events_candidate: int
    events_stable: int
    units_candidate: int
    units_stable: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share must lie in [0, 1], got {self.share!r}")
        for arm in ("candidate", "stable"):
            events = as_tally(getattr(self, f"events_{arm}"), f"events_{arm}")
            units = as_tally(getattr(self, f"units_{arm}"), f"units_{arm}")
            if events > units:
                raise ValueError(
                    f"events_{arm} ({events}) exceed units_{arm} ({units}): a unit counts once"
                )


def event_harm(
    rows: Sequence[EventCounts], *, alpha: float = 0.05, ratios: Sequence[float] = RATIOS
) -> EValue:
    """Return the evidence against "the candidate's rate is at most the stable one's".

    ``n`` are the events of both arms.
    """
    return _against(rows, 1.0, above_one(ratios), alpha, "conditional e-process, rate not higher")


def event_safe(
    rows: Sequence[EventCounts],
    largest_ratio: float,
    *,
    alpha: float = 0.05,
    ratios: Sequence[float] = RATIOS,
) -> EValue:
    """Return the evidence against "the candidate's rate is ``largest_ratio`` times as high".

    Or higher still: a ratio that large is what must be excluded before more traffic follows.
    Alternatives are ``largest_ratio`` divided by ``ratios``.
    """
    if not (math.isfinite(largest_ratio) and largest_ratio > 1.0):
        raise ValueError(f"the largest ratio must exceed 1, got {largest_ratio!r}")
    factors = tuple(1.0 / r for r in above_one(ratios))
    what = f"conditional e-process, rate {largest_ratio:g} times as high"
    return _against(rows, largest_ratio, factors, alpha, what)


def event_change(
    rows: Sequence[EventCounts], *, alpha: float = 0.05, ratios: Sequence[float] = RATIOS
) -> EValue:
    """Return the evidence against "both arms have the same rate", in either direction."""
    return _against(rows, 1.0, both_ways(ratios), alpha, "conditional e-process, same rate")


def event_ratio(
    rows: Sequence[EventCounts], *, alpha: float = 0.05, ratios: Sequence[float] = RATIOS
) -> Estimate:
    """Return the ratio of the rates with bounds that hold at all looks at once.

    The bounds are the ratios that the one-sided e-processes have not excluded, each at
    ``alpha / 2``: at look after look the interval holds the true ratio with probability
    ``1 - alpha``. ``value`` is the most likely ratio; without events it is NaN, the bounds open.
    """
    level = math.log(2.0 / as_alpha(alpha))
    up = above_one(ratios)
    x, m, w = _columns(rows)
    events, inside = int(m.sum()), (w > 0.0) & (w < 1.0)
    method = "ratio of rates, inverted conditional e-process"
    x, m, w = x[inside], m[inside], w[inside]

    def _excess(null: float, factors: Sequence[float]) -> float:
        return float(log_e(x, m, w, factors, null=null)) - level

    down = tuple(1.0 / r for r in up)
    low = _crossing(lambda ratio: -_excess(ratio, up))
    high = _crossing(lambda ratio: _excess(ratio, down))
    value = _crossing(lambda r: float((m * w * r / (1.0 - w + w * r) - x).sum()))
    value = math.nan if m.sum() == 0 else value
    return Estimate(value, low, high, 1.0 - alpha, events, method, math.nan)


def above_one(ratios: Sequence[float]) -> tuple[float, ...]:
    """Return ``ratios``, each of which must exceed 1."""
    if not ratios or not all(math.isfinite(r) and r > 1.0 for r in ratios):
        raise ValueError(f"ratios must be finite and exceed 1, got {tuple(ratios)!r}")
    return tuple(float(r) for r in ratios)


def both_ways(ratios: Sequence[float]) -> tuple[float, ...]:
    """Return the ratios and their reciprocals."""
    up = above_one(ratios)
    return (*up, *(1.0 / r for r in up))


def log_e(
    events_candidate: npt.ArrayLike,
    events: npt.ArrayLike,
    weights: npt.ArrayLike,
    ratios: Sequence[float],
    *,
    null: float = 1.0,
) -> Floats:
    """Return logarithms of e-values of the hypothesis that the rates' ratio is ``null``.

    Args:
        events_candidate, events, weights: events in the candidate, in both arms, and the
            candidate's share of the units; the last axis are rows, which multiply.
        ratios: alternatives, as multiples of ``null``.
    """
    return mixture(log_terms(events_candidate, events, weights, ratios, null=null).sum(axis=-2))


def log_terms(
    events_candidate: npt.ArrayLike,
    events: npt.ArrayLike,
    weights: npt.ArrayLike,
    ratios: Sequence[float],
    *,
    null: float = 1.0,
) -> Floats:
    """Return each row's log likelihood ratio, shape (..., rows, ratios); arguments as above."""
    x = np.asarray(events_candidate, dtype=np.float64)[..., None]
    m = np.asarray(events, dtype=np.float64)[..., None]
    w = np.asarray(weights, dtype=np.float64)[..., None]
    r = np.asarray(ratios, dtype=np.float64)
    return np.asarray(
        x * np.log(r) - m * (np.log1p(w * (null * r - 1.0)) - np.log1p(w * (null - 1.0)))
    )


def _against(
    rows: Sequence[EventCounts], null: float, factors: Sequence[float], alpha: float, method: str
) -> EValue:
    x, m, w = _columns(rows)
    if m.sum() == 0:
        return no_evidence(alpha, method)
    return EValue(float(log_e(x, m, w, factors, null=null)), alpha, int(m.sum()), method)


def _columns(rows: Sequence[EventCounts]) -> tuple[Floats, Floats, Floats]:
    """Return events in the candidate, events, and realised shares; no units is a share of 0."""
    x = np.array([row.events_candidate for row in rows], dtype=np.float64)
    m = x + np.array([row.events_stable for row in rows], dtype=np.float64)
    candidate = np.array([row.units_candidate for row in rows], dtype=np.float64)
    units = candidate + np.array([row.units_stable for row in rows], dtype=np.float64)
    return x, m, candidate / np.maximum(units, 1.0)


def _crossing(increasing: Callable[[float], float]) -> float:
    """Return where a function that increases in the ratio crosses 0; 0 or infinite if nowhere."""
    if increasing(math.exp(-REACH)) >= 0.0:
        return 0.0
    if increasing(math.exp(REACH)) <= 0.0:
        return math.inf
    return math.exp(float(brentq(lambda log_r: increasing(math.exp(log_r)), -REACH, REACH)))
