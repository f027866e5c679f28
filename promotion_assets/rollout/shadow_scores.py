"""How the shadow's scores and times are distributed beside the champion's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from promotion_assets.gates.contract import Measurement
from promotion_assets.policy.shadow import ShadowPolicy
from promotion_assets.rollout.pair_sample import Floats
from promotion_assets.rollout.shadow_limits import at_most, reported
from promotion_assets.statistics.counting import count_into
from promotion_assets.statistics.divergence import DriftEstimate, psi_estimate
from promotion_assets.statistics.estimates import Estimate
from promotion_assets.statistics.intervals import (
    mean_difference,
    quantile_difference,
    quantile_interval,
)
from promotion_assets.statistics.paired_scores import (
    ks_distance,
    rank_correlation,
    wasserstein_distance,
)

if TYPE_CHECKING:
    from promotion_assets.rollout.shadow_tally import ShadowTally

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 10


def score_measurements(found: ShadowTally, policy: ShadowPolicy) -> Iterator[Measurement]:
    """Yield distances of the two distributions of scores, their ranks, and their quantiles."""
    champion = found.sample.values("production_score")
    shadow = found.sample.values("shadow_score")
    if not len(champion) or not (np.isfinite(champion).all() and np.isfinite(shadow).all()):
        return
    level = policy.confidence
    yield at_most(
        _as_estimate(score_psi(champion, shadow, level)),
        name="psi",
        limit=policy.limits.psi,
        called="PSI of the scores is",
    )
    yield reported(ks_distance(champion, shadow, confidence=level), name="ks")
    yield reported(wasserstein_distance(champion, shadow, confidence=level), name="wasserstein")
    if len(champion) > 1:
        gap = mean_difference(shadow, champion, confidence=level)
        yield reported(gap, name="mean_score_change", baseline=gap.second)
    if champion.min() < champion.max() and shadow.min() < shadow.max():
        yield reported(
            rank_correlation(champion, shadow, confidence=level), name="rank_correlation"
        )
    for q in QUANTILES:
        theirs = quantile_interval(champion, q, level)
        own = quantile_interval(shadow, q, level)
        yield reported(own, name="score_quantile", subject=f"p{q * 100:g}", baseline=theirs.value)


def latency_measurements(found: ShadowTally, policy: ShadowPolicy) -> Iterator[Measurement]:
    """Yield how much slower the shadow is, at three quantiles; the 95th is held to the limit.

    The shadow is timed where it runs, off the way of the requests, so its own wait is not in it.
    """
    champion = found.sample.values("production_latency_ms")
    shadow = found.sample.values("shadow_latency_ms")
    timed = np.isfinite(champion) & np.isfinite(shadow)
    if not timed.any():
        return
    for q in (0.95, 0.5, 0.99):
        gap = quantile_difference(shadow[timed], champion[timed], q, policy.confidence)
        yield at_most(
            # The difference counts both samples; here they are of the same requests.
            replace(gap, n=int(timed.sum())),
            name="latency_change",
            subject=f"p{q * 100:g}",
            unit="ms",
            limit=policy.limits.latency_ms if q == 0.95 else None,
            called=f"the p{q * 100:g} of one answer's time changes by",
            baseline=gap.second,
        )


def score_psi(champion: Floats, shadow: Floats, confidence: float) -> DriftEstimate:
    """Return the PSI of the shadow's scores in tenths of the champion's.

    The estimate's interval is of two independent samples; pairs go together, so it is too wide
    rather than too narrow.
    """
    inner = np.unique(np.quantile(champion, np.arange(1, BINS) / BINS))
    # An edge on the least score would leave a bin that nothing can fall into.
    edges = inner[inner > champion.min()]
    counts = [count_into(scores, edges)[0] for scores in (champion, shadow)]
    return psi_estimate(counts[0], counts[1], confidence=confidence)


def _as_estimate(drift: DriftEstimate) -> Estimate:
    return Estimate(
        value=drift.corrected,
        low=drift.low,
        high=drift.high,
        confidence=drift.confidence,
        n=int(min(drift.n_expected, drift.n_actual)),
        method=f"{drift.method}, corrected for sample size",
        std_error=float("nan"),
    )
