"""Writes the API reference, ``docs/api.md``.

``python -m promotion_assets_tests.guides.api_reference > docs/api.md``. Of what a user imports, in
the order in which one meets it; words and signatures are the code's.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from promotion_assets import errors
from promotion_assets.cli.docstrings import cell, entries, prose, text_of

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Chapter:
    """What belongs together: names by module, in the order in which they are shown."""

    title: str
    words: str
    names: tuple[tuple[str, tuple[str, ...]], ...]


CHAPTERS = (
    Chapter(
        "From training code",
        "What a version should bring along, so that drift can be measured.",
        (
            ("promotion_assets", ("log_feature_profile",)),
            ("promotion_assets.evaluation.profiling", ("profile_frame", "profile_parquet")),
            ("promotion_assets.evaluation.profile", ("FeatureProfile",)),
        ),
    ),
    Chapter(
        "A gate",
        "The contract of a gate; [write a gate](write-a-gate.md) goes through it.",
        (
            (
                "promotion_assets.gates.contract",
                ("Gate", "GateSettings", "GateResult", "Measurement", "Interval", "Outcome"),
            ),
            ("promotion_assets.evaluation.evidence", ("Evidence",)),
            ("promotion_assets.evaluation.candidate", ("Candidate", "Signature")),
            ("promotion_assets.evaluation.dataset", ("EvaluationDataset",)),
            ("promotion_assets.evaluation.scores", ("Scores", "LatencySample")),
            ("promotion_assets.evaluation.contract", ("FeatureContract",)),
            ("promotion_assets.gates.scored", ("answers", "Answers", "without_champion")),
            ("promotion_assets.gates.limits", ("judged",)),
            ("promotion_assets.gates.verdict", ("conclude", "NotJudged", "naming")),
            ("promotion_assets.gates.catalogue", ("catalogue",)),
        ),
    ),
    Chapter(
        "Fakes, for the test of a gate",
        "In a checkout, beside the package: evidence in which everything is in order, part by part "
        "replaceable, and a registry that lives in memory.",
        (
            (
                "promotion_assets_tests.evidence",
                ("evidence", "judge", "candidate", "dataset", "scores", "profile", "latency"),
            ),
            ("promotion_assets_tests.fakes", ("Clock", "FakeRegistry")),
        ),
    ),
    Chapter(
        "Dagster",
        "`promotion_assets.definitions` is made of these; a code location of your own can be too.",
        (
            ("promotion_assets.defs.factory", ("promotion_definitions",)),
            ("promotion_assets.pipeline.workspace", ("Workspace",)),
            ("promotion_assets.policy.load", ("load_policy",)),
        ),
    ),
    Chapter(
        "Serving by the plan",
        "For a serving layer of one's own; [serving](serving.md) has the ready one.",
        (
            ("promotion_assets.serving.plan", ("TrafficPlan", "SegmentPlan", "Arm", "parse_plan")),
            ("promotion_assets.serving.router", ("route", "Routed", "segment_of", "bucket")),
        ),
    ),
    Chapter(
        "Ports",
        "What the domain asks of a ledger and of a registry, for an adapter to another one.",
        (("promotion_assets.lifecycle.ports", ("Ledger", "Registry", "MirroredVersion")),),
    ),
)

_HEAD = """# API reference

What a user imports; everything else may change with any release. Names lead to their sources.
This page is made from the docstrings by `python -m promotion_assets_tests.guides.api_reference`; a
test holds it against them.
"""


def api_reference() -> str:
    """Return the whole page as Markdown."""
    parts = [_HEAD]
    for chapter in CHAPTERS:
        parts += [f"## {chapter.title}\n", f"{chapter.words}\n"]
        for module, names in chapter.names:
            for name in names:
                parts += _described(module, name)
    parts += _errors()
    return "\n".join(parts).rstrip() + "\n"


def _described(module: str, name: str) -> Iterator[str]:
    thing = getattr(importlib.import_module(module), name)
    source = Path(inspect.getsourcefile(thing) or "").relative_to(REPOSITORY)
    yield f"### [`{name}`](../{source})\n"
    yield f"```python\nfrom {module} import {name}\n```\n"
    if inspect.isclass(thing):
        yield from _class(thing)
    else:
        yield f"```python\n{_signature(name, thing)}\n```\n"
        yield from _sections(text_of(thing))


def _class(thing: type) -> Iterator[str]:
    text = text_of(thing)
    yield prose(text) + "\n"
    if issubclass(thing, Enum):
        yield "Values: " + ", ".join(f"`{one.value}`" for one in thing) + ".\n"
        return
    yield from _fields(thing, dict(entries(text, "Attributes", "Args")))
    for name, member in vars(thing).items():
        if name.startswith("_") or name == "model_config":
            continue
        function = getattr(member, "__func__", member)
        if isinstance(member, property):
            yield f"- `.{name}`: {_first(member)}"
        elif inspect.isfunction(function):
            words = _first(function)
            yield f"- `.{_signature(name, function)}`{': ' if words else ''}{words}"
    yield ""


def _fields(thing: type, words: dict[str, str]) -> Iterator[str]:
    if issubclass(thing, BaseModel):
        names = {name: field.annotation for name, field in thing.model_fields.items()}
        described = {n: f.description or "" for n, f in thing.model_fields.items()}
        words = {name: words.get(name) or described[name] for name in names}
        hints: dict[str, Any] = {name: thing.__annotations__.get(name, "") for name in names}
    elif is_dataclass(thing) or hasattr(thing, "_fields"):
        hints = dict(getattr(thing, "__annotations__", {}))
    else:
        return
    rows = [
        f"| `{name}` | `{cell(_plain(hint))}` | {cell(words.get(name, ''))} |"
        for name, hint in hints.items()
        if not name.startswith("_")
    ]
    if rows:
        yield "\n".join(["| field | type | meaning |", "|---|---|---|", *rows, ""])


def _sections(text: str) -> Iterator[str]:
    yield prose(text) + "\n"
    for title in ("Args", "Raises"):
        found = entries(text, title)
        if found:
            yield f"{title}:\n"
            yield "\n".join(f"- `{name}`: {words}" for name, words in found.items()) + "\n"


def _signature(name: str, function: Any) -> str:
    """Return a signature with annotations as they are written in the source."""
    found = inspect.signature(function)
    parts: list[str] = []
    keyword_only = False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        parts.append(_parameter(parameter))
    answer = _plain(found.return_annotation)
    return f"{name}({', '.join(parts)}) -> {answer}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
    words = f"{stars.get(parameter.kind, '')}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        words += f": {_plain(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return words
    default = parameter.default
    shown = "…" if callable(default) else repr(default).replace("PosixPath", "Path")
    return f"{words} = {shown}"


def _plain(annotation: object) -> str:
    """Return an annotation without the way to its names."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None)
    text = text or str(annotation)
    return re.sub(r"\b(?:promotion_assets|typing|collections\.abc|pathlib)\.(?:\w+\.)*", "", text)


def _first(member: object) -> str:
    return " ".join(prose(text_of(member)).split("\n\n")[0].split())


def _errors() -> Iterator[str]:
    text = prose(text_of(errors))
    yield "## Errors\n"
    yield text + "\n"
    yield "| error | exit code | when |"
    yield "|---|---|---|"
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, errors.PromotionError):
            yield f"| `{name}` | {error.exit_code} | {cell(_first(error))} |"
    yield ""
    yield "`str(error)` has all three parts; `error.doing`, `error.problem` and `error.next_step`"
    yield "have one each. A command ends with the exit code; 130 is Ctrl-C."


if __name__ == "__main__":
    sys.stdout.write(api_reference())
