"""Synthetic traffic of two arms, look by look, for many runs at once.

What a policy is tried on before it is trusted: counts as a rollout would see them, with a fault put
in. Everything random comes from the generator that is passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, Ints

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


class MomentArrays(NamedTuple):
    """Units, sum, sum of squares and non-zero values between looks, each (runs, looks)."""

    n: Floats
    total: Floats
    squares: Floats
    nonzero: Floats


@dataclass(frozen=True)
class Stream:
    """Counts of what came between one look and the next.

    Attributes:
        shares: planned share of the candidate at each look, shape (looks,). Looks in a row with
            one share are one step.
        units_candidate, units_stable: shape (runs, looks).
        events_candidate, events_stable: units that had the event, same shape.
    """

    shares: Floats
    units_candidate: Ints
    units_stable: Ints
    events_candidate: Ints
    events_stable: Ints


def draw_units(
    rng: np.random.Generator,
    *,
    runs: int,
    shares: npt.ArrayLike,
    units: npt.ArrayLike,
    realised: npt.ArrayLike | None = None,
) -> tuple[Ints, Ints]:
    """Return units of candidate and stable, each assigned by chance, shape (runs, looks).

    Args:
        shares: of the candidate at each look, shape (looks,).
        units: arriving at each look in both arms, one number or one for each look.
        realised: shares at which units really arrive, where they are not the planned ones.
    """
    planned = np.asarray(shares, dtype=np.float64)
    true = planned if realised is None else np.asarray(realised, dtype=np.float64)
    arriving = np.broadcast_to(np.asarray(units, dtype=np.int64), (runs, len(planned)))
    candidate = rng.binomial(arriving, np.broadcast_to(true, arriving.shape))
    return candidate, arriving - candidate


def draw_events(
    rng: np.random.Generator,
    *,
    runs: int,
    shares: npt.ArrayLike,
    units: npt.ArrayLike,
    base: npt.ArrayLike,
    ratio: npt.ArrayLike = 1.0,
    realised: npt.ArrayLike | None = None,
) -> Stream:
    """Return a stream in which the candidate's rate is ``ratio`` times the base rate.

    Args:
        shares, units, realised: as in :func:`draw_units`.
        base: rate of the event in the stable arm, one number or one for each look.
        ratio: one number or one for each look: a fault that sets in later is a 1 before.
    """
    candidate, stable = draw_units(rng, runs=runs, shares=shares, units=units, realised=realised)
    rate = np.broadcast_to(np.asarray(base, dtype=np.float64), candidate.shape)
    worse = np.minimum(rate * np.asarray(ratio, dtype=np.float64), 1.0)
    return Stream(
        np.asarray(shares, dtype=np.float64),
        candidate,
        stable,
        rng.binomial(candidate, worse),
        rng.binomial(stable, rate),
    )


def draw_exceedances(
    rng: np.random.Generator,
    *,
    runs: int,
    shares: npt.ArrayLike,
    units: npt.ArrayLike,
    stable: npt.ArrayLike,
    candidate: npt.ArrayLike,
) -> tuple[Stream, ...]:
    """Return one stream for each of several thresholds that the same units are held against.

    Args:
        shares, units: as in :func:`draw_units`.
        stable, candidate: as in :func:`exceedances`.
    """
    nothing = draw_events(rng, runs=runs, shares=shares, units=units, base=0.0)
    return exceedances(rng, nothing, stable=stable, candidate=candidate)


def exceedances(
    rng: np.random.Generator, stream: Stream, *, stable: npt.ArrayLike, candidate: npt.ArrayLike
) -> tuple[Stream, ...]:
    """Return for the units of a stream how many exceed each of several thresholds.

    Args:
        stable, candidate: probability to exceed each threshold, of shape (thresholds,) or
            (thresholds, looks). Thresholds ascend, so the probabilities descend.
    """
    over = [
        _nested(rng, units, np.asarray(rates, dtype=np.float64))
        for units, rates in ((stream.units_candidate, candidate), (stream.units_stable, stable))
    ]
    return tuple(
        replace(stream, events_candidate=above, events_stable=also)
        for above, also in zip(*over, strict=True)
    )


def draw_moments(
    rng: np.random.Generator,
    *,
    runs: int,
    shares: npt.ArrayLike,
    units: int,
    stable: Draw,
    candidate: Draw,
) -> tuple[MomentArrays, MomentArrays]:
    """Return what candidate and stable keep of their units' values between looks.

    Args:
        shares: as in :func:`draw_units`.
        units: arriving at each look in both arms.
        stable, candidate: draw values of a given shape.
    """
    planned = np.asarray(shares, dtype=np.float64)
    one, two = draw_units(rng, runs=runs, shares=planned, units=units)
    kept = [
        [_moments(rng, arm[:, look], draw) for look in range(len(planned))]
        for arm, draw in ((one, candidate), (two, stable))
    ]
    first, second = (MomentArrays(*np.moveaxis(np.array(looks), 0, -1)) for looks in kept)
    return first, second


def _moments(rng: np.random.Generator, units: Ints, draw: Draw) -> Floats:
    """Return count, sum, squares and non-zero values of each run, shape (4, runs)."""
    shape = (len(units), int(units.max()))
    values = np.where(np.arange(shape[1]) < units[:, None], draw(rng, shape), 0.0)
    squares = np.einsum("ij,ij->i", values, values)
    return np.stack([units, values.sum(axis=1), squares, np.count_nonzero(values, axis=1)])


def _nested(rng: np.random.Generator, units: Ints, rates: Floats) -> list[Ints]:
    """Return how many exceed each threshold: each a part of those that exceed the one before."""
    if (np.diff(rates, axis=0) > 0.0).any():
        raise ValueError(f"a higher threshold cannot be exceeded more often: {rates.tolist()}")
    found, before, at_before = [], units, np.ones(rates.shape[1:])
    for rate in rates:
        before = rng.binomial(before, rate / np.where(at_before > 0.0, at_before, 1.0))
        at_before = rate
        found.append(before)
    return found
