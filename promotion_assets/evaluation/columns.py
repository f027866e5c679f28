"""What a column holds: its type in MLflow's words, and its values in words for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from promotion_assets.evaluation.contract import Column

# From pandas' dtype names; MLflow widens the short integers to its 32-bit one in the same way.
_NUMBERS = {
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "uint8": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "uint64": "long",
    "float16": "float",
    "float32": "float",
    "float64": "double",
}
_WIDTH = ("boolean", "integer", "long", "float", "double")
_EXACT_IN_FLOAT = 2**53


def column_type(column: pd.Series[Any]) -> str:
    """Return MLflow's name for the type of ``column``.

    An object column is ``string``, ``boolean``, ``binary`` … where all its present values are;
    ``mixed`` where they are of several kinds; ``string`` where none is present.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column_type(pd.Series(dtype.categories))
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return "datetime"
    name = str(dtype).lower()
    if name in _NUMBERS:
        return _NUMBERS[name]
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    return {
        "string": "string",
        "empty": "string",
        "boolean": "boolean",
        "bytes": "binary",
        "integer": "long",
        "floating": "double",
        "decimal": "double",
        "mixed-integer-float": "double",
        "date": "datetime",
        "datetime": "datetime",
        "datetime64": "datetime",
    }.get(inferred, "mixed")


def wider_type(left: str, right: str) -> str:
    """Return the type that holds values of both: the wider number, else ``mixed``."""
    if left == right:
        return left
    if left in _WIDTH[1:] and right in _WIDTH[1:]:
        return max(left, right, key=_WIDTH.index)
    return "mixed"


def columns_of(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Return name and type of every column; ``required`` where no value is missing."""
    return tuple(
        Column(
            name=str(name),
            type=column_type(frame[name]),
            required=not bool(frame[name].isna().any()),
        )
        for name in frame.columns
    )


def value_name(value: Any) -> str:
    """Return how a value is called in results: ``3`` for 3 and 3.0 alike, ISO for dates."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        whole = number.is_integer() and abs(number) < _EXACT_IN_FLOAT
        return str(int(number)) if whole else repr(number)
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def coded_values(column: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return a code for each row and the name of each code; -1 where the value is missing.

    Two values of one name (the number 1 and the text ``1``) get two codes.
    """
    codes, values = pd.factorize(column, use_na_sentinel=True)
    return codes.astype(np.int64, copy=False), [value_name(value) for value in values]
