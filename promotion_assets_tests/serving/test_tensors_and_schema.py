"""Tensors that are no rows, values that no column takes, and the row that tries a version."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from promotion_assets.errors import RequestRefused
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column
from promotion_assets.serving.model import scores_of
from promotion_assets.serving.payload import ABSENT, Rows, read_inference, read_invocation
from promotion_assets.serving.schema import InputSchema
from promotion_assets.serving.smoke import made_up

JSON = "application/json"
CSV = "text/csv"


def signature(**columns: str) -> Signature:
    """Return a signature; a type that ends in ``?`` is optional."""
    made = [
        Column(name=name, type=of.rstrip("?"), required=not of.endswith("?"))
        for name, of in columns.items()
    ]
    return Signature(kind="columns", inputs=tuple(made))


def schema(**columns: str) -> InputSchema:
    """Return the schema of a signature."""
    return InputSchema(signature(**columns))


def tensor(name: Any = "a", shape: Any = (1,), data: Any = (1,)) -> dict[str, Any]:
    """Return one tensor of an inference request."""
    return {"name": name, "shape": shape, "data": data}


@pytest.mark.parametrize(
    "body",
    [[], 1, {}, {"inputs": []}, {"inputs": {"a": [1]}}, {"inputs": [tensor(), 1]}],
)
def test_what_is_no_inference_request_is_refused(body: Any) -> None:
    """Whatever stands where the list of tensors belongs, the message says what was looked for."""
    with pytest.raises(RequestRefused, match="it has no list of tensors under 'inputs'") as caught:
        read_inference(json.dumps(body).encode())
    assert caught.value.next_step == "send an inference request of V2"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ([tensor(name=1)], "a tensor has no name, shape or data"),
        ([tensor(data=None)], "a tensor has no name, shape or data"),
        ([tensor(shape="1")], "a tensor has no name, shape or data"),
        ([tensor(shape=[])], r"the tensor 'a' has the shape \[\]"),
        ([tensor(shape=[-1])], r"the tensor 'a' has the shape \[-1\]"),
        ([tensor(shape=[True])], r"the tensor 'a' has the shape \[True\]"),
        ([tensor(shape=[1, 1, 1])], r"the tensor 'a' has the shape \[1, 1, 1\]"),
        ([tensor(shape=[3])], r"the tensor 'a' has 1 values for the shape \[3\]"),
        ([tensor(shape=[2], data=[[1, 2], 3])], r"'a' has 3 values for the shape \[2\]"),
        (
            [tensor(shape=[1, 2], data=[1, 2]), tensor("b")],
            "the tensor 'a' is one of several and has 2 columns",
        ),
        ([tensor(), tensor()], "two tensors have one name"),
        ([tensor(), tensor("b", [2], [1, 2])], "the columns under 'inputs' differ in length"),
    ],
)
def test_tensors_that_are_no_columns_are_refused_by_name(
    tensors: list[dict[str, Any]], words: str
) -> None:
    """Nothing is reshaped or cut to fit."""
    payload = read_inference(json.dumps({"inputs": tensors}).encode())
    with pytest.raises(RequestRefused, match=words) as caught:
        _ = payload.rows
    assert caught.value.status == 400


def test_a_tensor_a_column_is_read_with_or_without_a_second_axis() -> None:
    """``[rows]`` and ``[rows, 1]``, nested or flat, are the same column."""
    forms = [([2], [1, 2]), ([2, 1], [1, 2]), ([2, 1], [[1], [2]])]
    for shape, data in forms:
        body = {"inputs": [tensor("a", shape, data), tensor("b", [2], [3, 4])]}
        payload = read_inference(json.dumps(body).encode())
        assert payload.rows == (("a", "b"), [(1, 3), (2, 4)], False)
        assert payload.count == 2


def test_a_form_that_only_the_model_can_take_apart_counts_as_one_row() -> None:
    """Named lists of different lengths may be a model's; a broken table is refused at once."""
    lists = read_invocation(b'{"inputs": {"a": [1, 2], "b": [1]}}', JSON)
    assert lists.count == 1
    with pytest.raises(RequestRefused, match="row 0 has 1 values for 2 columns"):
        _ = read_invocation(
            b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}', JSON
        ).count


def test_a_missing_value_is_another_row_than_null_and_than_its_word() -> None:
    """A fingerprint tells what the caller left out from what it sent."""
    rows: list[dict[str, Any]] = [
        {"a": "x"},
        {"a": "x", "b": None},
        {"a": "x", "b": "absent"},
        {"a": "x", "b": 10**400},
        {"a": 1, "b": 10**400},
        {"a": 1},
        {"a": 1, "b": [2]},
    ]
    payload = read_invocation(json.dumps({"dataframe_records": rows}).encode(), JSON)
    assert len(set(payload.fingerprints)) == len(rows)
    whole, decimal = (
        read_invocation(b'{"inputs": {"a": "x", "b": %s}}' % text, JSON) for text in (b"1", b"1.0")
    )
    assert whole.fingerprints == decimal.fingerprints
    assert payload.row_as_json(0) == '{"a": "x"}'
    assert payload.row_as_json(1) == '{"a": "x", "b": null}'


def test_a_csv_file_is_read_by_the_types_of_the_columns() -> None:
    """Texts become what the signature says; an empty number is missing, a text stays a text."""
    body = b"whole,number,truth,word\n7,1.5,TRUE,5\n-1,,false,\n"
    checked = schema(whole="long", number="double", truth="boolean", word="string")
    found = checked.table(read_invocation(body, CSV).rows)
    assert found["whole"].tolist() == [7, -1]
    assert found["number"][0] == 1.5
    assert math.isnan(found["number"][1])
    assert found["truth"].tolist() == [True, False]
    assert found["word"] == ["5", ""]


@pytest.mark.parametrize(
    ("of", "text", "words"),
    [
        ("long", "1.5", "row 0 has '1.5' for 'a', which is of type long"),
        ("double", "much", "row 0 has 'much' for 'a', which is of type double"),
        ("double", "inf", "row 0 has inf for 'a', which is of type double"),
        ("boolean", "1", "row 0 has '1' for 'a', which is of type boolean"),
        ("boolean", "", "row 0 has null for 'a', which is of type boolean"),
    ],
)
def test_a_text_of_a_csv_file_that_is_no_value_of_its_column_is_refused(
    of: str, text: str, words: str
) -> None:
    """The message shows the text and the type; an empty one is null."""
    rows = read_invocation(f"a,b\n{text},x\n".encode(), CSV).rows
    with pytest.raises(RequestRefused) as caught:
        schema(a=of, b="string").table(rows)
    assert words in caught.value.problem


def test_values_beyond_single_precision_are_refused_by_row() -> None:
    """A number that would become infinite in the model's type names its row, among texts too."""
    for others in ({}, {"b": "double"}, {"b": "string"}):
        checked = schema(a="float", **others)
        rows = Rows(("a", "b"), [[1.0, 1.0], [1e300, 1.0]])
        if "string" in others.values():
            rows = Rows(("a", "b"), [[1.0, "x"], [1e300, "x"]])
        read = checked.table if checked.dtype is None else checked.matrix
        with pytest.raises(
            RequestRefused, match=r"row 1 has 1e\+300 for 'a', which is of type float"
        ):
            read(rows)
    with pytest.raises(RequestRefused, match="row 1 has inf for 'a'"):
        schema(a="double").matrix(Rows(("a",), [[1.0], [math.inf]]))
    mixed = schema(a="float", b="double").matrix(Rows(("a", "b"), [[0.1, 0.1]]))
    assert mixed is not None
    assert mixed.tolist() == [[float(np.float32(0.1)), 0.1]]


def test_an_optional_column_may_lack_in_some_rows_and_a_required_one_in_none() -> None:
    """Without it there is no matrix; the table has it as missing, or is refused by row."""
    rows = Rows(("a", "b"), [[1.0, 2.0], [1.0, ABSENT]])
    optional = schema(a="double", b="double?")
    assert optional.matrix(rows) is None
    table = optional.table(rows)
    assert math.isnan(table["b"][1])
    with pytest.raises(RequestRefused, match="row 1 has no 'b'"):
        schema(a="double", b="double").matrix(rows)
    with pytest.raises(RequestRefused, match="row 1 has null for 'b', which is of type long"):
        schema(a="double", b="long?").table(rows)


def test_a_column_under_another_name_is_asked_after() -> None:
    """What is missing, what came in its place, and which of these it may be."""
    wanted = schema(age="double", income="double")
    with pytest.raises(RequestRefused) as caught:
        wanted.table(Rows(("age", "incom", "zip"), [[1, 2, 3]]))
    assert caught.value.problem == "the model needs income; it does not know incom, zip"
    assert caught.value.next_step == "did you mean 'income' by 'incom'?"
    many = schema(**{f"feature_{n}": "double" for n in range(7)})
    with pytest.raises(RequestRefused, match="feature_4 and 2 more") as caught:
        many.matrix(Rows((), [[]]))
    assert caught.value.next_step == "send these columns as well"


def test_callers_who_vary_their_columns_for_ever_fill_no_memory() -> None:
    """Beyond its limit of prepared layouts a schema answers as before and keeps no more."""
    checked = schema(a="double")
    for number in range(300):
        found = checked.matrix(Rows(("a", f"other_{number}"), [[number, "x"]]))
        assert found is not None
        assert found.tolist() == [[float(number)]]
    assert len(checked._layouts) == 256


def test_the_row_that_tries_a_version_has_a_value_of_each_type() -> None:
    """It passes the signature that it was made from; where there are no columns there is none."""
    types = ("boolean", "string", "integer", "long", "float", "double")
    named = signature(**{f"of_{of}": of for of in types})
    payload = made_up(named)
    assert payload is not None
    table = InputSchema(named).table(payload.rows)
    assert list(table) == [f"of_{of}" for of in types]
    assert [list(column) for column in table.values()] == [[False], [""], [0], [0], [0.0], [0.0]]


@pytest.mark.parametrize(
    "given",
    [
        None,
        Signature(kind="tensor", inputs=(Column(name="a", type="double", required=True),)),
        Signature(kind="columns", inputs=()),
        signature(a="datetime"),
        Signature(kind="columns", inputs=(Column(name="", type="double", required=True),)),
    ],
)
def test_nothing_is_made_up_for_a_signature_without_plain_named_columns(
    given: Signature | None,
) -> None:
    """A version is then not tried, rather than refused for what nobody would send."""
    assert made_up(given) is None


def test_the_number_in_a_prediction_is_found_where_it_stands() -> None:
    """Plain, in a list of one, of two classes, or by a name; a text or a truth is none."""
    predictions = [0.5, [0.25], [0.3, 0.7], {"score": 2}, {"p": [0.1, 0.9]}]
    assert scores_of(predictions) == [0.5, 0.25, 0.7, 2.0, 0.9]
    assert scores_of([[0.3, 0.7]], positive=0) == [0.3]
    for nothing in ("yes", True, None, [1, 2, 3], {"a": 1, "b": 2}, []):
        assert math.isnan(scores_of([nothing])[0])
