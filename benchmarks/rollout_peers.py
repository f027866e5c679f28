"""What rollouts are commonly watched with: tests made for one look, and a rule of thumb."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from promotion_assets.statistics.streams import Stream

Stops = np.ndarray


def repeated_z(stream: Stream, alpha: float, *, two_sided: bool = False, burn_in: int = 0) -> Stops:
    """Return where a pooled two-proportion z-test on all units so far is significant.

    Args:
        burn_in: units of the candidate before which it is not looked at.
    """
    x, y, n, m = (
        counts.cumsum(axis=1).astype(float)
        for counts in (
            stream.events_candidate,
            stream.events_stable,
            stream.units_candidate,
            stream.units_stable,
        )
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (x + y) / (n + m)
        z = (x / n - y / m) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z = np.where(np.isfinite(z) & (n >= burn_in), z, 0.0)
    if two_sided:
        return np.abs(z) > -ndtri(alpha / 2)
    return z > -ndtri(alpha)


def repeated_chi_square(stream: Stream, alpha: float) -> Stops:
    """Return where the candidate's units differ significantly from their planned share so far."""
    n, m = stream.units_candidate, stream.units_stable
    expected = (stream.shares * (n + m)).cumsum(axis=1)
    variance = (stream.shares * (1 - stream.shares) * (n + m)).cumsum(axis=1)
    z = (n.cumsum(axis=1) - expected) / np.sqrt(variance)
    return np.abs(z) > -ndtri(alpha / 2)


def flagger(stream: Stream, *, least: float = 0.99, failures: int = 10, every: int = 1) -> Stops:
    """Return where Flagger's rule stops: so many checks with a success rate below a limit.

    Success rate, limit and number are those of its documentation's first example (99 % a minute,
    10 failed checks); checks that failed are added up until the end (pkg/controller/scheduler.go).

    Args:
        every: looks that make one check's interval.
    """
    runs, looks = stream.units_candidate.shape
    intervals = looks // every
    errors, units = (
        counts[:, : intervals * every].reshape(runs, intervals, every).sum(axis=2)
        for counts in (stream.events_candidate, stream.units_candidate)
    )
    failed = errors > (1 - least) * units
    return failed.cumsum(axis=1) >= failures
