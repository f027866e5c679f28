"""MLmodel, signature and requirements, read without MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.candidate import MLmodelFacts
from promotion_assets.evaluation.contract import Column
from promotion_assets.evaluation.mlmodel import (
    loads_without_pickle,
    read_mlmodel,
    read_requirements,
    read_signature,
)
from promotion_assets_tests.evaluation.logged import TREES, Logged


def mlmodel(root: Path, content: Any) -> Path:
    """Write an MLmodel and return its directory."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (root / "MLmodel").write_text(text, encoding="utf-8")
    return root


def signed(root: Path, inputs: Any, outputs: Any = None) -> Path:
    """Write an MLmodel with a signature."""
    signature = {
        "inputs": inputs if isinstance(inputs, str) else json.dumps(inputs),
        "outputs": json.dumps(outputs) if outputs else None,
        "params": None,
    }
    flavors = {"python_function": {"loader_module": "mlflow.sklearn"}}
    return mlmodel(root, {"flavors": flavors, "signature": signature})


def test_facts_of_a_skops_model(logged: Logged) -> None:
    """Flavors, loader, format and the types it asks to be trusted are read from MLflow's file."""
    facts = read_mlmodel(logged.artifact("boosting"))
    assert set(facts.flavors) == {"python_function", "sklearn"}
    assert (facts.loader_module, facts.code) == ("mlflow.sklearn", None)
    assert facts.serialization_format == "skops"
    assert facts.skops_trusted_types == TREES


def test_facts_of_a_model_with_its_own_code(logged: Logged) -> None:
    """A foreign loader and the code that comes with it are seen."""
    facts = read_mlmodel(logged.artifact("foreign_loader"))
    assert (facts.loader_module, facts.code) == ("evil_loader", "code")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("sound", True),
        ("boosting", True),
        ("pickled", False),
        ("moody", False),
        ("foreign_loader", False),
    ],
)
def test_formats_that_can_carry_code(logged: Logged, name: str, safe: bool) -> None:
    """Only skops among the logged models cannot; a pickle, a PythonModel and a loader can."""
    assert loads_without_pickle(read_mlmodel(logged.artifact(name))) is safe


def facts(loader: str, code: str | None = None, **flavor: Any) -> MLmodelFacts:
    """Return the facts of a model with one flavor."""
    name = loader.removeprefix("mlflow.")
    return MLmodelFacts(
        loader_module=loader,
        code=code,
        serialization_format=flavor.get("serialization_format") if name == "sklearn" else None,
        raw={"flavors": {name: flavor}},
    )


@pytest.mark.parametrize(
    ("known", "safe"),
    [
        (facts("mlflow.xgboost", model_class="xgboost.sklearn.XGBClassifier"), True),
        (facts("mlflow.xgboost", model_class="xgboost.sklearn.XGBRanker", code="code"), False),
        (facts("mlflow.xgboost", model_class="os.abort"), False),
        (facts("mlflow.xgboost", model_class="xgboost.sklearn.XGBx.y"), False),
        (facts("mlflow.lightgbm", model_class="lightgbm.basic.Booster"), True),
        (facts("mlflow.lightgbm", model_class="lightgbm.sklearn.LGBMClassifier"), False),
        (facts("mlflow.onnx"), True),
        (facts("mlflow.onnx", code="code"), False),
        (facts("mlflow.sklearn", serialization_format="skops"), True),
        (facts("mlflow.sklearn", serialization_format="pickle"), False),
        (facts("mlflow.sklearn"), False),
        (facts("mlflow.pytorch"), False),
        (facts("evil"), False),
        (facts("mlflow.sklearn", "code", serialization_format="skops"), False),
        (MLmodelFacts(loader_module="mlflow.sklearn", serialization_format="skops"), False),
        (MLmodelFacts(), False),
    ],
)
def test_each_safe_format_is_named(known: MLmodelFacts, safe: bool) -> None:
    """What is not known to be safe is not; code beside it makes any format unsafe."""
    assert loads_without_pickle(known) is safe


def test_a_signature_of_columns(logged: Logged) -> None:
    """Names and MLflow's types come in order, with the outputs."""
    signature = read_signature(logged.artifact("mixed"))
    assert signature is not None
    assert signature.kind == "columns"
    assert signature.inputs == (
        Column(name="income", type="double"),
        Column(name="debt", type="double"),
        Column(name="age", type="long"),
        Column(name="region", type="string"),
    )
    assert len(signature.outputs) == 1


def test_an_unnamed_tensor(logged: Logged) -> None:
    """A tensor without a name is an input without a name, with numpy's type."""
    signature = read_signature(logged.artifact("regression"))
    assert signature is not None
    assert (signature.kind, signature.inputs) == ("tensor", (Column(name="", type="float64"),))


def test_no_signature(logged: Logged) -> None:
    """A model without a signature has none, which is not an error of reading."""
    assert read_signature(logged.artifact("unsigned")) is None
    assert read_signature(MLmodelFacts(raw={"signature": {"outputs": "[]"}})) is None


@pytest.mark.parametrize(
    ("declared", "required"),
    [({}, True), ({"required": False}, False), ({"optional": True}, False)],
)
def test_required_and_optional_inputs(
    tmp_path: Path, declared: dict[str, bool], required: bool
) -> None:
    """An input is required unless it says otherwise, in the new spelling or the old."""
    signature = read_signature(signed(tmp_path, [{"name": "x", "type": "double"} | declared]))
    assert signature is not None
    assert signature.inputs[0].required is required


def test_nested_types_are_told_apart(tmp_path: Path) -> None:
    """Arrays and objects keep what is in them, so that no two different ones look equal."""
    inner = {"name": "x", "type": "array", "items": {"type": "double"}}
    signature = read_signature(signed(tmp_path, [inner]))
    assert signature is not None
    assert signature.inputs[0].type == 'array({"type":"double"})'


def test_it_reads_what_mlflow_reads(logged: Logged) -> None:
    """Our reading of a signature agrees with MLflow's own, for every logged model that has one."""
    for name, read_by_mlflow in logged.signatures().items():
        signature = read_signature(logged.artifact(name))
        assert signature is not None
        assert [[c.name, c.type, c.required] for c in signature.inputs] == read_by_mlflow


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a YAML mapping"),
        ("- 1", "not a YAML mapping"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: 1", "names no flavors"),
        ("flavors: []", "names no flavors"),
        ("flavors: {sklearn: 3}", "not a mapping"),
        ("flavors: {python_function: {loader_module: [a]}}", "loader_module is not text"),
        ("flavors: {python_function: {code: {a: b}}}", "code is not text"),
        ("flavors: {sklearn: {skops_trusted_types: evil}}", "not a list of names"),
        ("flavors: {sklearn: {skops_trusted_types: [1]}}", "not a list of names"),
        ("[" * 100_000, "not valid YAML"),
        ("\n".join([
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
            *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)),
            "flavors: {sklearn: {}}",
        ]), "unfolds"),
    ],
)  # fmt: skip
def test_a_corrupt_mlmodel_is_a_problem_in_a_sentence(
    tmp_path: Path, content: str, words: str
) -> None:
    """Whatever stands in the file, reading it ends in an error that says what is wrong."""
    with pytest.raises(IntegrityError, match=words):
        read_mlmodel(mlmodel(tmp_path, content))


def test_a_missing_or_unreadable_mlmodel(tmp_path: Path) -> None:
    """No file, no text and too large a file are told apart."""
    with pytest.raises(IntegrityError, match="there is no MLmodel"):
        read_mlmodel(tmp_path)
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(IntegrityError, match="UTF-8"):
        read_mlmodel(tmp_path)
    with (tmp_path / "MLmodel").open("wb") as file:
        file.truncate(17 * 1024**2)
    with pytest.raises(IntegrityError, match="larger than 16 MiB"):
        read_mlmodel(tmp_path)
    (tmp_path / "MLmodel").unlink()
    (tmp_path / "MLmodel").mkdir()
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("not json", "not JSON"),
        ('{"name": "x"}', "not a list"),
        ("[1]", "not a list"),
        ('[{"name": "x"}]', "no type"),
        ('[{"name": 3, "type": "double"}]', "odd name"),
        ('[{"type": "tensor"}]', "no type"),
        ('[{"type": "tensor", "tensor-spec": {"dtype": "a"}}, {"type": "double"}]', "mix"),
    ],
)
def test_a_corrupt_signature_is_no_missing_one(tmp_path: Path, inputs: str, words: str) -> None:
    """A signature that cannot be read is an error, so that nobody takes it for none."""
    with pytest.raises(IntegrityError, match=words):
        read_signature(signed(tmp_path, inputs))


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
))  # fmt: skip
def test_anything_in_yaml_is_read_or_refused(content: Any) -> None:
    """No content of a valid YAML file makes the reader fail in another way than it says."""
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        flavors = {"sklearn": {"extra": content}}
        found = read_mlmodel(mlmodel(Path(root), {"flavors": flavors, "extra": content}))
        json.dumps(dict(found.raw), allow_nan=False)


def test_requirements_without_comments(tmp_path: Path) -> None:
    """Requirement lines are kept as written, comments and blank lines are not."""
    assert read_requirements(tmp_path) == ()
    (tmp_path / "requirements.txt").write_text("# made\nmlflow==3.17.2\n\n numpy>=2  # why\n")
    assert read_requirements(tmp_path) == ("mlflow==3.17.2", "numpy>=2")
    (tmp_path / "requirements.txt").write_bytes(b"\xff")
    with pytest.raises(IntegrityError, match="UTF-8"):
        read_requirements(tmp_path)


def test_requirements_of_a_logged_model(logged: Logged) -> None:
    """MLflow's own file is understood."""
    lines = read_requirements(logged.artifact("sound"))
    assert "scikit-learn" in lines
    assert any(line.startswith("mlflow") for line in lines)


def test_a_signature_that_is_no_mapping_is_an_error(tmp_path: Path) -> None:
    """It is not taken for a model that declares nothing."""
    mlmodel(tmp_path, "flavors: {sklearn: {}}\nsignature: [inputs]\n")
    with pytest.raises(IntegrityError, match="its signature is not a mapping"):
        read_signature(tmp_path)


def test_what_yaml_knows_and_json_does_not_is_kept_as_text(tmp_path: Path) -> None:
    """Moments, infinity and bytes in metadata neither stop the reading nor the record of it."""
    mlmodel(
        tmp_path,
        "flavors: {sklearn: {}}\n"
        "metadata: {day: 2026-03-02, limit: .inf, none: .nan, raw: !!binary aGk=}\n",
    )
    facts = read_mlmodel(tmp_path)
    assert facts.raw["metadata"] == {
        "day": "2026-03-02",
        "limit": "inf",
        "none": "nan",
        "raw": "b'hi'",
    }
    assert type(facts).model_validate_json(facts.model_dump_json()) == facts
