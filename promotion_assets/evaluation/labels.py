"""Labels as numbers: what the rows of an evaluation dataset really were."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import JsonValue

from promotion_assets.errors import EvidenceMissing
from promotion_assets.evaluation.columns import value_name
from promotion_assets.policy.model import ModelPolicy

Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def labels_of(
    frame: pd.DataFrame, policy: ModelPolicy, *, model: str
) -> tuple[Labels, tuple[str, ...]]:
    """Return the labels of all rows and, for multiclass, the classes in their natural order.

    Binary: 1 where the label equals ``policy.dataset.positive``, else 0. Multiclass: codes into
    the classes. Regression: the numbers.

    Raises:
        EvidenceMissing: no judgement can be built on these labels; says which value is wrong.
    """
    doing = f"Reading the labels of {model}'s evaluation dataset"
    name = policy.dataset.label
    column = frame[name]
    absent = column.isna().to_numpy()
    if absent.any():
        raise EvidenceMissing(
            doing,
            f"label column {name!r} is missing (NaN or null) in {int(absent.sum())} of "
            f"{len(frame)} rows, first in row {int(absent.argmax())}",
            "drop the rows that have no label yet, or complete them",
        )
    if policy.task == "regression":
        return _numbers(column, name, doing), ()
    values = sorted(column.unique().tolist(), key=_natural)
    if len(values) < 2:
        raise EvidenceMissing(
            doing,
            f"label column {name!r} has one class only: {values[0]!r} in all {len(frame)} rows",
            "evaluate on rows that hold both outcomes",
        )
    if policy.task == "binary":
        return _binary(column, values, policy.dataset.positive, doing), ()
    codes = column.map({value: code for code, value in enumerate(values)})
    return codes.to_numpy(dtype=np.int64), tuple(value_name(value) for value in values)


def _binary(
    column: pd.Series[Any], values: list[Any], positive: JsonValue, doing: str
) -> npt.NDArray[np.int64]:
    shown = ", ".join(repr(value) for value in values[:10])
    if len(values) > 2:
        raise EvidenceMissing(
            doing,
            f"label column {column.name!r} has {len(values)} values for a binary task: {shown}",
            "correct the labels, or set `task: multiclass`",
        )
    if positive not in values:
        raise EvidenceMissing(
            doing,
            f"label column {column.name!r} holds {shown}, and never the positive "
            f"value {positive!r}",
            "set `dataset.positive` to the value that counts as positive",
        )
    return np.asarray(column == positive).astype(np.int64)


def _numbers(column: pd.Series[Any], name: str, doing: str) -> npt.NDArray[np.float64]:
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise EvidenceMissing(
            doing,
            f"label column {name!r} holds {column.dtype}, such as {column.iloc[0]!r}, "
            "and a regression needs numbers",
            "correct the column in the source",
        )
    numbers = column.to_numpy(dtype=np.float64)
    endless = ~np.isfinite(numbers)
    if endless.any():
        raise EvidenceMissing(
            doing,
            f"label column {name!r} is infinite in {int(endless.sum())} rows, first in row "
            f"{int(endless.argmax())}",
            "correct the rows in the source",
        )
    return numbers


def _natural(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))
