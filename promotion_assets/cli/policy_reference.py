"""The policy reference: every key that ``promotion.yaml`` may have, from the models that read it.

Types, limits and defaults are those of the pydantic models, meanings those of their docstrings,
and examples come from ``policy/example.yaml``, which the tests load as a policy.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from promotion_assets.cli.docstrings import cell, entries, prose, text_of
from promotion_assets.gates.catalogue import BUILT_IN, catalogue
from promotion_assets.gates.contract import Gate, GateSettings
from promotion_assets.policy.model import Policy

# A way to load functions is no formula.
NO_FORMULAS = frozenset({"numerics"})
EXAMPLE = Path(__file__).parents[1] / "policy" / "example.yaml"
MODEL = "NAME"
_UNITS = {
    "ms": "ms",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
    "days": "days",
    "bytes": "bytes",
    "rows": "rows",
    "units": "units",
    "pairs": "pairs",
    "requests": "requests",
}
# Where neither the key's ending nor its type gives the unit.
_UNIT_OF = {
    "psi": "PSI",
    "min_text": "characters",
    "min_words": "words",
    "holdout_budget": "candidates",
    "workers": "processes",
    "threads": "threads",
    "quorum": "people",
}
_HEAD = """# Policy reference

Every key that `promotion.yaml` may have. This page is made by `promotion policy reference` from the
models that read the file; a test holds it against them. An unknown key is an error, and so is a
number that is NaN or infinite. `promotion policy check` says what is wrong with a file, and where;
`promotion policy schema` prints a JSON schema for editors.

Times, sizes and counts carry their unit in the key's name. A *share* is a number from 0 to 1.
"none" as a default means `null`: the limit or setting is not there. The example with all keys:
[`policy/example.yaml`](../promotion_assets/policy/example.yaml).
"""


def policy_reference() -> str:
    """Return the whole page as Markdown."""
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    (model,) = example["models"].values()
    parts = [_HEAD]
    parts += _stanza(Policy, "The file", "", {**example, "models": {MODEL: model}})
    parts.append(_gates(model["gates"]))
    parts.append(_formulas())
    return "\n".join(parts).rstrip() + "\n"


def missing_words() -> list[str]:
    """Return every key that has no meaning or no example; a test holds it empty."""
    rows = [line for line in policy_reference().splitlines() if line.startswith("| `")]
    return [row for row in rows if re.search(r"\|\s+\|[^|]*\|$|\|\s+\|$", row)]


def _stanza(model: type[BaseModel], title: str, path: str, example: Any) -> Iterator[str]:
    """Yield a section for ``model``, then one for each stanza within."""
    level = "##" if path.count(".") < 2 else "###"
    yield f"{level} {title}\n"
    yield prose(text_of(model)) + "\n"
    yield _table(model, example)
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is None or inner is model:
            continue
        key = field.alias or name
        found, below = _example_of(example, key), f"{path}.{key}".lstrip(".")
        if isinstance(found, list):
            found, below = _merged(found), f"{below}[]"
        elif _is_map(field.annotation):
            found, below = next(iter((found or {}).values()), None), f"{below}.{MODEL}"
        if path.endswith(f"models.{MODEL}") and key == "notifications":
            continue  # described where the file's own are
        yield from _stanza(inner, f"`{below}`", below, found)


def _table(model: type[BaseModel], example: Any, *, without: frozenset[str] = frozenset()) -> str:
    words = _words(model)
    rows = ["| key | type | default | unit | meaning | example |", "|---|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if field.exclude or name in without:
            continue
        key = field.alias or name
        unit = _unit(key, field)
        meaning = words.get(name) or field.description or ""
        rows.append(
            f"| `{key}` | {cell(_type(field.annotation, field.metadata))} | {_default(field)} "
            f"| {unit} | {cell(meaning)} | {_example(example, key)} |"
        )
    return "\n".join(rows) + "\n"


def _words(model: type[BaseModel]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= entries(text_of(base), "Attributes")
    return found


def _unit(key: str, field: FieldInfo) -> str:
    if key in _UNIT_OF:
        return _UNIT_OF[key]
    kind = _bare(field.annotation)
    if kind not in (int, float):
        return ""
    ending = key.rpartition("_")[2]
    if ending in _UNITS:
        return _UNITS[ending]
    limits = _limits(field.metadata, field.annotation)
    if kind is float and ("≤ 1" in limits or "< 1" in limits or "< 0.5" in limits):
        return "share"
    return ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, BaseModel):
        return "as below"
    if value is None:
        return "none"
    if isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value):
        value = [one.model_dump(mode="json", exclude_defaults=True) for one in value]
    if value in ("", (), {}, []):
        return "empty"
    return f"`{cell(_yaml(value))}`"


def _merged(examples: list[Any]) -> dict[str, Any]:
    """Return one example that has every key that any of ``examples`` has; the first one wins."""
    found: dict[str, Any] = {}
    for one in reversed(examples):
        found |= one
    return found


def _example_of(example: Any, key: str) -> Any:
    return example.get(key) if isinstance(example, Mapping) else None


def _example(example: Any, key: str) -> str:
    if not isinstance(example, Mapping) or key not in example:
        return ""
    value = example[key]
    inner = next(iter(value.values()), None) if isinstance(value, Mapping) else value
    inner = inner[0] if isinstance(inner, list) and inner else inner
    deep = isinstance(value, Mapping | list) and isinstance(inner, Mapping)
    if deep or len(_yaml(value)) > 70:
        return "see below"
    return f"`{cell(_yaml(value))}`"


def _yaml(value: object) -> str:
    """Return a value as one would write it in YAML, on one line."""
    if isinstance(value, str):
        return value
    text = json.dumps(_plain(value), ensure_ascii=False)
    return re.sub(r'"([A-Za-z0-9_./*-]+)"(:?)', r"\1\2", text)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, bool | int | float | NoneType) else str(value)


def _type(annotation: Any, metadata: list[Any]) -> str:
    """Return a type in words: ``whole number ≥ 1``, ``list of text``."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _type(inner, [*more, *metadata])
    options = [o for o in get_args(annotation) if o is not NoneType]
    if get_origin(annotation) in (Union, UnionType):
        words = " or ".join(_type(option, metadata) for option in options)
        return f"{words}, or `null`" if NoneType in get_args(annotation) else words
    limits = ", ".join(_limits(metadata))
    return f"{_word(annotation, options)} {limits}".strip()


def _word(annotation: Any, options: list[Any]) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        shown = options if len(options) < 8 else [*options[:3], "…"]
        return " or ".join(f"`{option}`" for option in shown)
    if origin in (tuple, list):
        kinds = [o for o in options if o is not Ellipsis]
        if Ellipsis in get_args(annotation) or origin is list:
            return f"list of {_type(kinds[0], [])}"
        return f"{len(kinds)} of {_type(kinds[0], [])}"
    if origin is not None and _is_map(annotation):
        return f"map of name to {_type(options[1], [])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "stanza"
    named = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}
    return named.get(annotation, "date" if getattr(annotation, "__name__", "") == "date" else "any")


def _limits(metadata: list[Any], annotation: Any = None) -> list[str]:
    found: list[str] = []
    if annotation is not None:
        for option in (annotation, *get_args(annotation)):
            if get_origin(option) is Annotated:
                found += _limits(list(get_args(option)[1:]))
    for one in metadata:
        if isinstance(one, FieldInfo):
            found += _limits(one.metadata)
            continue
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if getattr(one, name, None) is not None:
                found.append(f"{sign} {getattr(one, name):.10g}")
        if getattr(one, "min_length", None) is not None:
            found.append(f"(at least {one.min_length})")
        if getattr(one, "max_length", None) is not None:
            found.append(f"(at most {one.max_length})")
    return found


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(o for o in get_args(annotation) if o is not NoneType))
    return annotation


def _is_map(annotation: Any) -> bool:
    origin = get_origin(_bare(annotation))
    return inspect.isclass(origin) and issubclass(origin, Mapping)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    for option in get_args(annotation):
        if option is not Ellipsis and (found := _model_in(option)) is not None:
            return found
    return None


def _gates(example: Mapping[str, Any]) -> str:
    gates = catalogue()
    common = frozenset(GateSettings.model_fields)
    parts = [
        "## Gates\n",
        "`gates:` of a model names at least one. Each takes its own settings and these three:\n",
        _table(GateSettings, example[BUILT_IN[0]]),
    ]
    for name in BUILT_IN:
        parts += _gate(gates[name], example[name], common)
    return "\n".join(parts)


def _gate(gate: Gate, example: Any, common: frozenset[str]) -> Iterator[str]:
    module = importlib.import_module(f"promotion_assets.gates.{gate.name}")
    yield f"### `gates.{gate.name}`\n"
    yield f"*{gate.question}*\n"
    yield prose(text_of(module)).replace("see the module's docstring", "see above") + "\n"
    yield _table(gate.settings, example, without=common)
    for name, field in gate.settings.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            found = _example_of(example, name)
            found = _merged(found) if isinstance(found, list) else found
            yield f"`{name}` is made of:\n"
            yield _table(inner, found)
    used = sorted(_statistics_of(module.__name__))
    if used:
        links = ", ".join(f"[{one}](#statistics-{one})" for one in used)
        yield f"Formulas: {links}.\n"


def _formulas() -> str:
    """Return the statistics that gates use, with the sources that their docstrings cite."""
    used: set[str] = set()
    for gate in BUILT_IN:
        used |= _statistics_of(f"promotion_assets.gates.{gate}")
    parts = ["## Formulas\n", "What the gates compute with, and where each formula is from.\n"]
    for name in sorted(used):
        module = importlib.import_module(f"promotion_assets.statistics.{name}")
        parts += [f'<a id="statistics-{name}"></a>', f"### {name}\n", prose(text_of(module)) + "\n"]
    return "\n".join(parts)


def _statistics_of(module: str, *, through_gates: int = 1) -> set[str]:
    """Return the names of the statistics modules that ``module`` imports, helpers included."""
    source = inspect.getsource(importlib.import_module(module))
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module.startswith("promotion_assets.statistics."):
            found.add(node.module.rpartition(".")[2])
            found -= NO_FORMULAS
        elif node.module.startswith("promotion_assets.gates.") and through_gates:
            found |= _statistics_of(node.module, through_gates=through_gates - 1)
    return found
