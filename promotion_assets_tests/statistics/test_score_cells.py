"""Cells of probabilities, and the bound on what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.statistics.placements import (
    BinnedTable,
    Moments,
    moments_of_table,
    placements_of,
)
from promotion_assets.statistics.roc import auc
from promotion_assets.statistics.running import Running
from promotion_assets.statistics.score_cells import CELLS, bins_of_cells, cells_of, count_cells

PROBABILITIES = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, np.nextafter(0.5, 1), np.nextafter(1, 0), 5e-324]),
    st.integers(0, 40).map(lambda n: 1 - 2.0**-n),
    st.integers(0, 200).map(lambda n: n / 200),
)


def moments(labels: np.ndarray, scores: np.ndarray, bins: int) -> Moments:
    """Return the moments of scores that are only counted, in two shards."""
    whole = np.zeros((CELLS, 2), dtype=np.int64)
    for half in (slice(None, None, 2), slice(1, None, 2)):
        count_cells(cells_of(scores[half]), labels[half]).add_to(whole)
    lookup, _ = bins_of_cells(whole, bins)
    flat = np.bincount(2 * lookup[cells_of(scores)] + labels, minlength=2 * bins)
    counts = flat.reshape(1, bins, 2).astype(np.float64)
    return moments_of_table(BinnedTable(np.empty(0, dtype=np.intp), counts, placements_of(counts)))[
        0
    ]


@given(st.lists(PROBABILITIES, min_size=2, max_size=60))
def test_order_between_cells_is_the_order_of_probabilities(values: list[float]) -> None:
    """A larger probability never lies in a lower cell, near 0, one half and 1 too."""
    ordered = np.sort(np.array(values))
    cells = cells_of(ordered)
    assert (np.diff(cells) >= 0).all()
    assert cells.min() >= 0
    assert cells.max() < CELLS


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), PROBABILITIES), min_size=4, max_size=80),
    st.sampled_from([2, 16, 65_536]),
)
def test_the_auc_is_within_the_stated_tolerance(rows: list[tuple[bool, float]], bins: int) -> None:
    """Pairs in one bin count one half; nothing else can differ, whatever the scores."""
    labels = np.array([truth for truth, _ in rows] + [True, False])
    scores = np.array([score for _, score in rows] + [0.3, 0.7])
    found = moments(labels, scores, bins)
    assert abs(found.auc - auc(labels, scores)) <= found.tolerance + 1e-12


def test_the_tolerance_of_a_million_rows_is_small() -> None:
    """Scores of a model, of rare events, and of one that is always sure lose next to nothing."""
    rng = np.random.default_rng(1)
    labels = rng.random(200_000) < 0.3
    signal = rng.normal(size=200_000) + labels
    for shift, scale in ((0, 1), (-9, 1), (0, 12)):
        scores = 1 / (1 + np.exp(-(scale * signal + shift)))
        found = moments(labels, scores, 65_536)
        assert abs(found.auc - auc(labels, scores)) <= found.tolerance < 5e-5


def test_what_is_no_probability_is_refused() -> None:
    """Cells are defined for numbers from 0 to 1; NaN is none."""
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            cells_of(np.array([0.5, wrong]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.data())
def test_merged_moments_are_those_of_all_values(values: list[float], data: st.DataObject) -> None:
    """Mean and deviation of two shards merged are those of the whole, an empty shard included."""
    cut = data.draw(st.integers(0, len(values)))
    array = np.array(values)
    merged = Running.of(array[:cut]).merged(Running.of(array[cut:]))
    assert merged.n == len(values)
    assert merged.mean == pytest.approx(array.mean(), rel=1e-9, abs=1e-6)
    assert merged.deviation == pytest.approx(array.std(ddof=1), rel=1e-6, abs=1e-5)
