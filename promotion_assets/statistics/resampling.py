"""Row bootstrap of confusion counts: resampling the cells is resampling the rows.

A bootstrap of ``n`` rows draws cell counts from a multinomial with the observed shares, so 1,000
resamples of a table cost 1,000 small draws, whatever the number of rows. From them comes the
critical value that makes the intervals of all groups hold at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from promotion_assets.statistics.checks import Floats, Ints, as_confidence
from promotion_assets.statistics.estimates import Difference, Estimate
from promotion_assets.statistics.groups import (
    ConfusionTable,
    Disparity,
    Rate,
    disparity,
    gaps_to_overall,
    parts,
    spread,
    values_of,
)
from promotion_assets.statistics.inversion import spread_interval
from promotion_assets.statistics.numerics import ndtr, ndtri
from promotion_assets.statistics.simultaneous import bonferroni, max_t_critical

RESAMPLES = 1000


def resample(
    table: ConfusionTable, *, resamples: int = RESAMPLES, rng: np.random.Generator
) -> Ints:
    """Return bootstrapped counts, shape (resamples, groups, 2, 2)."""
    cells = table.counts.reshape(-1)
    rows = int(cells.sum())
    if rows == 0:
        raise ValueError("the confusion table is empty: there is nothing to resample")
    draws = rng.multinomial(rows, cells / rows, size=resamples)
    return draws.reshape(resamples, *table.counts.shape)


def simultaneous_gaps(
    table: ConfusionTable,
    rate: Rate,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> tuple[Difference | None, ...]:
    """Return every group's rate minus the overall rate, with intervals that hold all at once.

    The critical value is the max-t quantile of the resampled gaps, at most Bonferroni's; it
    widens the intervals of :func:`promotion_assets.statistics.groups.gaps_to_overall`. Their
    ``p_value`` is still that of each gap alone.
    """
    draws = resample(table, resamples=resamples, rng=rng)
    by_group = values_of(draws.reshape(resamples, table.n_groups, 4), rate)
    overall = values_of(draws.reshape(resamples, table.n_groups, 4).sum(axis=1), rate)
    z = max_t_critical(by_group - overall[:, None], as_confidence(confidence))
    comparisons = max(1, int(np.count_nonzero(parts(table, rate)[1])))
    z = min(z, float(ndtri(0.5 + bonferroni(confidence, comparisons) / 2)))
    level = float(2 * ndtr(z) - 1)
    return tuple(
        None
        if gap is None
        else replace(gap, confidence=confidence, method=f"{gap.method}, max-t over {comparisons}")
        for gap in gaps_to_overall(table, rate, confidence=level)
    )


def disparity_estimate(
    table: ConfusionTable,
    name: Disparity,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> Estimate:
    """Return one of fairlearn's disparities with an interval.

    The interval inverts a test along the observed deviations from the mean rate, see
    :mod:`promotion_assets.statistics.inversion`; rates of groups are taken as normal around the
    truth, with the variance of a proportion that has two more rows of either kind. For two or
    three groups it covers 93 to 97 %; for many groups of very unequal size (40 to 600 rows) about
    90 %, because one line cannot hold every shape of disparity. A verdict on many groups is
    better taken on :func:`simultaneous_gaps`.

    Raises:
        ValueError: where fewer than two groups have the rate.
    """
    names: tuple[Rate, ...]
    names = ("selection_rate",) if name.startswith("demographic") else ("tpr", "fpr")
    lines = [line for rate in names if (line := _line(table, rate, resamples, rng)) is not None]
    if not lines:
        raise ValueError(f"{name} needs two groups with {' or '.join(names)}")
    difference = name.endswith("difference")
    level = as_confidence(confidence)

    def _apart(rates: Floats) -> Floats:
        largest, ratio = spread(rates)
        # A ratio falls as the scale grows; its distance from 1 rises as a difference does.
        return largest if difference else 1.0 - np.nan_to_num(ratio, nan=1.0)

    def _at(scale: float) -> tuple[float, Floats]:
        centers = [np.clip(mean + scale * deviation, 0.0, 1.0) for mean, deviation, _ in lines]
        draws = [
            _apart(np.clip(center + noise, 0.0, 1.0))
            for center, (_, _, noise) in zip(centers, lines, strict=True)
        ]
        return max(float(_apart(center)) for center in centers), np.max(draws, axis=0)

    value = disparity(table, name)
    observed = value if difference else 1.0 - value
    low, high = spread_interval(observed, _at, level)
    if not difference:
        low, high = 1.0 - high, 1.0 - low
    n = int(table.counts.sum())
    std_error = (high - low) / (2 * float(ndtri(0.5 + level / 2)))
    return Estimate(value, low, high, level, n, "test inversion over scaled gaps", std_error)


def _line(
    table: ConfusionTable, rate: Rate, resamples: int, rng: np.random.Generator
) -> tuple[float, Floats, Floats] | None:
    """Return the mean rate, each group's deviation from it, and noise (resamples, groups)."""
    hits, trials = parts(table, rate)
    kept = trials > 0
    if np.count_nonzero(kept) < 2:
        return None
    hits, trials = hits[kept], trials[kept]
    mean = float(hits.sum() / trials.sum())
    smoothed = (hits + 2) / (trials + 4)
    error = np.sqrt(smoothed * (1 - smoothed) / trials)
    deviation = hits / trials - mean
    if not np.any(deviation):
        # Without any gap the line has no direction: take one of the noise's size.
        deviation = error * np.where(np.arange(len(error)) % 2, 1.0, -1.0)
    return mean, deviation, rng.standard_normal((resamples, len(error))) * error
