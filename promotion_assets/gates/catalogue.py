"""Where gates are found: the built-in ones, installed packages, and import paths in the policy."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from promotion_assets.errors import PolicyError
from promotion_assets.gates.contract import Gate, GateSettings
from promotion_assets.gates.run import run_gate
from promotion_assets.policy.model import ModelPolicy

__all__ = [
    "BUILT_IN",
    "GROUP",
    "before_loading",
    "catalogue",
    "run_gate",
    "settings_for",
    "settings_models",
]

GROUP = "promotion_assets.gates"

# In the order in which people want to read them.
BUILT_IN = (
    "accuracy",
    "fairness",
    "latency",
    "drift",
    "schema",
    "artifact",
    "documentation",
    "robustness",
    "calibration",
    "custom",
)


def catalogue(paths: Mapping[str, str] | None = None) -> Mapping[str, Gate]:
    """Return every gate that a policy may name.

    Args:
        paths: the policy's ``gate_paths``: import paths (``package.module:GATE``) by name.

    Raises:
        PolicyError: a path or an installed package gives no gate, or two gates have one name.
    """
    found = {name: _built_in(name) for name in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        _add(found, point.name, _from_entry_point(point), f"the installed package of {point.value}")
    for name, path in (paths or {}).items():
        _add(found, name, _from_path(name, path), f"gate_paths.{name}")
    return found


def settings_models(paths: Mapping[str, str] | None = None) -> Mapping[str, type[GateSettings]]:
    """Return the settings model of every gate: what ``policy.load.load_policy`` asks for."""
    return {name: gate.settings for name, gate in catalogue(paths).items()}


def settings_for(policy: ModelPolicy) -> dict[str, tuple[Gate, GateSettings]]:
    """Return the gates that ``policy`` names, each with its settings, in the policy's order.

    Raises:
        PolicyError: the policy names a gate that does not exist, or its settings are not valid.
    """
    known = catalogue(policy.gate_paths)
    chosen: dict[str, tuple[Gate, GateSettings]] = {}
    for name, stanza in policy.gates.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise PolicyError(f"gate {name!r} of the policy", "there is no such gate", hint)
        try:
            chosen[name] = (known[name], known[name].settings.model_validate(dict(stanza)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise PolicyError(
                f"gate {name!r} of the policy",
                f"{where or 'its settings'}: {first['msg']}",
                "mend the stanza and run `promotion policy check`",
            ) from None
    return chosen


def before_loading(policy: ModelPolicy) -> tuple[str, ...]:
    """Return the names of the policy's gates that are judged before anything is loaded."""
    return tuple(name for name, (gate, _) in settings_for(policy).items() if gate.before_loading)


def _built_in(name: str) -> Gate:
    gate = importlib.import_module(f"promotion_assets.gates.{name}").GATE
    assert isinstance(gate, Gate)
    return gate


def _from_entry_point(point: EntryPoint) -> Gate:
    try:
        loaded = point.load()
    except Exception as error:
        raise _no_gate(point.name, point.value, f"{type(error).__name__}: {error}") from error
    return _only_a_gate(point.name, point.value, loaded)


def _from_path(name: str, path: str) -> Gate:
    module, colon, attribute = path.partition(":")
    if not colon:
        raise _no_gate(name, path, "an import path looks like package.module:GATE")
    try:
        loaded = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise _no_gate(name, path, f"{type(error).__name__}: {error}") from error
    return _only_a_gate(name, path, loaded)


def _only_a_gate(name: str, path: str, loaded: object) -> Gate:
    if not isinstance(loaded, Gate):
        raise _no_gate(name, path, f"it is a {type(loaded).__name__}, not a Gate")
    if loaded.name != name:
        raise _no_gate(name, path, f"the gate calls itself {loaded.name!r}")
    return loaded


def _add(found: dict[str, Gate], name: str, gate: Gate, source: str) -> None:
    if name in found:
        raise PolicyError(
            f"collecting gates from {source}",
            f"there is a gate called {name!r} already",
            "give the gate another name",
        )
    found[name] = gate


def _no_gate(name: str, path: str, problem: str) -> PolicyError:
    return PolicyError(
        f"importing gate {name!r} from {path!r}",
        problem,
        "install the package that has it, or correct the import path in the policy",
    )
