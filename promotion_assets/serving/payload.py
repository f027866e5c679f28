"""What callers send, in the forms of MLflow and of the Open Inference Protocol, as rows."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import repeat
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from promotion_assets.errors import RequestRefused

Form = Literal["dataframe_split", "dataframe_records", "instances", "inputs", "csv", "tensors"]
JSON_FORMS: tuple[Form, ...] = ("dataframe_split", "dataframe_records", "instances", "inputs")
DOING = "reading the request"
_SHOWN = 80


class Absent:
    """Stands in a row for a value that the caller did not give at all."""


ABSENT = Absent()


class Rows(NamedTuple):
    """Rows with named columns; each row has a value for each column.

    ``as_text`` says that the values are a CSV file's, still to be read as numbers.
    """

    columns: tuple[str, ...]
    data: Sequence[Sequence[Any]]
    as_text: bool = False


@dataclass(frozen=True)
class Payload:
    """One request's content.

    Attributes:
        content: what stands under the form's name in JSON, the text of a CSV file, or the list
            of tensors.
        body: the bytes that it was read from.
    """

    form: Form
    content: Any
    body: bytes

    @cached_property
    def rows(self) -> Rows:
        """The content as rows.

        Raises:
            RequestRefused: it is not what its form says.
        """
        match self.form:
            case "dataframe_split":
                return _split(self.content)
            case "csv":
                return _csv(self.content)
            case "tensors":
                return _tensors(self.content)
            case "inputs" if isinstance(self.content, dict):
                return _columns(self.content)
            case _:
                return _records(self.form, self.content)

    @cached_property
    def count(self) -> int:
        """How many rows it has; 1 for a form that only the model can take apart."""
        if self.form != "dataframe_split" and isinstance(self.content, list):
            return len(self.content) if self.form != "tensors" else len(self.rows.data)
        try:
            return len(self.rows.data)
        except RequestRefused:
            if self.form == "inputs":
                return 1
            raise

    @cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """One hash a row, over its columns' names and values in the order of the names.

        A number has one hash whether it came as ``1`` or ``1.0``, in whatever form of JSON; a
        CSV file's values are texts.
        """
        rows = self.rows
        order, names = _in_order(rows.columns)
        return tuple(
            sha256(names + _bytes([row[n] for n in order])).hexdigest() for row in rows.data
        )

    def row_as_json(self, number: int) -> str:
        """Return one row as a JSON object."""
        row = zip(self.rows.columns, self.rows.data[number], strict=True)
        return json.dumps({name: value for name, value in row if value is not ABSENT})


def read_invocation(body: bytes, content_type: str) -> Payload:
    """Read what MLflow's ``/invocations`` is sent.

    Raises:
        RequestRefused: it is neither JSON in one of MLflow's four forms nor CSV.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/csv":
        try:
            return Payload("csv", body.decode(), body)
        except UnicodeDecodeError as error:
            refuse(f"it is not text in UTF-8 ({error.reason})", "send CSV in UTF-8")
    if kind != "application/json":
        refuse(
            f"its content type is {content_type[:_SHOWN]!r}",
            "send application/json or text/csv",
            status=415,
        )
    content = read_json(body)
    given = [form for form in JSON_FORMS if form in content] if isinstance(content, dict) else []
    if len(given) != 1:
        refuse(
            f"it has {', '.join(map(repr, content))[:200] or 'no keys'}"
            if isinstance(content, dict)
            else f"it is a JSON {type(content).__name__}",
            f"put the rows under one of {', '.join(JSON_FORMS)}",
        )
    return Payload(given[0], content[given[0]], body)


def read_inference(body: bytes) -> Payload:
    """Read what the Open Inference Protocol's ``infer`` is sent.

    Raises:
        RequestRefused: it is no inference request.
    """
    content = read_json(body)
    tensors = content.get("inputs") if isinstance(content, dict) else None
    if (
        not isinstance(tensors, list)
        or not tensors
        or not all(isinstance(t, dict) for t in tensors)
    ):
        refuse("it has no list of tensors under 'inputs'", "send an inference request of V2")
    return Payload("tensors", tensors, body)


def read_json(body: bytes) -> Any:
    """Return what ``body`` says in strict JSON: no NaN, no infinity.

    Raises:
        RequestRefused: it is not that.
    """
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        refuse("its JSON is nested too deep", "send rows of plain values")
    except UnicodeDecodeError as error:
        refuse(f"it is not text in UTF-8 ({error.reason})", "send JSON in UTF-8")
    except ValueError as error:
        refuse(
            f"it is not valid JSON ({error})", "send strict JSON; a missing value is written null"
        )


def refuse(problem: str, next_step: str, *, status: int = 400) -> NoReturn:
    """Refuse the request in three parts."""
    raise RequestRefused(DOING, problem, next_step, status)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _split(content: Any) -> Rows:
    if not isinstance(content, dict) or not {"columns", "data"} <= content.keys():
        refuse("dataframe_split has no 'columns' and 'data'", "give both, and at most an index")
    if content.keys() - {"columns", "data", "index"}:
        refuse("dataframe_split has other keys than columns, index and data", "leave them out")
    columns, data = content["columns"], content["data"]
    if not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        refuse("dataframe_split's data are not a list of rows", "give a list of lists")
    return _whole(columns, data)


def _whole(columns: Any, data: Sequence[Sequence[Any]]) -> Rows:
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        refuse("the columns are not a list of names", "name each column by a text")
    names = tuple(columns)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        refuse(f"the column {twice[:_SHOWN]!r} is there twice", "name each column once")
    width = len(names)
    for number, row in enumerate(data):
        if len(row) != width:
            refuse(f"row {number} has {len(row)} values for {width} columns", "give each a value")
    return Rows(names, data)


def _records(form: str, content: Any) -> Rows:
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        refuse(f"{form} is not a list of objects", "give an object for each row, by column name")
    names = tuple(dict.fromkeys(name for row in content for name in row))
    return Rows(names, [[row.get(name, ABSENT) for name in names] for row in content])


def _columns(content: dict[str, Any]) -> Rows:
    lists = [value if isinstance(value, list) else [value] for value in content.values()]
    if len({len(values) for values in lists}) > 1:
        refuse("the columns under 'inputs' differ in length", "give each as many values")
    return Rows(tuple(content), list(zip(*lists, strict=True)))


def _csv(text: str) -> Rows:
    try:
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        refuse(f"it is not valid CSV ({error})", "send CSV as pandas writes it, with a header")
    lines = [line for line in lines if line]
    if not lines:
        refuse("the CSV is empty", "send a header and rows")
    rows = _whole(lines[0], lines[1:])
    return rows._replace(as_text=True)


def _tensors(tensors: list[dict[str, Any]]) -> Rows:
    """One tensor a column, or one tensor of all columns whose names are those of the model."""
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        name, data, shape = tensor.get("name"), tensor.get("data"), tensor.get("shape")
        if not isinstance(name, str) or not isinstance(data, list) or not isinstance(shape, list):
            refuse("a tensor has no name, shape or data", "give all three, data as JSON")
        if not all(type(n) is int and n >= 0 for n in shape) or not 1 <= len(shape) <= 2:
            refuse(f"the tensor {name[:_SHOWN]!r} has the shape {shape}", "use [rows] or [rows, 1]")
        flat = _flat(data)
        if len(flat) != int(np.prod(shape)):
            refuse(
                f"the tensor {name[:_SHOWN]!r} has {len(flat)} values for the shape {shape}",
                "give as many values as the shape says",
            )
        width = shape[1] if len(shape) == 2 else 1
        if width != 1 and len(tensors) == 1:
            rows = [flat[n : n + width] for n in range(0, len(flat), max(width, 1))]
            return Rows(tuple(map(str, range(width))), rows)
        if width != 1:
            refuse(
                f"the tensor {name[:_SHOWN]!r} is one of several and has {width} columns",
                "send one tensor a column, or one for all",
            )
        columns[name] = flat
    if len(columns) < len(tensors):
        refuse("two tensors have one name", "name each once")
    return _columns(columns)


def _flat(data: list[Any]) -> list[Any]:
    if data and isinstance(data[0], list):
        return [value for row in data for value in (row if isinstance(row, list) else [row])]
    return data


@lru_cache(maxsize=256)
def _in_order(columns: tuple[str, ...]) -> tuple[list[int], bytes]:
    """Return the places of columns in the order of their names, and the names as JSON."""
    order = sorted(range(len(columns)), key=columns.__getitem__)
    return order, json.dumps([columns[n] for n in order]).encode()


def _bytes(values: list[Any]) -> bytes:
    try:
        if not any(map(isinstance, values, repeat(str))):
            return np.array(values, np.float64).tobytes()
    except (ValueError, TypeError, OverflowError):
        pass
    return json.dumps([_hashed(value) for value in values]).encode()


def _hashed(value: Any) -> Any:
    """Return what is hashed of a value beside texts: NaN, which nobody can send, for none."""
    if value is ABSENT:
        return math.nan
    return int(value) if isinstance(value, float) and value.is_integer() else value
