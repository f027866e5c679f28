"""One sort of all rows, by group and score, about twice as fast as ``argsort``.

Score and row number share one 64-bit key, so a plain sort moves both; numpy sorts plain integers
with vector instructions and index arrays without. The key holds the score rounded to what bits
are left. Two scores that round alike may come out in the wrong order, which shows when the exact
scores are read back, and is put right by exchanging neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promotion_assets.statistics.checks import Floats, Ints

Codes = npt.NDArray[np.signedinteger]

SMALL = 20_000
EXCHANGES = 16
BLOCK_ROWS = 32_768


@dataclass(frozen=True)
class Ranking:
    """The rows by group, and by ascending score within each group.

    Attributes:
        order: row numbers; rows of no group are left out.
        scores: the scores in that order.
        starts: where each group begins in ``order``, and its length at the end, shape
            (groups + 1,).
    """

    order: Ints
    scores: Floats
    starts: Ints


def rank(scores: Floats, codes: Codes | None = None, groups: int = 1) -> Ranking:
    """Sort the rows once; rows of code -1 are left out."""
    if codes is None:
        starts = np.array([0, len(scores)])
        order = _order(scores, None, 1)
    else:
        sizes = np.bincount(codes + 1, minlength=groups + 1)
        starts = np.cumsum(sizes) - sizes[0]
        order = _order(scores, codes, groups)[int(sizes[0]) :]
    return Ranking(order, scores[order], starts)


def _order(scores: Floats, codes: Codes | None, groups: int) -> Ints:
    order = _packed(scores, codes, groups) if len(scores) > SMALL else None
    if order is None:
        return np.argsort(scores) if codes is None else np.lexsort((scores, codes))
    return order


def _packed(scores: Floats, codes: Codes | None, groups: int) -> Ints | None:
    """Return the order, or ``None`` where rounding hides too much of it."""
    row_bits = (len(scores) - 1).bit_length()
    code_bits = 0 if codes is None else groups.bit_length()
    # One bit to the sign, one for a score that rounding carries over.
    score_bits = min(62 - row_bits - code_bits, 52)
    low, high = float(scores.min()), float(scores.max())
    if score_bits < 24 or not 0.0 < high - low < np.finfo(np.float64).max:
        return None
    key = np.empty(len(scores), dtype=np.int64)
    scale = (2**score_bits - 1) / (high - low)
    for start in range(0, len(scores), BLOCK_ROWS):
        block = key[start : start + BLOCK_ROWS]
        scaled = scores[start : start + BLOCK_ROWS] - low
        scaled *= scale
        block[:] = scaled
        if codes is not None:
            code = codes[start : start + BLOCK_ROWS].astype(np.int64) + 1
            block += code << (score_bits + 1)
        block <<= row_bits
        block += np.arange(start, start + len(block))
    key.sort()
    key &= (1 << row_bits) - 1
    return _exchange(key, scores, codes)


def _exchange(order: Ints, scores: Floats, codes: Codes | None) -> Ints | None:
    ordered = scores[order]
    for _ in range(EXCHANGES):
        wrong = np.flatnonzero(ordered[1:] < ordered[:-1])
        if codes is not None and len(wrong):
            wrong = wrong[codes[order[wrong]] == codes[order[wrong + 1]]]
        if len(wrong) == 0:
            return order
        # Of overlapping pairs the first goes first; the others are seen in the next round.
        wrong = wrong[np.concatenate(([True], np.diff(wrong) > 1))]
        order[wrong], order[wrong + 1] = order[wrong + 1], order[wrong]
        ordered[wrong], ordered[wrong + 1] = ordered[wrong + 1], ordered[wrong]
    return None
