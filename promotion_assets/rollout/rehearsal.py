"""Many rollouts at once on made-up traffic: how often guardrails err, and how soon they notice.

The guardrails are those of :mod:`promotion_assets.rollout.guardrails`, computed for all runs and
looks in arrays, since a thousand rollouts of 200 looks would take an hour one by one. Each unit
asks once. Steps change at fixed looks, whatever the data say, so that a policy's alarms are seen
apart from its patience.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from promotion_assets.policy.rollout import BASIS_POINTS, RolloutPolicy
from promotion_assets.rollout.changepoints import FROM_THE_BEGINNING
from promotion_assets.rollout.statistics import ERROR, SLICES, slow_kind
from promotion_assets.statistics.checks import Bools, Floats, Ints
from promotion_assets.statistics.evalues import mixture
from promotion_assets.statistics.event_counts import RATIOS, log_terms
from promotion_assets.statistics.numerics import betaln, xlog1py, xlogy
from promotion_assets.statistics.paths import sample_ratio_paths
from promotion_assets.statistics.streams import Stream, draw_events, exceedances

#: Prior of the decision rate's bounds, as in :mod:`promotion_assets.rollout.rates`.
PRIOR = 0.5
_HALVINGS = 50


@dataclass(frozen=True)
class Traffic:
    """How both arms behave; each figure is one number, or one for each look.

    Attributes:
        units: that ask between two looks, in both arms.
        errors: chance of no answer from the champion.
        errors_ratio: how many times as often the candidate gives none.
        slower: chance of the candidate to exceed each of the champion's frozen quantiles; none
            means as often as the champion does.
        positive, positive_candidate: chance of a positive decision.
    """

    units: int | Ints = 400
    errors: float | Floats = 0.005
    errors_ratio: float | Floats = 1.0
    slower: Floats | None = None
    positive: float | Floats = 0.2
    positive_candidate: float | Floats = 0.2


@dataclass(frozen=True)
class Rehearsal:
    """Counts of many rollouts between looks.

    Attributes:
        step: at each look, shape (looks,), ascending from 0.
        slice: of the step at each look.
        rates: streams by kind of event, errors and exceedances.
        decisions: stream of positive decisions.
    """

    step: Ints
    slice: Ints
    rates: Mapping[str, Stream]
    decisions: Stream = field(repr=False)

    @property
    def candidate_units(self) -> Ints:
        """Units that the candidate answered between looks, shape (runs, looks)."""
        return self.rates[ERROR].units_candidate


def rehearse(
    rng: np.random.Generator,
    policy: RolloutPolicy,
    traffic: Traffic,
    *,
    runs: int,
    looks: Sequence[int],
) -> Rehearsal:
    """Draw the traffic of ``runs`` rollouts with so many looks in each step of the policy."""
    if len(looks) != len(policy.way) or min(looks) < 1:
        raise ValueError(f"each of {len(policy.way)} steps needs at least one look, got {looks}")
    step = np.repeat(np.arange(len(looks)), looks)
    within = np.concatenate([np.arange(n) * SLICES // n for n in looks])
    shares = np.array([policy.share_at(s) for s in range(len(looks))])[step] / BASIS_POINTS
    rates = {
        ERROR: draw_events(
            rng,
            runs=runs,
            shares=shares,
            units=traffic.units,
            base=traffic.errors,
            ratio=traffic.errors_ratio,
        )
    }
    if policy.latency is not None:
        quantiles = policy.latency.quantiles
        exceeded = 1.0 - np.array(quantiles)
        streams = exceedances(
            rng,
            rates[ERROR],
            stable=exceeded,
            candidate=exceeded if traffic.slower is None else traffic.slower,
        )
        rates |= dict(zip(map(slow_kind, quantiles), streams, strict=True))
    decisions = Stream(
        shares,
        rates[ERROR].units_candidate,
        rates[ERROR].units_stable,
        rng.binomial(rates[ERROR].units_candidate, traffic.positive_candidate),
        rng.binomial(rates[ERROR].units_stable, traffic.positive),
    )
    return Rehearsal(step, within, rates, decisions)


def failures(policy: RolloutPolicy, rehearsal: Rehearsal) -> dict[str, Bools]:
    """Return by guardrail whether it stops each run at each look, shape (runs, looks)."""
    stops = {"errors": _reached(harm_paths(rehearsal, ERROR), policy.errors.alpha)}
    if policy.latency is not None:
        each = [harm_paths(rehearsal, slow_kind(q)) for q in policy.latency.quantiles]
        stops["latency"] = _reached(mixture(np.stack(each, axis=-1)), policy.latency.alpha)
    if policy.decision_rate is not None:
        stops["decision rate"] = _shifted(policy, rehearsal)
    if policy.sample_ratio is not None:
        evidence = sample_ratio_paths(rehearsal.rates[ERROR])
        stops["sample ratio"] = _reached(evidence, policy.sample_ratio.alpha)
    return stops


def harm_paths(rehearsal: Rehearsal, kind: str) -> Floats:
    """Return the logarithm of the evidence of harm at each look, shape (runs, looks).

    As :func:`promotion_assets.rollout.changepoints.harm` gives it from the slices so far.
    """
    stream = rehearsal.rates[kind]
    place = rehearsal.step * SLICES + rehearsal.slice
    possible = int(rehearsal.step[-1] + 1) * SLICES
    edges = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(place)]
    each = (1.0 - FROM_THE_BEGINNING) / max(possible - 1, 1)
    # By ratio: the weighted evidence of all restarts so far, up to the last slice that is over.
    begun = np.full((len(stream.events_candidate), 1, len(RATIOS)), math.log(FROM_THE_BEGINNING))
    found = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        if number:
            begun = np.logaddexp(begun, math.log(each))
        here = begun + _terms(stream, slice(start, stop))
        idle = 1.0 - FROM_THE_BEGINNING - each * number
        rest = math.log(idle) if idle > 1e-12 else -math.inf
        found.append(np.logaddexp(mixture(here), rest))
        begun = here[:, -1:]
    return np.concatenate(found, axis=1)


def difference_paths(rehearsal: Rehearsal, alpha: float) -> tuple[Floats, Floats]:
    """Return bounds at each look of the candidate's decision rate minus the champion's.

    As :func:`promotion_assets.rollout.rates.difference_bounds` gives them from the step so far.
    """
    stream = rehearsal.decisions
    bounds = []
    for events, units in (
        (stream.events_candidate, stream.units_candidate),
        (stream.events_stable, stream.units_stable),
    ):
        sums = [_within(rehearsal.step, counts) for counts in (events, units)]
        bounds.append(_rate_bounds(sums[0], sums[1], alpha / 2))
    (low, high), (other_low, other_high) = bounds
    return low - other_high, high - other_low


def _shifted(policy: RolloutPolicy, rehearsal: Rehearsal) -> Bools:
    assert policy.decision_rate is not None
    limit = policy.decision_rate.limit
    low, high = difference_paths(rehearsal, policy.decision_rate.alpha / len(policy.way))
    return (low > limit) | (high < -limit)


def _reached(log_e: Floats, alpha: float) -> Bools:
    return np.asarray(log_e >= -math.log(alpha))


def _terms(stream: Stream, looks: slice) -> Floats:
    """Return the log likelihood ratios of a slice at each of its looks, (runs, looks, ratios)."""
    x, y, n, m = (
        counts[:, looks].cumsum(axis=1, dtype=np.float64)
        for counts in (
            stream.events_candidate,
            stream.events_stable,
            stream.units_candidate,
            stream.units_stable,
        )
    )
    return log_terms(x, x + y, n / np.maximum(n + m, 1.0), RATIOS)


def _within(step: Ints, counts: Ints) -> Floats:
    """Return counts added up within each step."""
    parts = np.split(counts, np.flatnonzero(np.diff(step)) + 1, axis=1)
    return np.concatenate([part.cumsum(axis=1, dtype=np.float64) for part in parts], axis=1)


def _rate_bounds(events: Floats, units: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Return the bounds of rates by bisection, as ``rates.rate_bounds`` does for one."""
    without = units - events
    weighed = betaln(PRIOR + events, PRIOR + without) - betaln(PRIOR, PRIOR) + np.log(alpha)
    top = events / np.maximum(units, 1.0)

    def _edge(end: float) -> Floats:
        inside, outside = top, np.full_like(top, end)
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            excluded = weighed - xlogy(events, middle) - xlog1py(without, -middle) > 0.0
            inside, outside = (
                np.where(excluded, inside, middle),
                np.where(excluded, middle, outside),
            )
        return np.asarray((inside + outside) / 2)

    return _edge(0.0), _edge(1.0)
