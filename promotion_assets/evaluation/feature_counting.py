"""Counting one column: in bins or categories of its own, or in those of another profile.

The kind of a feature is settled once, by the training data, and a profile made against another
one takes it from there:

* **categorical**: text, booleans, categories, and whole numbers with at most
  :data:`CODE_VALUES` distinct values (codes, grades, flags), however they are stored, so that an
  integer column that holds floats because some values are missing stays what it is;
* **numeric**: all other numbers; moments and durations as seconds.

Edges of a numeric feature are inner quantiles of the training data, values of the data
themselves. Where much of the data lies on the smallest value, an edge just below it keeps
production's smaller values apart from it.
"""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.evaluation.columns import coded_values, column_type
from promotion_assets.evaluation.profile import CategoricalFeature, NumericFeature
from promotion_assets.statistics.counting import Summary, count_into, summarise

CODE_VALUES = 20
"""Whole numbers of at most so many distinct values are categories."""

UNLISTED_NAMES = 20
"""How many values outside the kept categories a profile names."""

Floats = npt.NDArray[np.float64]
_PROBE_ROWS = 1_000


def new_feature(
    column: pd.Series[Any], *, bins: int, max_categories: int
) -> NumericFeature | CategoricalFeature:
    """Return the profile of a column whose kind, bins and categories it settles itself."""
    if _is_numeric(column):
        numbers = _numbers(column)
        return count_numbers(
            str(column.name), column_type(column), numbers, quantile_edges(numbers, bins)
        )
    counts, missing = _named_counts(column)
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:max_categories]
    return _categorical(column, counts, missing, sorted(kept))


def feature_like(
    column: pd.Series[Any], reference: NumericFeature | CategoricalFeature
) -> NumericFeature | CategoricalFeature:
    """Return the profile of a column in the bins or categories of ``reference``.

    Where ``reference`` is numeric, values that are no numbers count as missing: a model cannot
    use them either, and drift shows it.
    """
    if isinstance(reference, NumericFeature):
        edges = np.array(reference.edges, dtype=np.float64)
        return count_numbers(reference.name, column_type(column), _numbers(column), edges)
    counts, missing = _named_counts(column)
    return _categorical(column, counts, missing, list(reference.counts))


def quantile_edges(numbers: Floats, bins: int) -> Floats:
    """Return the inner edges of about ``bins`` bins of equal counts, without repeats.

    The quantiles are values of the data (the inverse of the empirical distribution), so tied
    values share a bin. Missing and infinite values are left out.
    """
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or bins < 2:
        return np.empty(0)
    shares = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(finite, shares, method="inverted_cdf"))
    below = math.nextafter(float(edges[0]), -math.inf)
    if edges[0] == finite.min() and math.isfinite(below):
        edges = np.concatenate([[below], edges])
    return edges


def count_numbers(name: str, type_: str, numbers: Floats, edges: Floats) -> NumericFeature:
    """Return the profile of ``numbers``, shape (rows,), NaN for missing, in bins of ``edges``."""
    found, missing = summarise(numbers, edges), 0
    if found is None:
        found, missing = _with_gaps(numbers, edges)
    empty = math.isinf(found.low)
    return NumericFeature(
        name=name,
        type=type_,
        edges=tuple(edges.tolist()),
        counts=tuple(found.counts.tolist()),
        missing=missing,
        minimum=None if empty else found.low,
        maximum=None if empty else found.high,
        total=saturated(found.total),
        total_squares=saturated(found.squares),
    )


def _with_gaps(numbers: Floats, edges: Floats) -> tuple[Summary, int]:
    """Return the same of numbers of which some are missing or infinite, and how many miss."""
    counts, missing = count_into(numbers, edges)
    finite = numbers[np.isfinite(numbers)]
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(finite.sum())
        squares = float(np.einsum("i,i->", finite, finite))
    low, high = finite.min(initial=math.inf), finite.max(initial=-math.inf)
    return Summary(counts, total, squares, float(low), float(high)), missing


def saturated(number: float) -> float:
    """Return ``number``, or the largest float of its sign where a sum ran over."""
    limit = sys.float_info.max
    return 0.0 if math.isnan(number) else min(max(number, -limit), limit)


def _categorical(
    column: pd.Series[Any], counts: dict[str, int], missing: int, kept: list[str]
) -> CategoricalFeature:
    rest = sorted(counts.keys() - set(kept))
    return CategoricalFeature(
        name=str(column.name),
        type=column_type(column),
        counts={name: counts.get(name, 0) for name in kept},
        missing=missing,
        other=sum(counts[name] for name in rest),
        unlisted={name: counts[name] for name in rest[:UNLISTED_NAMES]},
    )


def _named_counts(column: pd.Series[Any]) -> tuple[dict[str, int], int]:
    codes, names = coded_values(column)
    tally = np.bincount(codes + 1, minlength=len(names) + 1)
    counts: dict[str, int] = {}
    for name, count in zip(names, tally[1:].tolist(), strict=True):
        counts[name] = counts.get(name, 0) + count
    return counts, int(tally[0])


def _is_numeric(column: pd.Series[Any]) -> bool:
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        return True
    if pd.api.types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return False
    if pd.api.types.is_object_dtype(dtype):
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind == "date":
            return True
        if kind not in ("integer", "floating", "decimal", "mixed-integer-float"):
            return False
    elif not pd.api.types.is_numeric_dtype(dtype):
        return False
    return not _is_coded(_numbers(column))


def _is_coded(numbers: Floats) -> bool:
    """Return whether all are whole numbers of few distinct values."""
    probe = numbers[:_PROBE_ROWS]
    for values in (probe, numbers):
        present = values[~np.isnan(values)]
        if not np.isfinite(present).all() or not (present == np.floor(present)).all():
            return False
        if len(pd.unique(present)) > CODE_VALUES:
            return False
    return not np.isnan(numbers).all()


def _numbers(column: pd.Series[Any]) -> Floats:
    """Return a column as float64, NaN where there is no number."""
    dtype = column.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        zero = pd.Timestamp(0, tz=getattr(dtype, "tz", None))
        return np.asarray((column - zero) / pd.Timedelta(seconds=1), dtype=np.float64)
    if pd.api.types.is_timedelta64_dtype(dtype):
        return np.asarray(column.dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        # A frame made of one row-major array has strided columns, seven times slower to count.
        return np.ascontiguousarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_object_dtype(dtype):
        return np.array([_number(value) for value in column], dtype=np.float64)
    return np.full(len(column), np.nan)


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_):
        return float(value)
    if isinstance(value, int | float | np.number | Decimal):
        return float(value)
    if hasattr(value, "toordinal"):
        return (pd.Timestamp(value) - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    return math.nan
