"""The packed sort against numpy's own, above all where rounding hides the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promotion_assets.statistics.binning import rank_bins
from promotion_assets.statistics.ranking import SMALL, rank

ROWS = SMALL + 500


@settings(max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uniform", "skewed", "outlier", "near ties", "huge", "negative", "constant"]),
)
def test_rank_sorts_exactly(seed: int, shape: str) -> None:
    """Whatever the shape of the scores, they come out ascending and each row once."""
    scores = shaped(np.random.default_rng(seed), shape)
    ranking = rank(scores)
    np.testing.assert_array_equal(ranking.scores, np.sort(scores))
    np.testing.assert_array_equal(np.sort(ranking.order), np.arange(ROWS))
    np.testing.assert_array_equal(scores[ranking.order], ranking.scores)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["uniform", "near ties", "outlier"]))
def test_rank_by_group_sorts_each_group(seed: int, shape: str) -> None:
    """With codes the order is by group, then by score, and rows of no group are left out."""
    rng = np.random.default_rng(seed)
    scores, codes = shaped(rng, shape), rng.integers(-1, 6, size=ROWS)
    ranking = rank(scores, codes, 7)
    expected = np.lexsort((scores, codes))[np.count_nonzero(codes < 0) :]
    np.testing.assert_array_equal(codes[ranking.order], codes[expected])
    np.testing.assert_array_equal(ranking.scores, scores[expected])
    sizes = np.bincount(codes[codes >= 0], minlength=7)
    np.testing.assert_array_equal(np.diff(ranking.starts), sizes)


@pytest.mark.parametrize("shape", ["uniform", "skewed", "outlier", "huge", "negative"])
@pytest.mark.parametrize("bins", [16, 4096, 65536])
def test_bins_keep_the_order_and_share_the_rows(shape: str, bins: int) -> None:
    """A higher score never has a lower bin, and no bin holds much more than its share."""
    scores = shaped(np.random.default_rng(4), shape)
    binned = rank_bins(scores, bins)
    index = binned.bin_of_cell[binned.cell]
    by_score = index[np.argsort(scores)]
    assert (np.diff(by_score) >= 0).all()
    assert 0 <= index.min() <= index.max() < binned.count <= bins
    assert np.bincount(index).max() <= max(20 * ROWS / bins, 80)


def shaped(rng: np.random.Generator, shape: str) -> np.ndarray:
    """Return scores of a shape that some sort or binning would handle badly."""
    uniform = rng.random(ROWS)
    return {
        "uniform": uniform,
        "skewed": np.exp(-30 * uniform),
        "outlier": np.append(uniform[1:] * 1e-9, 1e9),
        "near ties": 0.5 + rng.integers(0, 50, size=ROWS) * 2.0**-52,
        "huge": (uniform - 0.5) * 1.7e308,
        "negative": -np.exp(5 * rng.normal(size=ROWS)),
        "constant": np.full(ROWS, 0.25),
    }[shape]
