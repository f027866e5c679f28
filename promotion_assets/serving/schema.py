"""A model's input signature as a check that is prepared once and made once per request.

The rules are MLflow's for a signature with named columns (what is required, which types widen),
without its silent repairs: where MLflow cuts 3.7 to 3 for a whole-number column, or reads a text
as a number, the request is refused. Columns that the model does not know are ignored, as MLflow
does, since two versions behind one address need not take the same ones.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from promotion_assets.evaluation.candidate import Signature
from promotion_assets.serving.payload import ABSENT, Rows, refuse

DTYPES: Mapping[str, Any] = {
    "integer": np.int32,
    "long": np.int64,
    "float": np.float32,
    "double": np.float64,
}
CHECKED = {*DTYPES, "boolean", "string"}
_WHOLE = {"integer": 2**31, "long": 2**63}
_NEVER_MISSING = {*_WHOLE, "boolean"}
_LARGEST_SINGLE = float(np.finfo(np.float32).max)
_LAYOUTS = 256
_TRUTHS = {"true": True, "false": False}

Matrix = npt.NDArray[Any]


class InputSchema:
    """Named columns of plain types, as one model takes them.

    Attributes:
        names: the columns in the model's order.
        dtype: of the matrix of all columns, where all are numbers; what pandas and scikit-learn
            would make of a table with these columns.
    """

    def __init__(self, signature: Signature) -> None:
        self.columns = signature.inputs
        self.names = tuple(column.name for column in signature.inputs)
        self.types = tuple(column.type for column in signature.inputs)
        numbers = [DTYPES[of] for of in self.types if of in DTYPES]
        self.dtype = (
            np.result_type(*numbers) if numbers and len(numbers) == len(self.types) else None
        )
        self._whole = [(n, _WHOLE[of]) for n, of in enumerate(self.types) if of in _WHOLE]
        self._single = [n for n, of in enumerate(self.types) if of == "float"]
        self._layouts: dict[tuple[str, ...], list[int | None]] = {}

    def matrix(self, rows: Rows) -> Matrix | None:
        """Return the rows as numbers, a missing one as NaN; ``None`` where a column is absent.

        Raises:
            RequestRefused: a column or a value is not what the signature says.
        """
        layout = self._layout(rows.columns)
        if self.dtype is None or None in layout:
            return None
        picked = [self._pick(layout, row, rows.as_text) for row in rows.data]
        for number, values in enumerate(picked):
            if not set(map(type, values)) <= {int, float} or not self._whole_are_whole(values):
                picked[number] = self._checked(values, number)
                if ABSENT in values:
                    return None
        # What overflows becomes infinite, and is refused as such.
        with np.errstate(over="ignore"):
            try:
                found = np.array(picked, dtype=self.dtype).reshape(len(picked), len(self.names))
            except (OverflowError, ValueError):
                self._name_the_bad(picked)
            if self._single and self.dtype != np.float32:
                found[:, self._single] = found[:, self._single].astype(np.float32)
        if self.dtype.kind == "f" and np.isinf(found).any():
            self._name_the_bad(picked)
        return found

    def table(self, rows: Rows) -> dict[str, Any]:
        """Return the columns that are there: numbers as an array of their type, texts as a list.

        Raises:
            RequestRefused: a column or a value is not what the signature says.
        """
        layout = self._layout(rows.columns)
        picked = [self._pick(layout, row, rows.as_text) for row in rows.data]
        checked = [self._checked(values, number) for number, values in enumerate(picked)]
        table: dict[str, Any] = {}
        for place, (name, of) in enumerate(zip(self.names, self.types, strict=True)):
            column = [values[place] for values in checked]
            # A column that lacks is an optional one: required ones were refused by now.
            if layout[place] is None or all(value is ABSENT for value in column):
                continue
            held = [None if value is ABSENT else value for value in column]
            if of in _NEVER_MISSING and None in held:
                self._bad(place, None, held.index(None))
            kept = held if of == "string" else np.array(held, dtype=DTYPES.get(of, bool))
            table[name] = kept
        return table

    def _layout(self, given: tuple[str, ...]) -> list[int | None]:
        """Return where each of the model's columns stands in the caller's; prepared once."""
        layout = self._layouts.get(given)
        if layout is not None:
            return layout
        # Numbered columns are one tensor's: the protocol has no names inside a tensor.
        if given == tuple(map(str, range(len(self.names)))) and not set(given) & set(self.names):
            layout = list(range(len(given)))
        else:
            places = {name: place for place, name in enumerate(given)}
            layout = [places.get(name) for name in self.names]
        absent = [
            column.name
            for column, place in zip(self.columns, layout, strict=True)
            if place is None and column.required
        ]
        if absent:
            self._missing(absent, given)
        if len(self._layouts) < _LAYOUTS:
            self._layouts[given] = layout
        return layout

    def _pick(self, layout: list[int | None], row: Sequence[Any], as_text: bool) -> list[Any]:
        picked = [ABSENT if place is None else row[place] for place in layout]
        return [self._parsed(n, v) for n, v in enumerate(picked)] if as_text else picked

    def _whole_are_whole(self, values: Sequence[Any]) -> bool:
        for place, limit in self._whole:
            value = values[place]
            if type(value) is not int or not -limit <= value < limit:
                return False
        return True

    def _checked(self, values: Sequence[Any], row: int) -> list[Any]:
        return [self._value(place, value, row) for place, value in enumerate(values)]

    def _value(self, place: int, value: Any, row: int) -> Any:
        """Return one value as its column takes it, or refuse it by name."""
        of = self.types[place]
        if value is ABSENT:
            if self.columns[place].required:
                refuse(
                    f"row {row} has no {self.names[place]!r}", "give every row the required columns"
                )
            return value
        kept = _as_number(of, value) if of in DTYPES else _as_it_is(of, value)
        if kept is ABSENT:
            self._bad(place, value, row)
        return kept

    def _parsed(self, place: int, text: Any) -> Any:
        """Return a CSV file's text as the JSON value that it means."""
        of = self.types[place]
        if not isinstance(text, str) or of == "string":
            return text
        if text == "":
            return None
        if of == "boolean":
            return _TRUTHS.get(text.lower(), text)
        try:
            return int(text) if of in _WHOLE else float(text)
        except ValueError:
            return text

    def _name_the_bad(self, picked: Sequence[Sequence[Any]]) -> NoReturn:
        for row, values in enumerate(picked):
            self._checked(values, row)
        refuse("its values are no numbers of the model's types", "look at the model's metadata")

    def _bad(self, place: int, value: Any, row: int) -> NoReturn:
        of = self.types[place]
        shown = "null" if value is None else f"{value!r:.60}"
        hint = "; a missing number is null" if of in ("float", "double") else ""
        refuse(
            f"row {row} has {shown} for {self.names[place]!r}, which is of type {of}",
            f"send a value of that type{hint}",
        )

    def _missing(self, absent: list[str], given: tuple[str, ...]) -> NoReturn:
        known = set(self.names)
        others = [name for name in given if name not in known]
        near = difflib.get_close_matches(absent[0], others, n=1)
        more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
        unknown = f"; it does not know {', '.join(o[:60] for o in others[:5])}" if others else ""
        refuse(
            f"the model needs {', '.join(absent[:5])}{more}{unknown}",
            f"did you mean {absent[0]!r} by {near[0]!r}?" if near else "send these columns as well",
        )


def _as_it_is(of: str, value: Any) -> Any:
    """Return a text or a truth value; ``ABSENT`` where it is none."""
    fits = value is None or isinstance(value, str) if of == "string" else isinstance(value, bool)
    return value if fits else ABSENT


def _as_number(of: str, value: Any) -> Any:
    """Return a number of a type, a missing one as NaN; ``ABSENT`` where it is none."""
    limit = _WHOLE.get(of)
    if value is None:
        return math.nan if limit is None else ABSENT
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        return ABSENT
    if limit is None:
        return ABSENT if of == "float" and abs(value) > _LARGEST_SINGLE else value
    return int(value) if int(value) == value and -limit <= value < limit else ABSENT


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
