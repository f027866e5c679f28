"""Where gates are found: built in, in installed packages, and by import path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from promotion_assets.errors import PolicyError
from promotion_assets.gates import catalogue as module
from promotion_assets.gates.catalogue import (
    BUILT_IN,
    before_loading,
    catalogue,
    settings_for,
    settings_models,
)
from promotion_assets_tests import evidence as make

SOURCE = """
from promotion_assets.gates.contract import Gate, GateResult, GateSettings, Outcome

def evaluate(evidence, settings):
    return GateResult(gate="weekday", outcome=Outcome.PASSED, reason="it is a weekday")

GATE = Gate(name="weekday", question="?", settings=GateSettings, evaluate=evaluate)
NOT_A_GATE = 3
"""


@pytest.fixture
def house_gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An importable module with a gate in it."""
    (tmp_path / "house_gates.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "broken_gates.py").write_text("import no_such_thing\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "house_gates"
    for name in ("house_gates", "broken_gates"):
        sys.modules.pop(name, None)


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    """Let installed packages offer these gates."""
    made = [EntryPoint(name, value, module.GROUP) for name, value in points]
    monkeypatch.setattr(module, "entry_points", lambda group: made)


def test_built_in_gates_are_called_by_their_file() -> None:
    """Every built-in gate is found, under its file's name, with a question."""
    found = catalogue()
    assert set(BUILT_IN) <= set(found)
    for name, gate in found.items():
        assert gate.name == name
        assert gate.question.endswith("?")


def test_only_the_artifact_gate_comes_before_loading() -> None:
    """Nothing else may be judged before it, and it reads no scores."""
    found = catalogue()
    assert [name for name in BUILT_IN if found[name].before_loading] == ["artifact"]
    assert found["artifact"].reads == frozenset()
    policy = make.policy(gates={"accuracy": {}, "artifact": {}})
    assert before_loading(policy) == ("artifact",)


def test_an_import_path_of_the_policy_is_found(house_gates: str) -> None:
    """A team's gate without a package is named by its path and run like any other."""
    policy = make.policy(
        gates={"weekday": {"required": False}}, gate_paths={"weekday": f"{house_gates}:GATE"}
    )
    gate, settings = settings_for(policy)["weekday"]
    assert gate.evaluate(make.evidence(), settings).reason == "it is a weekday"
    assert settings.required is False
    assert "weekday" in settings_models(policy.gate_paths)


def test_an_installed_package_is_found(house_gates: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate of the entry-point group needs no path in the policy."""
    offer(monkeypatch, ("weekday", f"{house_gates}:GATE"))
    assert "weekday" in catalogue()


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("weekday", "house_gates.GATE", "looks like package.module:GATE"),
        ("weekday", "no_such_package:GATE", "ModuleNotFoundError"),
        ("weekday", "broken_gates:GATE", "no_such_thing"),
        ("weekday", "house_gates:NOTHING", "AttributeError"),
        ("weekday", "house_gates:NOT_A_GATE", "it is a int, not a Gate"),
        ("sunday", "house_gates:GATE", "calls itself 'weekday'"),
    ],
)
@pytest.mark.usefixtures("house_gates")
def test_a_path_that_gives_no_gate_is_refused(
    name: str, path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typos, broken packages and things that are no gates are named, by both ways."""
    with pytest.raises(PolicyError, match=words):
        catalogue({name: path})
    if ":" in path:
        offer(monkeypatch, (name, path))
        with pytest.raises(PolicyError, match=words):
            catalogue()


def test_two_gates_of_one_name_are_refused(
    house_gates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can put another gate in the place of a known one."""
    offer(monkeypatch, ("weekday", f"{house_gates}:GATE"))
    with pytest.raises(PolicyError, match="already"):
        catalogue({"weekday": f"{house_gates}:GATE"})


def test_an_unknown_gate_is_refused_with_the_nearest_name() -> None:
    """A policy that was not loaded through the loader is checked again."""
    with pytest.raises(PolicyError, match="did you mean 'accuracy'"):
        settings_for(make.policy(gates={"acuracy": {}}))


def test_invalid_settings_are_refused_by_name() -> None:
    """So are its settings."""
    with pytest.raises(PolicyError, match="minimum"):
        settings_for(make.policy(gates={"accuracy": {"minimum": "high"}}))
