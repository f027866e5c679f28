"""The evidence of :mod:`promotion_assets.statistics.sequential` at every look of many runs.

A run is watched as a rollout is: each step is one row that grows until the share changes. Arrays
in and out, so a thousand runs of 200 looks take a second. Evidence comes as logarithms of e-values,
shape (runs, looks).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from promotion_assets.statistics import mean_sequences, sample_ratio
from promotion_assets.statistics.checks import Floats, Ints, as_alpha
from promotion_assets.statistics.evalues import mixture
from promotion_assets.statistics.event_counts import RATIOS, above_one, log_terms
from promotion_assets.statistics.streams import MomentArrays, Stream


def event_paths(stream: Stream, *, ratios: Sequence[float] = RATIOS, null: float = 1.0) -> Floats:
    """Return the evidence that the rates' ratio is above ``null``; below it, for ratios below 1."""

    def _terms(x: Floats, y: Floats, n: Floats, m: Floats) -> Floats:
        weights = n / np.maximum(n + m, 1.0)
        return log_terms(x, x + y, weights, ratios, null=null)

    return mixture(
        _added(
            _terms,
            stream.shares,
            stream.events_candidate,
            stream.events_stable,
            stream.units_candidate,
            stream.units_stable,
        )
    )


def safe_paths(stream: Stream, largest_ratio: float, *, ratios: Sequence[float] = RATIOS) -> Floats:
    """Return the evidence that the rates' ratio is below ``largest_ratio``."""
    factors = [1.0 / r for r in above_one(ratios)]
    return event_paths(stream, ratios=factors, null=largest_ratio)


def slowdown_paths(streams: Sequence[Stream], *, ratios: Sequence[float] = RATIOS) -> Floats:
    """Return the mean of the evidence of several thresholds for the same units."""
    return mixture(np.stack([event_paths(stream, ratios=ratios) for stream in streams], axis=-1))


def sample_ratio_paths(
    stream: Stream, *, concentration: float = sample_ratio.CONCENTRATION
) -> Floats:
    """Return the evidence that the arms do not have their planned shares."""
    result = []
    before: Floats = np.zeros((len(stream.units_candidate), 1))
    for step in _steps(stream.shares):
        share = float(stream.shares[step.start])
        arms = np.stack([stream.units_candidate[:, step], stream.units_stable[:, step]], axis=-1)
        here = before + sample_ratio.log_e(arms.cumsum(axis=1), (share, 1 - share), concentration)
        result.append(here)
        before = here[:, -1:]
    return np.concatenate(result, axis=1)


def mean_paths(
    shares: Floats,
    candidate: MomentArrays,
    stable: MomentArrays,
    *,
    alpha: float = 0.05,
    tuned_for: float = mean_sequences.TUNED_FOR,
    floor: int = mean_sequences.FLOOR,
) -> tuple[Floats, Floats]:
    """Return the evidence that the candidate's mean is higher, and that it is lower."""
    sums = _added(mean_sequences.row_scores, shares, *candidate[:3], *stable[:3])
    total, own, pooled, weight = np.moveaxis(sums, -1, 0)
    variance = np.maximum(own, pooled)
    seen = [np.cumsum(arm.nonzero, axis=1) for arm in (candidate, stable)]
    said = (np.minimum(*seen) >= floor) & (variance > 0.0)
    z = np.where(said, total / np.sqrt(np.where(variance > 0.0, variance, 1.0)), 0.0)
    time = weight / mean_sequences.tuning(alpha, tuned_for)
    higher, lower = (mean_sequences.log_e_one_sided(sign * z, time) for sign in (1.0, -1.0))
    return np.where(said, higher, 0.0), np.where(said, lower, 0.0)


def first_shown(log_e: Floats, alpha: float) -> Ints:
    """Return the first look (from 0) at which each run shows something; -1 for never."""
    shown = log_e >= -math.log(as_alpha(alpha))
    return np.where(shown.any(axis=1), shown.argmax(axis=1), -1)


def units_until(units: Ints, looks: Ints) -> Ints:
    """Return the units seen up to the given look of each run; all of them where it is -1."""
    seen = units.cumsum(axis=1)
    return np.asarray(seen[np.arange(len(units)), looks])


def _added(terms: Callable[..., Floats], shares: Floats, *counts: Ints | Floats) -> Floats:
    """Return at each look the sum over steps of a row's terms, the running step so far."""
    result, before = [], np.zeros(1)
    for step in _steps(shares):
        here = before + terms(*(c[:, step].cumsum(axis=1, dtype=np.float64) for c in counts))
        result.append(here)
        before = here[:, -1:]
    return np.concatenate(result, axis=1)


def _steps(shares: Floats) -> Iterator[slice]:
    """Yield the looks of each step: those in a row with one share."""
    edges = [0, *(np.flatnonzero(np.diff(shares)) + 1).tolist(), len(shares)]
    for start, stop in pairwise(edges):
        yield slice(start, stop)
