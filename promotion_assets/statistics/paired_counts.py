"""Two versions judged on the same units: which one errs where the other does not?

Only discordant units tell: under the null hypothesis of Q. McNemar (Psychometrika 12, 1947) each
is the candidate's error with probability one half. The e-process is the likelihood averaged over a
symmetric beta prior around one half, over the likelihood at one half, one-sided by keeping the
upper half of the prior: closed forms of the beta function, valid at every look (the beta-binomial
mixtures of S. Howard et al., Annals of Statistics 49, 2021).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, as_tally
from promotion_assets.statistics.evalues import EValue, no_evidence
from promotion_assets.statistics.numerics import betainc, betaln

#: Both parameters of the beta prior: a standard deviation of .15 around one half.
PRIOR = 5.0


def paired_harm(
    candidate_only: int, champion_only: int, *, alpha: float = 0.05, prior: float = PRIOR
) -> EValue:
    """Return the evidence against "the candidate errs alone no more often than the champion".

    Args:
        candidate_only, champion_only: units on which only this one erred, of the units that both
            answered. ``n`` are these units.
    """
    method = "McNemar e-process, one-sided beta-binomial mixture"
    b, c = _tallies(candidate_only, champion_only, prior)
    if b + c == 0:
        return no_evidence(alpha, method)
    return EValue(float(log_e_one_sided(b, c, prior)), alpha, b + c, method)


def paired_change(
    candidate_only: int, champion_only: int, *, alpha: float = 0.05, prior: float = PRIOR
) -> EValue:
    """Return the evidence against "each errs alone as often as the other"; arguments as above."""
    method = "McNemar e-process, beta-binomial mixture"
    b, c = _tallies(candidate_only, champion_only, prior)
    if b + c == 0:
        return no_evidence(alpha, method)
    return EValue(float(log_e_two_sided(b, c, prior)), alpha, b + c, method)


def log_e_two_sided(first: npt.ArrayLike, second: npt.ArrayLike, prior: float = PRIOR) -> Floats:
    """Return logarithms of e-values of arrays of discordant counts."""
    b, c = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    mixed = betaln(prior + b, prior + c) - betaln(prior, prior)
    return np.asarray(mixed + (b + c) * math.log(2.0))


def log_e_one_sided(first: npt.ArrayLike, second: npt.ArrayLike, prior: float = PRIOR) -> Floats:
    """Return the same of the alternative that the first errs more often."""
    b, c = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    upper = betainc(prior + c, prior + b, 0.5)
    underflow = upper < 1e-250
    tail = np.log(2.0 * np.where(underflow, 1.0, upper))
    # Where the first errs far less, the tail underflows. The first term of its hypergeometric
    # series (NIST Digital Library of Mathematical Functions, 8.17.8) cancels against the
    # likelihood and is a bound from below: evidence is never overstated.
    bound = (1.0 - 2.0 * prior) * math.log(2.0) - betaln(prior, prior) - np.log(prior + c)
    above = log_e_two_sided(b, c, prior) + tail
    return np.asarray(np.where(underflow, bound, above))


def _tallies(candidate_only: int, champion_only: int, prior: float) -> tuple[int, int]:
    if not (math.isfinite(prior) and prior > 0.0):
        raise ValueError(f"the beta prior must be positive, got {prior!r}")
    return as_tally(candidate_only, "candidate_only"), as_tally(champion_only, "champion_only")
