"""The schema gate, held against MLflow's own enforcement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_schema
from mlflow.types.schema import ColSpec, Schema

from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column, FeatureContract
from promotion_assets.gates.contract import GateResult, Outcome
from promotion_assets.gates.schema import fits
from promotion_assets_tests import evidence as make

# A value of every type that reaches past what a lucky conversion would take.
COLUMNS: dict[str, Any] = {
    "boolean": np.array([True, False]),
    "integer": np.array([7, 8], dtype=np.int32),
    "long": np.array([7, 8], dtype=np.int64),
    "float": np.array([1.5, 2.5], dtype=np.float32),
    "double": np.array([1.5, 2.5], dtype=np.float64),
    "string": np.array(["a", "b"], dtype=object),
    "binary": np.array([b"a", b"b"], dtype=object),
    "datetime": np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[ns]"),
}


def judged(signature: Signature | None, *delivered: Column, **settings: object) -> GateResult:
    """Return the schema gate's result."""
    contract = FeatureContract(columns=delivered or make.contract().columns, source="the contract")
    given = make.evidence(candidate=make.candidate(signature=signature), contract=contract)
    return make.judge("schema", given, **settings)


def column(name: str, kind: str, required: bool = True) -> Column:
    """Return a column."""
    return Column(name=name, type=kind, required=required)


@pytest.mark.parametrize("asked", COLUMNS)
@pytest.mark.parametrize("delivered", COLUMNS)
def test_widening_is_mlflows(delivered: str, asked: str) -> None:
    """For every pair of types the gate says what MLflow does when the model is asked."""
    frame = pd.DataFrame({"x": COLUMNS[delivered]})
    try:
        _enforce_schema(frame, Schema([ColSpec(asked, "x")]))
        taken = True
    except (MlflowException, TypeError):
        taken = False
    if (delivered, asked) == ("binary", "boolean"):
        # MLflow hands any column of objects on where a boolean is declared; bytes are none.
        assert taken
        taken = False
    assert fits(delivered, asked) is taken


def test_text_of_pandas_3_fits_string_and_binary() -> None:
    """MLflow takes pandas' string columns for both, and so does the gate."""
    frame = pd.DataFrame({"x": pd.Series(["a", "b"], dtype="str")})
    for asked in ("string", "binary"):
        _enforce_schema(frame, Schema([ColSpec(asked, "x")]))
        assert fits("string", asked)


def test_a_missing_column_fails_by_name() -> None:
    """An input that the pipeline does not deliver is named."""
    asked = make.signature(column("limit", "double"), column("score_v2", "double"))
    result = judged(asked)
    assert result.outcome is Outcome.FAILED
    assert "score_v2 (double) is not delivered" in result.reason


def test_a_type_that_loses_values_fails_both_ways() -> None:
    """The difference is shown with both types."""
    result = judged(make.signature(column("limit", "float"), column("age", "string")))
    assert result.outcome is Outcome.FAILED
    assert "limit is delivered as double and declared as float" in result.reason
    rows = {row["column"]: row for row in result.details["diff"]}
    assert rows["age"] == {
        "column": "age",
        "model": "string",
        "pipeline": "integer",
        "verdict": "type",
        "fits": False,
    }
    assert rows["region"]["verdict"] == "extra"


def test_an_optional_input_may_be_absent() -> None:
    """MLflow does not ask for an optional column, so its absence passes."""
    asked = make.signature(column("limit", "double"), column("bonus", "double", required=False))
    result = judged(asked)
    assert result.outcome is Outcome.PASSED
    assert result.details["diff"][1]["verdict"] == "absent, optional"


def test_an_optional_input_of_a_wrong_type_fails() -> None:
    """Where it is delivered, an optional column must fit as well."""
    assert (
        judged(make.signature(column("age", "boolean", required=False))).outcome is Outcome.FAILED
    )


@pytest.mark.parametrize(("setting", "outcome"), [("report", "passed"), ("fail", "failed")])
def test_extra_and_nullable_columns_are_the_policys_choice(setting: str, outcome: str) -> None:
    """Extra columns and columns that may be empty are reported, or fail."""
    asked = make.signature(column("limit", "double"))
    delivered = (column("limit", "double"), column("age", "integer"))
    assert judged(asked, *delivered, extra_columns=setting).outcome == outcome
    nullable = (column("limit", "double", required=False),)
    result = judged(asked, *nullable, nullable_columns=setting)
    assert result.outcome == outcome
    assert result.details["diff"][0]["verdict"] == "may be empty"


def test_order_does_not_matter() -> None:
    """Columns are matched by name."""
    asked = make.signature(*reversed(make.contract().columns))
    assert judged(asked).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (None, "the model has no signature"),
        (Signature(kind="columns", inputs=()), "declares no inputs"),
        (Signature(kind="tensor", inputs=(column("", "float64"),)), "an unnamed tensor"),
        (Signature(kind="columns", inputs=(column("", "double"),)), "an unnamed column"),
        (
            Signature(kind="columns", inputs=(column("a", "double"), column("a", "double"))),
            "declares a more than once",
        ),
    ],
)
def test_a_signature_that_says_nothing_fails(signature: Signature | None, words: str) -> None:
    """No signature, no names, or names twice: refused in words, with how to log it."""
    result = judged(signature)
    assert result.outcome is Outcome.FAILED
    assert words in result.reason
    assert "log" in result.reason


def test_a_named_tensor_is_compared_by_name() -> None:
    """A tensor signature with names is compared like columns, by numpy's type names."""
    inputs = (column("limit", "float64"), column("age", "int32"))
    assert judged(Signature(kind="tensor", inputs=inputs)).outcome is Outcome.PASSED


def test_complex_types_fit_only_themselves() -> None:
    """Arrays and objects are compared as written."""
    assert fits("Array(double)", "Array(double)")
    assert not fits("Array(double)", "Array(string)")


def test_the_contract_is_pinned() -> None:
    """The result bears the contract's digest."""
    asked = make.signature(column("limit", "double"))
    one = judged(asked, column("limit", "double")).inputs["contract"]
    assert one != judged(asked, column("limit", "double", required=False)).inputs["contract"]
