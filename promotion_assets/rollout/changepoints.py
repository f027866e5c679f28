"""Harm that may have begun at any time: evidence that forgets the good hours before it.

One e-process over the whole rollout weighs a fault of the last hour against everything good
before it. So restarted ones are mixed in, one for each slice in which a fault can have begun. A
mean of e-processes with weights fixed beforehand is an e-process again; one that has not begun yet
counts 1 (after J. Shin, A. Ramdas, A. Rinaldo, E-detectors, NEJSDS 2023, section 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from promotion_assets.rollout.statistics import SLICES, Slice
from promotion_assets.statistics.evalues import EValue
from promotion_assets.statistics.event_counts import RATIOS, log_terms

#: Weight of "it was so from the beginning", the usual fault. The rest is shared by all others. At
#: .8 trebled errors of .5 % took 609 requests to be found (mean of medians), at .9 591; a fault
#: that begins in the middle of the second step takes 6 % more requests for it.
FROM_THE_BEGINNING = 0.9


def harm(
    slices: Sequence[Slice],
    kind: str,
    steps: int,
    *,
    alpha: float,
    ratios: Sequence[float] = RATIOS,
) -> EValue:
    """Return the evidence against "the candidate's units have this event no more often".

    Args:
        slices: in order of time.
        kind: of event.
        steps: how many the rollout has, from which the weights follow.
    """
    x = np.array([s.candidate.events.get(kind, 0) for s in slices], dtype=np.float64)
    m = x + np.array([s.stable.events.get(kind, 0) for s in slices], dtype=np.float64)
    candidate = np.array([s.candidate.at_risk.get(kind, 0) for s in slices], dtype=np.float64)
    units = candidate + np.array([s.stable.at_risk.get(kind, 0) for s in slices])
    terms = log_terms(x, m, candidate / np.maximum(units, 1.0), ratios)
    # From each slice to now; shape (slices, ratios).
    since = np.cumsum(terms[::-1], axis=0)[::-1]
    places = np.array([s.step * SLICES + s.number for s in slices], dtype=np.int64)
    each = np.logaddexp.reduce(since, axis=-1) - math.log(len(ratios))
    total = _mixed(each, places, steps * SLICES)
    return EValue(total, alpha, int(m.sum()), "conditional e-process from any slice on")


def _mixed(log_e: np.ndarray, places: np.ndarray, possible: int) -> float:
    """Mix e-values of restarts at ``places``; restarts in slices without traffic come to nothing.

    A restart in a slice without traffic has the value of the next slice that has some, and is
    left at 1, which is allowed: weights must only be fixed beforehand.
    """
    if not len(log_e):
        return 0.0
    each = (1.0 - FROM_THE_BEGINNING) / max(possible - 1, 1)
    begun = places > 0
    weighted = [math.log(FROM_THE_BEGINNING) + float(log_e[0])]
    weighted += [math.log(each) + float(value) for value in log_e[begun]]
    idle = 1.0 - FROM_THE_BEGINNING - each * int(begun.sum())
    if idle > 1e-12:
        weighted.append(math.log(idle))
    return float(np.logaddexp.reduce(weighted))
