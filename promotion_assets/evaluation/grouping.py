"""Protected groups: which group each row belongs to, by attribute."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.errors import EvidenceMissing, UsageError
from promotion_assets.evaluation.columns import coded_values
from promotion_assets.policy.model import Group

MISSING = "missing"
"""The group of the rows whose attribute is not known."""


def groups_of(
    frame: pd.DataFrame, groups: Sequence[Group], *, model: str = ""
) -> dict[str, npt.NDArray[np.object_]]:
    """Return the group name of every row, by the attribute's label.

    A value is called by its text, followed by the policy's label where there is one:
    ``3 (high school)``. A banded attribute gives ``<30``, ``30-49``, ``50+``. Rows with no value
    form the group ``missing``: nobody is left out of a comparison for want of an answer.

    Raises:
        EvidenceMissing: a group's column is not in ``frame``.
        UsageError: a banded column does not hold numbers.
    """
    return {group.label: group_names(frame, group, model=model) for group in groups}


def group_names(frame: pd.DataFrame, group: Group, *, model: str = "") -> npt.NDArray[np.object_]:
    """Return the group name of every row for one attribute, dtype object, shape (rows,)."""
    codes, names = group_codes(frame, group, model=model)
    return np.array(names, dtype=object)[codes]


def group_codes(
    frame: pd.DataFrame, group: Group, *, model: str = ""
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return a code for every row and the codes' names; the last one is of rows without a value.

    Two codes may have one name (the number 1 and the text ``1``).

    Raises:
        EvidenceMissing, UsageError: as :func:`groups_of`.
    """
    if group.column not in frame.columns:
        raise EvidenceMissing(
            f"Grouping the evaluation rows of {model or 'a model'} by {group.label}",
            f"there is no column {group.column!r}; the columns are {_listed(frame.columns)}",
            "add the column to the dataset, or take the group out of the policy",
        )
    column = frame[group.column]
    codes, names = _banded(column, group, model) if group.bands else _whole(column, group)
    return np.where(codes < 0, len(names), codes), [*names, MISSING]


def expected_names(group: Group) -> tuple[str, ...]:
    """Return the groups that the policy speaks of: every band, or every labelled value."""
    if group.bands:
        return tuple(_called(name, group) for name in band_names(group.bands))
    return tuple(_called(value, group) for value in group.labels)


def band_names(edges: Sequence[float]) -> tuple[str, ...]:
    """Return the names of the bands ``[low, high)`` between ascending inner ``edges``."""
    whole = all(float(edge).is_integer() for edge in edges)
    inner = [
        _whole_band(int(low), int(high)) if whole else f"[{low:g}, {high:g})"
        for low, high in itertools.pairwise(edges)
    ]
    return (f"<{edges[0]:g}", *inner, f"{edges[-1]:g}+")


def _whole_band(low: int, high: int) -> str:
    return str(low) if high - low == 1 else f"{low}-{high - 1}"


def _whole(column: pd.Series[Any], group: Group) -> tuple[npt.NDArray[np.int64], list[str]]:
    codes, names = coded_values(column)
    # A real value that reads "missing" must not join the rows that have none.
    return codes, [repr(name) if name == MISSING else _called(name, group) for name in names]


def _banded(
    column: pd.Series[Any], group: Group, model: str
) -> tuple[npt.NDArray[np.int64], list[str]]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise UsageError(
            f"Grouping the evaluation rows of {model or 'a model'} by {group.label}",
            f"bands need numbers, and column {group.column!r} holds {column.dtype}",
            "take the bands out of the policy, or make the column numeric in the source",
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    codes = np.searchsorted(np.asarray(group.bands, dtype=np.float64), values, side="right")
    codes = np.where(np.isnan(values), -1, codes)
    return codes.astype(np.int64), [_called(name, group) for name in band_names(group.bands)]


def _called(name: str, group: Group) -> str:
    label = group.labels.get(name)
    return f"{name} ({label})" if label else name


def _listed(columns: pd.Index[Any]) -> str:
    names = [str(name) for name in columns]
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
