"""Whether a score can be read as a probability: Brier score, ECE, the reliability table.

The expected calibration error is the mean of |observed rate - mean score| over bins of equally
many rows, weighted by rows. Noise alone makes it positive: with 15 bins of 100 rows a perfect
model shows about .03. So the interval does not centre on it; it inverts a test, see
:mod:`promotion_assets.statistics.inversion`, and reaches 0 where no miscalibration is shown.
It is the ECE of these bins, which is at most that of finer ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Bools, Floats, Ints, as_binary, as_finite
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.intervals import mean_difference, mean_estimate
from promotion_assets.statistics.inversion import spread_interval
from promotion_assets.statistics.numerics import ndtri

BINS = 15
DRAWS = 1000


@dataclass(frozen=True)
class Reliability:
    """The reliability table: rows, mean score and observed rate by bin, ascending by score.

    Attributes:
        rows: shape (bins,); rows with one score stay in one bin, so bins may differ in size.
        mean_score, observed_rate: shape (bins,).
        edges: largest score of each bin but the last, shape (bins - 1,).
    """

    rows: Ints
    mean_score: Floats
    observed_rate: Floats
    edges: Floats


def brier(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the mean squared difference of probability and outcome (G. Brier, 1950)."""
    truth, values = _probabilities(labels, scores)
    return float(np.mean((values - truth) ** 2))


def brier_estimate(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Return the Brier score with Student's interval of the row-wise squared errors."""
    truth, values = _probabilities(labels, scores)
    return mean_estimate((values - truth) ** 2, confidence=confidence)


def brier_difference(
    labels: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> Difference:
    """Return the paired difference of two models' Brier scores; below 0 the first is better."""
    truth, one = _probabilities(labels, first)
    two = _probabilities(labels, second)[1]
    return mean_difference((one - truth) ** 2, (two - truth) ** 2, confidence=confidence)


def reliability(labels: npt.ArrayLike, scores: npt.ArrayLike, *, bins: int = BINS) -> Reliability:
    """Return the reliability table of about equally large bins."""
    truth, values = _probabilities(labels, scores)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    # The method keeps edges among the scores, so ties fall on one side of an edge.
    cuts = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = np.unique(cuts[cuts < values.max()]) if len(cuts) else cuts
    index = np.searchsorted(edges, values, side="left")
    rows = np.bincount(index, minlength=len(edges) + 1)
    return Reliability(
        rows=rows,
        mean_score=np.bincount(index, weights=values, minlength=len(rows)) / rows,
        observed_rate=np.bincount(index, weights=truth, minlength=len(rows)) / rows,
        edges=edges,
    )


def ece(labels: npt.ArrayLike, scores: npt.ArrayLike, *, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equally many rows."""
    table = reliability(labels, scores, bins=bins)
    return _ece(table)


def ece_estimate(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    bins: int = BINS,
    confidence: float = 0.95,
    rng: np.random.Generator,
) -> Estimate:
    """Return the expected calibration error with its interval."""
    table = reliability(labels, scores, bins=bins)
    gap = table.observed_rate - table.mean_score
    weights = table.rows / table.rows.sum()
    smoothed = (table.observed_rate * table.rows + 2) / (table.rows + 4)
    spread = np.sqrt(smoothed * (1 - smoothed) / table.rows)
    noise = rng.standard_normal((DRAWS, len(gap))) * spread
    direction = _smooth(gap, spread)

    def _at(scale: float) -> tuple[float, Floats]:
        truth = np.clip(scale * direction, -1.0, 1.0)
        draws: Floats = np.abs(truth + noise) @ weights
        return float(np.abs(truth) @ weights), draws

    value = _ece(table)
    low, high = spread_interval(value, _at, confidence)
    std_error = (high - low) / (2 * float(ndtri(0.5 + confidence / 2)))
    n = int(table.rows.sum())
    return Estimate(value, low, high, confidence, n, "test inversion over scaled gaps", std_error)


def _smooth(gap: Floats, spread: Floats) -> Floats:
    """Return the shape of miscalibration that the gaps show, with less of their noise.

    A quadratic over the bins, plus each bin's residual shrunk by how much of it may be noise (an
    empirical Bayes estimate): noise left in the shape would be counted twice.
    """
    position = np.linspace(-1.0, 1.0, len(gap))
    design = np.vander(position, min(3, len(gap)))
    weights = 1.0 / spread
    fit = np.linalg.lstsq(design * weights[:, None], gap * weights, rcond=None)[0]
    curve: Floats = design @ fit
    freedom = len(gap) - design.shape[1]
    residual = gap - curve
    if freedom > 0:
        excess = float(np.sum((residual * weights) ** 2)) / freedom - 1.0
        between = max(0.0, excess) * float(np.mean(spread**2))
        curve = curve + residual * between / (between + spread**2)
    # Without any gap the line has no direction: take one of the noise's size.
    return curve if np.any(np.abs(curve) > 0) else spread


def _ece(table: Reliability) -> float:
    gaps = np.abs(table.observed_rate - table.mean_score)
    return float(gaps @ table.rows / table.rows.sum())


def _probabilities(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[Bools, Floats]:
    truth = as_binary(labels)
    values = as_finite(scores, "scores", len(truth))
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"scores must be probabilities, got {low} to {high}")
    return truth, values
