"""Reading ``promotion.yaml``: every mistake is refused with its line, key and nearest name."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from promotion_assets.errors import PolicyError, StorageUnreachable
from promotion_assets.policy.model import ModelPolicy, Policy
from promotion_assets.policy.source import Source, read_source

Models = Mapping[str, type[BaseModel]]
# Either the settings models by gate name, or what gives them for one model's `gate_paths`.
SettingsModels = Models | Callable[[Mapping[str, str]], Models]
Place = tuple[str | int, ...]

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
MOST_PROBLEMS = 10


@runtime_checkable
class ChecksPolicy(Protocol):
    """Settings that can tell what in the rest of the policy contradicts them."""

    def contradictions(self, policy: ModelPolicy) -> tuple[str, ...]:
        """Return one sentence for every contradiction; one may begin with its key."""


def load_policy(
    path: Path | str, *, settings: SettingsModels, environ: Mapping[str, str]
) -> Policy:
    """Read, validate and complete the policy in the file ``path``.

    Every gate's stanza comes back with its defaults filled in, so that the policy's digest pins
    the defaults too. ``${NAME}`` in a ``uri`` is looked up in ``environ`` to see that it is
    there, and stays as written: a password never gets into the policy or its digest; see
    :func:`expand_uri`.

    Args:
        path: the file.
        settings: the settings model of each gate by name, or a function that gives them for a
            model's ``gate_paths``.
        environ: environment variables.

    Raises:
        StorageUnreachable: the file cannot be read.
        PolicyError: it is not a valid policy; all problems at once, with line and key.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(
            f"reading the policy {file}",
            "there is no such file",
            "run `promotion init`, or set PROMOTION_CONFIG to the policy's path",
        ) from None
    except UnicodeDecodeError as error:
        raise PolicyError(
            f"reading the policy {file}",
            f"it is not UTF-8 text ({error.reason} at byte {error.start})",
            "save it as UTF-8",
        ) from None
    except OSError as error:
        raise StorageUnreachable(
            f"reading the policy {file}", str(error), "check the path and its permissions"
        ) from None
    return parse_policy(
        text, name=str(file), base=str(file.parent), settings=settings, environ=environ
    )


def parse_policy(
    text: str, *, name: str, base: str, settings: SettingsModels, environ: Mapping[str, str]
) -> Policy:
    """Validate and complete the policy in ``text``; see :func:`load_policy`."""
    source = read_source(text, name)
    problems = list(_gate_problems(source, settings))
    try:
        policy = Policy.model_validate(_with_empty_stanzas(source.data))
    except ValidationError as error:
        reported = {where for where, _, _ in problems}
        for detail in error.errors(include_url=False):
            where, words, hint = _explained(detail, detail["loc"], Policy)
            if not any(where[:end] in reported for end in range(len(where) + 1)):
                problems.append((where, words, hint))
        raise _refusal(source, problems) from None
    if problems:
        raise _refusal(source, problems)
    completed = {
        model: _completed(stanza, base, settings) for model, stanza in policy.models.items()
    }
    for model, stanza in completed.items():
        problems += _contradictions(model, stanza, settings)
        problems += _variables(model, stanza, environ)
    if problems:
        raise _refusal(source, problems)
    return policy.model_copy(update={"models": completed})


def expand_uri(uri: str, environ: Mapping[str, str]) -> str:
    """Return ``uri`` with every ``${NAME}`` replaced from ``environ``.

    Raises:
        PolicyError: a name is not set.
    """

    def _value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environ:
            raise PolicyError(
                f"expanding ${{{name}}} in an address of the policy",
                f"the environment variable {name} is not set",
                f"set {name} where this runs",
            )
        return environ[name]

    return VARIABLE.sub(_value, uri)


Problem = tuple[Place, str, str]


def _gate_problems(source: Source, settings: SettingsModels) -> Iterator[Problem]:
    """Yield what is wrong with gate stanzas: unknown gates, typos, bad types, contradictions."""
    models = source.data.get("models") if isinstance(source.data, dict) else None
    for model, stanza in models.items() if isinstance(models, dict) else ():
        gates = stanza.get("gates") if isinstance(stanza, dict) else None
        if not isinstance(gates, dict):
            continue
        paths = stanza.get("gate_paths") or {}
        try:
            known = _known(settings, paths if _all_text(paths) else {})
        except PolicyError as error:
            words = f"{error.doing}: {error.problem}"
            yield ("models", model, "gate_paths"), words, error.next_step
            continue
        for gate, values in gates.items():
            where: Place = ("models", model, "gates", gate)
            if gate not in known:
                yield where, f"there is no gate called {gate!r}", _nearest(gate, known)
                continue
            try:
                known[gate].model_validate(values if values is not None else {})
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    place = (*where, *_named_place(detail, known[gate]))
                    yield _explained(detail, place, known[gate], skip=len(where))


def _all_text(paths: object) -> bool:
    return isinstance(paths, dict) and all(isinstance(value, str) for value in paths.values())


def _known(settings: SettingsModels, paths: Mapping[str, str]) -> Models:
    return settings if isinstance(settings, Mapping) else settings(paths)


def _named_place(detail: ErrorDetails, model: type[BaseModel]) -> Place:
    """Return the error's place; a contradiction that begins with a key is at that key."""
    if detail["loc"]:
        return detail["loc"]
    word = _message(detail).split(" ", 1)[0].rstrip(":,")
    return (word,) if word in model.model_fields else ()


def _with_empty_stanzas(data: Any) -> Any:
    """Let ``latency:`` with nothing behind it mean a stanza of defaults."""
    if not isinstance(data, dict) or not isinstance(data.get("models"), dict):
        return data
    models = {}
    for name, stanza in data["models"].items():
        if isinstance(stanza, dict) and isinstance(stanza.get("gates"), dict):
            gates = {gate: values or {} for gate, values in stanza["gates"].items()}
            stanza = {**stanza, "gates": gates}
        models[name] = stanza
    return {**data, "models": models}


def _completed(policy: ModelPolicy, base: str, settings: SettingsModels) -> ModelPolicy:
    known = _known(settings, policy.gate_paths)
    gates: dict[str, Mapping[str, JsonValue]] = {
        gate: known[gate].model_validate(dict(values)).model_dump(mode="json")
        for gate, values in policy.gates.items()
    }
    return policy.model_copy(update={"gates": gates, "base": base})


def _contradictions(model: str, policy: ModelPolicy, settings: SettingsModels) -> Iterator[Problem]:
    here: Place = ("models", model)
    known = _known(settings, policy.gate_paths)
    for gate, values in policy.gates.items():
        stanza = known[gate].model_validate(dict(values))
        if isinstance(stanza, ChecksPolicy):
            for words in stanza.contradictions(policy):
                word = words.split(" ", 1)[0]
                at: Place = (word,) if word in known[gate].model_fields else ()
                yield (*here, "gates", gate, *at), words, "correct it"
    for index, waiver in enumerate(policy.waivers):
        if waiver.gate not in policy.gates:
            words = f"a waiver for {waiver.gate!r}, which is not a gate of this policy"
            yield (*here, "waivers", index, "gate"), words, _nearest(waiver.gate, policy.gates)
    labels = [group.label for group in policy.groups]
    for index, label in enumerate(labels):
        if label in labels[:index]:
            words = f"two groups are called {label!r}"
            yield (*here, "groups", index), words, "give one of them another `name`"
    rate = policy.dataset.label_rate
    if rate and not 0 <= rate[0] <= rate[1] <= 1:
        words = f"label_rate is not an ascending range within 0 and 1: {list(rate)}"
        yield (*here, "dataset", "label_rate"), words, "write [lowest, highest]"
    if not policy.segments or len(set(policy.segments)) < len(policy.segments):
        yield (*here, "segments"), "segments are empty or repeat", "name each segment once"


def _variables(model: str, policy: ModelPolicy, environ: Mapping[str, str]) -> Iterator[Problem]:
    uris = {"dataset": policy.dataset.uri}
    if policy.production is not None:
        uris["production"] = policy.production.uri
    for stanza, uri in uris.items():
        where: Place = ("models", model, stanza, "uri")
        for name in VARIABLE.findall(uri):
            if name not in environ:
                words = f"the environment variable {name} is not set"
                yield where, words, f"set {name} where this runs"


def _explained(
    detail: ErrorDetails, place: Place, model: type[BaseModel], skip: int = 0
) -> Problem:
    """Return a pydantic error in our words: where, what, and what to write instead."""
    seen = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            names = _fields_at(model, place[skip:-1])
            return place, f"{place[-1]!r} is not a known key", _nearest(str(place[-1]), names)
        case "missing":
            return place, f"{place[-1]!r} is missing", "add it"
        case "string_type" if isinstance(seen, int | float):
            return place, f"{seen!r} is a number where text is meant", f'quote it: "{seen}"'
        case "literal_error":
            expected = str(detail.get("ctx", {}).get("expected", ""))
            allowed = re.findall(r"'([^']*)'", expected)
            hint = _nearest(str(seen), allowed) if allowed else f"write {expected}"
            return place, f"{seen!r} is not allowed here", hint
        case "value_error":
            return place, _message(detail), "correct it"
        case "too_short" | "dict_type" | "mapping_type" if place[-1:] == ("gates",) and not seen:
            return place, "no gate is configured", "name at least one; a policy without gates fails"
        case "model_type":
            keys = ", ".join(_fields_at(model, place[skip:]))
            return place, f"{_kind(seen)} stands where keys are meant", f"its keys are {keys}"
        case "dict_type" | "mapping_type":
            return place, f"{_kind(seen)} stands where names are meant", "write `NAME: …` for each"
        case "tuple_type" | "list_type":
            return place, f"{_kind(seen)} stands where a list is meant", "write it in [ ]"
        case _:
            shown = "" if isinstance(seen, dict | list) else f", got {seen!r}"
            return place, f"{_message(detail)}{shown}", "correct the value"


def _kind(seen: object) -> str:
    if isinstance(seen, dict | list):
        return "a mapping" if isinstance(seen, dict) else "a list"
    return repr(seen)


def _message(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _nearest(word: str, names: typing.Iterable[str]) -> str:
    known = sorted(names)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(known)}" if known else "remove it"


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """Return the keys that are allowed at ``place``, walking the models' annotations."""
    here: list[type[BaseModel]] = [model]
    for part in place:
        deeper = []
        for candidate in here:
            info = candidate.model_fields.get(str(part))
            # A key that is no field is one of a mapping's, and its value has the same type.
            deeper += _models_in(info.annotation) if info else [candidate]
        here = deeper
    return sorted({name for candidate in here for name in candidate.model_fields} - {"base"})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in typing.get_args(annotation) for found in _models_in(part)]


def _refusal(source: Source, problems: list[Problem]) -> PolicyError:
    ordered = sorted(problems, key=lambda problem: source.line(problem[0]))
    told = [
        (source.line(where), f"{_key_path(where)}: {what} ({hint})")
        for where, what, hint in ordered[:MOST_PROBLEMS]
    ]
    lines = [words if len(told) == 1 else f"\n  line {line}: {words}" for line, words in told]
    more = len(ordered) - len(told)
    return PolicyError(
        f"reading the policy {source.name}:{told[0][0]}",
        "".join(lines) + (f"\n  and {more} more" if more else ""),
        "correct it and run `promotion policy check`",
    )


def _key_path(place: Place) -> str:
    return ".".join(str(part) for part in place) or "the file"
