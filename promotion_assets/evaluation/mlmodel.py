"""What an artifact says of itself, read as plain YAML and JSON: nothing is loaded or executed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml

from promotion_assets.errors import IntegrityError
from promotion_assets.evaluation.candidate import MLmodelFacts, Signature
from promotion_assets.evaluation.contract import Column

MAX_BYTES = 16 * 1024**2
# A file of a few lines can name its parts again and again until they fill the memory.
MAX_NODES = 500_000
XGBOOST_CLASSES = re.compile(r"|xgboost\.core\.Booster|xgboost\.sklearn\.XGB\w+")
LOG_AGAIN = "log the model again as a new version"

YamlLoader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_mlmodel(directory: Path) -> MLmodelFacts:
    """Return what the root ``MLmodel`` of an artifact says.

    Raises:
        IntegrityError: there is no such file, or it is not what MLflow writes.
    """
    path = directory / "MLmodel"
    raw = _parse(path)
    flavors = raw.get("flavors")
    if not isinstance(flavors, dict) or not flavors:
        raise _corrupt(path, "it names no flavors")
    if not all(isinstance(flavor, dict) for flavor in flavors.values()):
        raise _corrupt(path, "a flavor is not a mapping")
    pyfunc, sklearn = flavors.get("python_function", {}), flavors.get("sklearn", {})
    return MLmodelFacts(
        flavors=tuple(flavors),
        loader_module=_text(path, "loader_module", pyfunc.get("loader_module")),
        code=_text(path, "code", pyfunc.get("code")),
        serialization_format=_text(
            path, "serialization_format", sklearn.get("serialization_format")
        ),
        skops_trusted_types=_texts(path, "skops_trusted_types", sklearn),
        raw=raw,
    )


def read_signature(source: Path | MLmodelFacts) -> Signature | None:
    """Return the model's declared input and output, or ``None`` where it declares none.

    Raises:
        IntegrityError: ``MLmodel`` or the signature in it is not what MLflow writes.
    """
    facts = read_mlmodel(source) if isinstance(source, Path) else source
    path = (source / "MLmodel") if isinstance(source, Path) else Path("MLmodel")
    declared = facts.raw.get("signature")
    if declared is None:
        return None
    if not isinstance(declared, dict):
        raise _corrupt(path, "its signature is not a mapping")
    inputs = _columns(path, "inputs", declared.get("inputs"))
    outputs = _columns(path, "outputs", declared.get("outputs"))
    if inputs is None:
        return None
    kind, columns = inputs
    return Signature(kind=kind, inputs=columns, outputs=outputs[1] if outputs else ())


def read_requirements(directory: Path) -> tuple[str, ...]:
    """Return the lines of ``requirements.txt``, without comments; empty where there is none.

    Raises:
        IntegrityError: the file is not text.
    """
    path = directory / "requirements.txt"
    if not path.is_file():
        return ()
    lines = (line.split(" #")[0].strip() for line in _read(path).splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def loads_without_pickle(facts: MLmodelFacts) -> bool:
    """Whether MLflow 3.17 loads this artifact with a format that cannot carry code.

    Only formats whose loader in MLflow was read are named here; any other is taken for a pickle.
    """
    if facts.code is not None:
        return False
    flavors = facts.raw.get("flavors")
    flavor = (
        flavors.get((facts.loader_module or "").removeprefix("mlflow."))
        if isinstance(flavors, dict)
        else None
    )
    if not isinstance(flavor, dict):
        return False
    model_class = str(flavor.get("model_class", ""))
    match facts.loader_module:
        case "mlflow.sklearn":
            return facts.serialization_format == "skops"
        case "mlflow.xgboost":
            # Another class would be imported and called.
            return bool(XGBOOST_CLASSES.fullmatch(model_class))
        case "mlflow.lightgbm":
            return model_class in {"", "lightgbm.basic.Booster"} or (
                flavor.get("serialization_format") == "skops"
            )
        case "mlflow.onnx" | "mlflow.catboost":
            return True
        case _:
            return False


def _parse(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        # The loader is PyYAML's safe one, in C where it is built.
        parsed = yaml.load(text, Loader=YamlLoader)  # noqa: S506
        budget = [MAX_NODES]
        raw = _jsonable(parsed, budget)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise _corrupt(path, f"it is not valid YAML ({_first_line(error)})") from error
    if not isinstance(raw, dict):
        raise _corrupt(path, "it is not a YAML mapping")
    return raw


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _corrupt(path, f"it is larger than {MAX_BYTES // 1024**2} MiB")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise IntegrityError(f"reading {path}", f"there is no {path.name}", LOG_AGAIN) from error
    except UnicodeDecodeError as error:
        raise _corrupt(path, "it is not text in UTF-8") from error
    except OSError as error:
        raise _corrupt(path, f"it cannot be read ({error.strerror})") from error


def _jsonable(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise ValueError("it unfolds to more than it should")
    if isinstance(value, dict):
        return {str(key): _jsonable(item, budget) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_jsonable(item, budget) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, date) else repr(value)


def _columns(
    path: Path, part: str, declared: Any
) -> tuple[Literal["columns", "tensor"], tuple[Column, ...]] | None:
    """Parse one side of a signature: a JSON list of columns or of tensors."""
    if declared is None or declared == "":
        return None
    try:
        items = json.loads(declared) if isinstance(declared, str) else declared
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, f"its signature's {part} are not JSON") from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _corrupt(path, f"its signature's {part} are not a list of columns")
    tensors = [item.get("type") == "tensor" for item in items]
    if any(tensors) and not all(tensors):
        raise _corrupt(path, f"its signature's {part} mix columns and tensors")
    return ("tensor" if any(tensors) else "columns"), tuple(
        _column(path, part, item) for item in items
    )


def _column(path: Path, part: str, item: Mapping[str, Any]) -> Column:
    name, kind, required = item.get("name"), item.get("type"), item.get("required")
    if kind == "tensor":
        tensor = item.get("tensor-spec")
        kind = tensor.get("dtype") if isinstance(tensor, dict) else None
    elif kind in {"array", "object", "map"}:
        inner = item.get("items") or item.get("properties") or item.get("values")
        kind = f"{kind}({json.dumps(inner, sort_keys=True, separators=(',', ':'))})"
    if not isinstance(kind, str) or not isinstance(name, str | None):
        raise _corrupt(path, f"a column of its signature's {part} has no type, or an odd name")
    if required is None:
        # Before MLflow 2.9 the key was written the other way round.
        required = not item.get("optional", False)
    return Column(name=name or "", type=kind, required=bool(required))


def _text(path: Path, key: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _corrupt(path, f"{key} is not text")


def _texts(path: Path, key: str, flavor: Mapping[str, Any]) -> tuple[str, ...]:
    value = flavor.get(key) or []
    if isinstance(value, list):
        texts = tuple(item for item in value if isinstance(item, str))
        if len(texts) == len(value):
            return texts
    raise _corrupt(path, f"{key} is not a list of names")


def _corrupt(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(f"reading {path}", f"{path.name} is corrupt: {problem}", LOG_AGAIN)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
