"""Counting values into stored bins: the kernel of profiling, bound by memory and not by rows.

A comparison and a count of its hits run at the speed of memory, so a handful of edges is counted
by a pass per edge over a block that stays in the cache, without a sort and without an index per
value. Past :data:`SEARCH_EDGES` a binary search is the faster way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, Ints

BLOCK_ROWS = 262_144
SEARCH_EDGES = 160
_PIECE = 8_192
_ONES = np.ones(BLOCK_ROWS)


def count_into(values: npt.ArrayLike, edges: npt.ArrayLike) -> tuple[Ints, int]:
    """Count ``values`` into the bins that ``edges`` cut.

    Args:
        values: numbers, shape (rows,); NaN is missing, infinity lies in the outer bins. Integers
            and booleans are counted as float64.
        edges: ascending without repeats, finite, shape (edges,); may be empty.

    Returns:
        Counts by bin, shape (edges + 1,), bin ``i`` holding the values in
        ``(edges[i-1], edges[i]]``, and the number of missing values; together they are all rows.

    Raises:
        ValueError: for edges that do not ascend, or values that are not numbers.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"values must have one dimension, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"values must be numbers, got values of type {array.dtype}")
    cuts = np.asarray(edges, dtype=np.float64)
    if cuts.ndim != 1 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise ValueError("edges must be finite and ascend without repeats")
    if len(cuts) > SEARCH_EDGES:
        return _by_search(array, cuts)
    return _by_comparison(array, cuts)


class Summary(NamedTuple):
    """What one pass over values that are all finite finds.

    Attributes:
        counts: by bin, as :func:`count_into` has them.
        total, squares: sum of the values and of their squares; squares may be infinite.
        low, high: smallest and largest value.
    """

    counts: Ints
    total: float
    squares: float
    low: float
    high: float


def summarise(values: Floats, edges: npt.ArrayLike) -> Summary | None:
    """Count values and sum them up while they are in the cache.

    Args:
        values: float64, shape (rows,).
        edges: as for :func:`count_into`, whose counts these are.

    Returns:
        ``None`` if there are no rows, too many edges for comparisons, a value that is not
        finite, or a sum that is not.
    """
    cuts = np.asarray(edges, dtype=np.float64).tolist()
    if not len(values) or len(cuts) > SEARCH_EDGES:
        return None
    at_most = [0] * len(cuts)
    total = squares = 0.0
    low, high = math.inf, -math.inf
    hits = np.empty(BLOCK_ROWS, dtype=np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(values), BLOCK_ROWS):
            block = np.ascontiguousarray(values[start : start + BLOCK_ROWS])
            total += _dot(block, _ONES[: len(block)])
            if not math.isfinite(total):
                return None
            squares += _dot(block, block)
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            out = hits[: len(block)]
            for i, cut in enumerate(cuts):
                at_most[i] += int(np.count_nonzero(np.less_equal(block, cut, out=out)))
    cumulated: Ints = np.array(at_most, dtype=np.int64)
    counts: Ints = np.diff(cumulated, prepend=0, append=len(values))
    return Summary(counts, total, squares, low, high)


def _dot(left: Floats, right: Floats) -> float:
    """Return the sum of products, in pieces that are too short for BLAS to start threads.

    Threads would wait for each other on a busy host, ten times as long as the whole count takes.
    """
    even = len(left) - len(left) % _PIECE
    pieces = np.vecdot(left[:even].reshape(-1, _PIECE), right[:even].reshape(-1, _PIECE))
    return float(pieces.sum() + np.dot(left[even:], right[even:]))


def _by_comparison(
    array: npt.NDArray[np.generic], cuts: npt.NDArray[np.float64]
) -> tuple[Ints, int]:
    at_most = np.zeros(len(cuts), dtype=np.int64)
    present = 0
    hits = np.empty(BLOCK_ROWS, dtype=np.bool_)
    limits = [_limit(cut, array.dtype) for cut in cuts]
    for start in range(0, len(array), BLOCK_ROWS):
        block = _block(array, start)
        out = hits[: len(block)]
        for i, limit in enumerate(limits):
            at_most[i] += np.count_nonzero(np.less_equal(block, limit, out=out))
        present += int(np.count_nonzero(np.equal(block, block, out=out)))
    counts = np.diff(at_most, prepend=0, append=present)
    return counts, len(array) - present


def _by_search(array: npt.NDArray[np.generic], cuts: npt.NDArray[np.float64]) -> tuple[Ints, int]:
    counts = np.zeros(len(cuts) + 1, dtype=np.int64)
    missing = 0
    for start in range(0, len(array), BLOCK_ROWS):
        block = _block(array, start).astype(np.float64, copy=False)
        absent = np.isnan(block)
        if absent.any():
            missing += int(np.count_nonzero(absent))
            block = block[~absent]
        counts += np.bincount(np.searchsorted(cuts, block, side="left"), minlength=len(counts))
    return counts, missing


def _block(array: npt.NDArray[np.generic], start: int) -> npt.NDArray[np.floating]:
    block = array[start : start + BLOCK_ROWS]
    if block.dtype not in (np.float32, np.float64):
        return block.astype(np.float64)
    return np.ascontiguousarray(block)


def _limit(cut: float, dtype: np.dtype[np.generic]) -> float | np.float32:
    """Return ``cut`` in the block's own type, rounded down: ``x <= cut`` keeps its meaning."""
    if dtype != np.float32:
        return float(cut)
    with np.errstate(over="ignore"):
        single = np.float32(cut)
    if float(single) > cut:
        single = np.nextafter(single, np.float32(-math.inf))
    return single
