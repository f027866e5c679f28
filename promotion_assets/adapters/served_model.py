"""Versions as they answer in a server: the estimator on an array, on a table, or MLflow's pyfunc.

MLflow's pyfunc makes a table of every request and enforces the signature on it, which takes
several times what a small model takes. Where the flavour is scikit-learn and the signature has
plain named columns, the signature is checked once (:mod:`promotion_assets.serving.schema`), and
the estimator gets an array if it is known to make one of a table anyway, else a table. What comes
out is what pyfunc answers, to the last bit; everything else goes through pyfunc.
"""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from promotion_assets.adapters.scoring_worker import private_view
from promotion_assets.errors import IntegrityError, RequestRefused
from promotion_assets.evaluation.candidate import MLmodelFacts, Signature
from promotion_assets.evaluation.mlmodel import loads_without_pickle, read_mlmodel, read_signature
from promotion_assets.evaluation.session import with_trusted_types
from promotion_assets.serving.model import Answer, Model, ModelFailed, scores_of
from promotion_assets.serving.payload import Payload, Rows
from promotion_assets.serving.plan import Arm
from promotion_assets.serving.schema import CHECKED, InputSchema

SKLEARN = "mlflow.sklearn"
# Steps that hand on what they are given, or ask it for its column names.
_LOOK_AT_TABLES = {"FunctionTransformer", "ColumnTransformer"}
_SAID = 300
# Far below what float32 holds, and far above what anything means.
LARGEST = 1e30


class Trust(NamedTuple):
    """What the policy's artifact gate lets be loaded.

    Attributes:
        types: that skops may build; what an artifact itself asks for is not read.
        pickle: whether formats that can carry code may be loaded.
        code: whether a directory of code may come with an artifact.
    """

    types: tuple[str, ...] = ()
    pickle: bool = False
    code: bool = False


def load_model(arm: Arm, directory: Path, trust: Trust, positive: object = 1) -> Model:
    """Load the artifact in ``directory``, whose bytes were verified.

    Args:
        positive: the label whose probability is the score.

    Raises:
        IntegrityError: it cannot be loaded, or must not be.
    """
    doing = f"loading version {arm.version} from {directory.name[:16]}…"
    facts = read_mlmodel(directory)
    signature = read_signature(facts)
    unsafe = not loads_without_pickle(facts)
    if unsafe and not (trust.code if facts.code is not None else trust.pickle):
        raise IntegrityError(
            doing,
            "its format can carry code, and the policy's artifact gate does not allow that",
            "log it with serialization_format='skops', or set allow_pickle or allow_code",
        )
    view = private_view(directory, with_trusted_types(facts, trust.types))
    try:
        model: Model
        if facts.loader_module == SKLEARN and signature is not None and _plain(signature):
            model = _sklearn(arm, view, facts, signature, positive)
        else:
            model = PyfuncModel(arm, view, signature)
    except Exception as error:
        shutil.rmtree(view, ignore_errors=True)
        raise IntegrityError(
            doing,
            f"it cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            "install what it needs where the server runs, or plan another version",
        ) from error
    # Not before: a flavor may read its files when it is first asked.
    weakref.finalize(model, shutil.rmtree, view, ignore_errors=True)
    return model


class SklearnModel:
    """A scikit-learn estimator behind a signature of plain named columns."""

    def __init__(
        self,
        arm: Arm,
        signature: Signature,
        predict: Callable[[Any], Any],
        *,
        takes_arrays: bool,
        positive: int,
    ) -> None:
        self.arm = arm
        self.signature: Signature | None = signature
        self.how = "array" if takes_arrays else "table"
        self._schema = InputSchema(signature)
        self._predict = predict
        self._takes_arrays = takes_arrays
        self._positive = positive

    def answer(self, payload: Payload) -> Answer:
        """Answer one request; see the protocol."""
        rows = payload.rows
        matrix = self._schema.matrix(rows) if self._takes_arrays else None
        # In the layout of a table, column by column: sums in another order end in other bits.
        given = self._table(rows) if matrix is None else np.asfortranarray(matrix)
        try:
            answered = self._predict(given)
        except Exception as error:
            raise _failure(error, rows) from error
        return _answer(answered, len(rows.data), self._positive)

    def _table(self, rows: Rows) -> Any:
        import pandas as pd

        return pd.DataFrame(self._schema.table(rows))


class PyfuncModel:
    """Any flavour, through MLflow's own reading and checking of requests."""

    how = "pyfunc"

    def __init__(self, arm: Arm, view: Path, signature: Signature | None) -> None:
        import mlflow.pyfunc

        self.arm = arm
        self.signature = signature
        self._model = mlflow.pyfunc.load_model(str(view), suppress_warnings=True)

    def answer(self, payload: Payload) -> Answer:
        """Answer one request; see the protocol."""
        from mlflow.exceptions import MlflowException

        try:
            data = self._data(payload)
        except RequestRefused:
            raise
        except Exception as error:
            raise _misfit(error) from error
        try:
            answered = self._model.predict(data)
        except MlflowException as error:
            if "enforce schema" in str(error.message):
                raise _misfit(error) from error
            raise ModelFailed(_said(error)) from error
        except Exception as error:
            raise _failure(error, None) from error
        return _answer(answered, None, 1)

    def _data(self, payload: Payload) -> Any:
        import io

        from mlflow.pyfunc import scoring_server

        schema = self._model.metadata.get_input_schema()
        if payload.form == "csv":
            return scoring_server.parse_csv_input(io.StringIO(payload.content), schema)
        if payload.form == "tensors":
            rows = payload.rows
            data = [list(row) for row in rows.data]
            if self.signature is not None and self.signature.kind == "tensor":
                return np.array(data)
            split = {"columns": list(rows.columns), "data": data}
            return scoring_server.infer_and_parse_data({"dataframe_split": split}, schema)
        return scoring_server.infer_and_parse_data({payload.form: payload.content}, schema)


def _sklearn(
    arm: Arm, view: Path, facts: MLmodelFacts, signature: Signature, positive: object
) -> SklearnModel:
    import mlflow.sklearn

    estimator = mlflow.sklearn.load_model(str(view))
    flavors: Any = facts.raw["flavors"]
    method = flavors["python_function"].get("predict_fn", "predict")
    arrays = takes_arrays(estimator) and InputSchema(signature).dtype is not None
    if arrays:
        for part in _parts(estimator):
            # It would warn, at each request, that an array has no column names.
            getattr(part, "__dict__", {}).pop("feature_names_in_", None)
    classes = [_key(label) for label in getattr(estimator, "classes_", ())]
    place = classes.index(_key(positive)) if _key(positive) in classes else 1
    return SklearnModel(
        arm, signature, getattr(estimator, method), takes_arrays=arrays, positive=place
    )


def takes_arrays(estimator: Any) -> bool:
    """Whether an estimator answers an array exactly as the table that it would be made of.

    Every part of it is scikit-learn's own, and none looks at column names or types: those make
    an array of a table before anything else.
    """
    for part in _parts(estimator):
        if not type(part).__module__.startswith("sklearn."):
            return False
        if type(part).__name__ in _LOOK_AT_TABLES or hasattr(part, "_sklearn_output_config"):
            return False
        categorical = getattr(part, "is_categorical_", None)
        if categorical is not None and np.any(categorical):
            return False
    return True


def _parts(estimator: Any) -> Iterable[Any]:
    """Yield an estimator and all estimators inside it, fitted ones too."""
    from sklearn.base import BaseEstimator

    seen: set[int] = set()
    pending = [estimator]
    while pending:
        part = pending.pop()
        if isinstance(part, list | tuple | np.ndarray) and not isinstance(part, str):
            if not isinstance(part, np.ndarray) or part.dtype == object:
                pending += list(np.ravel(part) if isinstance(part, np.ndarray) else part)
        elif isinstance(part, dict):
            pending += list(part.values())
        elif (isinstance(part, BaseEstimator) or hasattr(part, "predict")) and id(part) not in seen:
            seen.add(id(part))
            yield part
            pending += list(getattr(part, "__dict__", {}).values())


def _plain(signature: Signature) -> bool:
    return signature.kind == "columns" and all(
        column.name and column.type in CHECKED for column in signature.inputs
    )


def _answer(answered: Any, rows: int | None, positive: int) -> Answer:
    """Return an estimator's answer as JSON values, in the shape that MLflow gives them."""
    if isinstance(answered, np.ndarray):
        predictions = answered.tolist()
    else:
        from mlflow.pyfunc.scoring_server import NumpyEncoder, _get_jsonable_obj

        plain = _get_jsonable_obj(answered, pandas_orient="records")
        predictions = json.loads(json.dumps(plain, cls=NumpyEncoder))
    if not isinstance(predictions, list):
        predictions = [predictions]
    if rows is not None and len(predictions) != rows:
        raise ModelFailed(f"it answered {len(predictions)} rows for {rows}")
    return Answer(predictions, scores_of(predictions, positive))


def _failure(error: Exception, rows: Rows | None) -> Exception:
    """Tell a request that the model does not take from a model that fails."""
    said = _said(error)
    if "contains NaN" in said and rows is not None:
        return RequestRefused(
            "answering the request",
            "a value is missing, and the model takes no missing values",
            "send a number for every column",
        )
    huge = _huge(rows) if rows is not None and "infinity or a value too large" in said else None
    if huge is not None:
        return RequestRefused(
            "answering the request",
            f"{huge}, which the model cannot compute",
            f"send a number below {LARGEST:.0e}",
        )
    return ModelFailed(said)


def _huge(rows: Rows) -> str | None:
    """Return where a number is that overflows in common computations, if one is."""
    for number, row in enumerate(rows.data):
        for column, value in zip(rows.columns, row, strict=False):
            try:
                if abs(float(value)) > LARGEST:
                    return f"row {number} has {value!r:.80} for {column!r}"
            except (TypeError, ValueError, OverflowError):
                continue
    return None


def _misfit(error: Exception) -> RequestRefused:
    return RequestRefused(
        "reading the request",
        f"it does not fit the model's signature ({_said(error)})",
        "send the columns and types that GET /v2/models/NAME lists",
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:_SAID]


def _key(label: object) -> str:
    if isinstance(label, bool | np.bool_):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
