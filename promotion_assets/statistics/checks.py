"""Input checks: what is refused, and in which words. Each raises ``ValueError``."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def as_confidence(confidence: float) -> float:
    """Return ``confidence``, which must lie strictly between 0 and 1."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
    return float(confidence)


def as_binary(labels: npt.ArrayLike, name: str = "labels") -> Bools:
    """Return ``labels`` as booleans; anything but 0 and 1 is refused, NaN by name."""
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} are empty")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be 0 or 1, got values of type {array.dtype}")
    truth = array.astype(np.bool_)
    # Of whole numbers the two extremes say it, in less than half the time.
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 1:
        return truth
    wrong = truth != array
    if wrong.any():
        nan = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
        if nan:
            raise ValueError(f"{name} hold {nan} NaN among {array.size}; each must be 0 or 1")
        seen = sorted({float(v) for v in array[wrong][:1000]})[:3]
        raise ValueError(f"{name} must be 0 or 1, got {', '.join(map(repr, seen))}")
    return truth


def as_finite(values: npt.ArrayLike, name: str, rows: int | None = None) -> Floats:
    """Return ``values`` as float64 of one dimension; NaN and infinity are refused."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers, got values of type {array.dtype}")
    if rows is not None and array.size != rows:
        raise ValueError(f"{name} have {array.size} rows, expected {rows}")
    if array.size == 0:
        raise ValueError(f"{name} are empty")
    result = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(result).all():
        nan = int(np.isnan(result).sum())
        infinite = int(np.isinf(result).sum())
        raise ValueError(
            f"{name} hold {nan} NaN and {infinite} infinite values among {result.size}"
        )
    return result


def as_codes(codes: npt.ArrayLike, n_groups: int, rows: int) -> npt.NDArray[np.signedinteger]:
    """Return group codes as integers in ``[-1, n_groups)``; -1 is a row of no group."""
    array = np.asarray(codes)
    if array.shape != (rows,):
        raise ValueError(f"codes have shape {array.shape}, expected ({rows},)")
    if array.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got values of type {array.dtype}")
    if n_groups < 1:
        raise ValueError(f"there must be at least one group, got {n_groups}")
    low, high = int(array.min()), int(array.max())
    if low < -1 or high >= n_groups:
        raise ValueError(f"codes must lie in [-1, {n_groups}), got {low} to {high}")
    return array if array.dtype.kind == "i" else array.astype(np.int64)


def as_counts(counts: npt.ArrayLike, name: str, *, ndim: int = 1) -> Floats:
    """Return counts as float64; negative, non-finite or all-zero counts are refused."""
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} must have {ndim} dimension(s) and not be empty")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} hold a negative or non-finite count")
    if array.sum() == 0:
        raise ValueError(f"{name} are all zero: there is nothing to compare")
    return array


def as_alpha(alpha: float) -> float:
    """Return the chance of a false alarm, which must lie strictly between 0 and 1."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
    return float(alpha)


def as_tally(count: float, name: str) -> int:
    """Return a count of things; NaN, infinity, fractions and negative numbers are refused."""
    if not math.isfinite(count) or count < 0 or count != int(count):
        raise ValueError(f"{name} must be a count, got {count!r}")
    return int(count)
