"""Loaded versions answer what MLflow's pyfunc answers, and refuse what does not fit."""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from promotion_assets.adapters.served_model import Trust, load_model, takes_arrays
from promotion_assets.errors import IntegrityError, RequestRefused
from promotion_assets.evaluation.candidate import Signature
from promotion_assets.evaluation.contract import Column
from promotion_assets.serving.model import ModelFailed
from promotion_assets.serving.payload import Rows, read_inference, read_invocation
from promotion_assets.serving.plan import Arm
from promotion_assets.serving.schema import InputSchema
from promotion_assets_tests.serving.world import COLUMNS, TREES, save, split_body, training

with warnings.catch_warnings():
    # What it says of its own type hints when it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

TRUST = Trust((TREES,), pickle=True)
ARM = Arm(version="1", digest="0" * 64)


def schema(**columns: str) -> InputSchema:
    """Return a schema; a type that ends in ``?`` is optional."""
    made = [
        Column(name=name, type=of.rstrip("?"), required=not of.endswith("?"))
        for name, of in columns.items()
    ]
    return InputSchema(Signature(kind="columns", inputs=tuple(made)))


@pytest.mark.parametrize(("version", "how"), [("1", "array"), ("3", "array"), ("13", "table")])
def test_answers_are_those_of_pyfunc_to_the_last_bit(
    artifacts: Mapping[str, Path], version: str, how: str
) -> None:
    """One row, many rows and rows out of order get exactly what MLflow's server answers."""
    loaded = load_model(ARM, artifacts[version], TRUST)
    assert loaded.how == how
    reference = mlflow.pyfunc.load_model(str(artifacts[version]))
    table, _ = training(300)
    order = list(reversed(COLUMNS))
    for rows in (1, 2, 7, 300):
        body = split_body(table[order].to_numpy()[:rows].tolist(), order)
        said = scoring_server.invocations(
            body, "application/json", reference, reference.metadata.get_input_schema()
        )
        answer = loaded.answer(read_invocation(body, "application/json"))
        assert answer.predictions == json.loads(said.response)["predictions"]
        assert answer.scores == [row[1] for row in answer.predictions]


@pytest.mark.parametrize("version", ["1", "13"])
def test_a_version_that_is_let_go_of_leaves_no_file(
    artifacts: Mapping[str, Path], version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server loads versions for months: what it makes to load one goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loaded = load_model(ARM, artifacts[version], TRUST)
    assert list(tmp_path.iterdir())
    del loaded
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_cannot_be_loaded_leaves_no_file(
    artifacts: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one that is refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "views"))
    (tmp_path / "views").mkdir()
    broken = tmp_path / "broken"
    shutil.copytree(artifacts["1"], broken)
    for path in broken.glob("model.*"):
        path.write_bytes(b"no model")
    with pytest.raises(IntegrityError, match="cannot be loaded"):
        load_model(ARM, broken, TRUST)
    assert list((tmp_path / "views").iterdir()) == []


def test_whole_numbers_and_decimals_together_answer_as_pyfunc() -> None:
    """The matrix of mixed columns is what pandas and scikit-learn would make of the table."""
    mixed = schema(a="long", b="double", c="float", d="integer")
    rows = Rows(("d", "c", "b", "a", "more"), [[1, 0.1, 2, 3, "x"], [-5, 1e-9, 0.3, 2**53, None]])
    found = mixed.matrix(rows)
    table = pd.DataFrame(
        {
            "a": np.array([3, 2**53]),
            "b": np.array([2, 0.3]),
            "c": np.array([0.1, 1e-9], np.float32),
            "d": np.array([1, -5], np.int32),
        }
    )
    assert found is not None
    np.testing.assert_array_equal(found, table.to_numpy(np.float64))
    assert schema(a="long", b="integer").dtype == np.int64
    assert schema(a="float").dtype == np.float32


REFUSED: list[tuple[str, Any, str]] = [
    ("long", 3.7, "3.7 for 'a', which is of type long"),
    ("long", 2**63, "of type long"),
    ("integer", 2**31, "of type integer"),
    ("integer", None, "null for 'a'"),
    ("double", 10**400, "of type double"),
    ("double", "1", "'1' for 'a'"),
    ("boolean", 1, "of type boolean"),
    ("boolean", None, "null for 'a'"),
    ("string", 5, "of type string"),
]


@pytest.mark.parametrize(("of", "value", "words"), REFUSED)
def test_a_value_of_another_type_is_refused_by_name(of: str, value: Any, words: str) -> None:
    """Nothing is cut, parsed or guessed: row, column, type and value are named."""
    checked, rows = schema(a=of), Rows(("a",), [[value]])
    read = checked.table if checked.dtype is None else checked.matrix
    with pytest.raises(RequestRefused) as refused:
        read(rows)
    assert words in refused.value.problem


def test_a_number_that_overflows_in_the_model_is_the_requests_fault(
    artifacts: Mapping[str, Path],
) -> None:
    """Else whoever sends it could have the breaker open; row, column and value are named."""
    loaded = load_model(ARM, artifacts["1"], TRUST)
    rows = [[0.5] * len(COLUMNS), [0.5, 1.79e308, *[0.5] * (len(COLUMNS) - 2)]]
    with pytest.raises(RequestRefused) as refused, np.errstate(all="ignore"):
        loaded.answer(read_invocation(split_body(rows), "application/json"))
    assert refused.value.problem == "row 1 has 1.79e+308 for 'x1', which the model cannot compute"


def test_a_model_that_overflows_on_common_numbers_fails(tmp_path: Path) -> None:
    """What it makes of them is its own fault."""
    table, label = training()
    broken = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, label)
    broken[0].scale_ = np.full(len(COLUMNS), 1e-320)
    loaded = load_model(ARM, save(tmp_path / "broken", broken), TRUST)
    with pytest.raises(ModelFailed, match="infinity"), np.errstate(all="ignore"):
        loaded.answer(read_invocation(split_body([[0.5] * len(COLUMNS)]), "application/json"))


def test_what_is_optional_may_be_absent() -> None:
    """Without an optional column there is no matrix, and the table lacks it as under MLflow."""
    checked = schema(a="double", b="double?")
    rows = Rows(("a",), [[1.0]])
    assert checked.matrix(rows) is None
    assert list(checked.table(rows)) == ["a"]
    both = checked.matrix(Rows(("a", "b"), [[1.0, None]]))
    assert both is not None
    assert np.isnan(both[0, 1])


def test_one_tensor_of_all_columns_is_taken_in_the_models_order() -> None:
    """The protocol has no names inside a tensor."""
    body = json.dumps({"inputs": [{"name": "t", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]})
    found = schema(x="double", y="double").matrix(read_inference(body.encode()).rows)
    assert found is not None
    assert found.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(RequestRefused, match="needs y"):
        schema(x="double", y="double", z="double").matrix(Rows(("x", "z"), [[1, 2]]))


def test_a_row_has_one_fingerprint_in_whatever_form_it_comes() -> None:
    """Order of columns and 1 or 1.0 make no difference; another value does."""
    one = read_invocation(split_body([[1, 2.5]], ["a", "b"]), "application/json")
    other = read_invocation(split_body([[2.5, 1.0]], ["b", "a"]), "application/json")
    different = read_invocation(split_body([[1, 2.6]], ["a", "b"]), "application/json")
    assert one.fingerprints == other.fingerprints != different.fingerprints


def test_only_what_ignores_names_gets_arrays() -> None:
    """An estimator that looks at column names, or is nobody's we know, is given tables."""
    table, label = training(50)
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, label)
    assert takes_arrays(plain)
    assert takes_arrays(RandomForestClassifier(3).fit(table, label))
    by_name = make_column_transformer((StandardScaler(), ["x0"]))
    for other in (by_name, FunctionTransformer(), StandardScaler().set_output(transform="pandas")):
        assert not takes_arrays(make_pipeline(other, LogisticRegression()).fit(table, label))


def test_a_format_that_carries_code_is_loaded_only_where_the_policy_says_so(
    artifacts: Mapping[str, Path],
) -> None:
    """Without ``allow_pickle`` nothing of a pickle is read."""
    with pytest.raises(IntegrityError, match="can carry code"):
        load_model(ARM, artifacts["13"], Trust((TREES,)))
