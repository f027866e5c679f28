"""``promotion rollout`` and ``promotion traffic``: what they print, record and refuse."""

from __future__ import annotations

import json

import pytest
import yaml

from promotion_assets.cli.rollout import _only_segment
from promotion_assets.errors import Refusal, TransitionRefused, UsageError
from promotion_assets.lifecycle.events import LatchCleared, Stage
from promotion_assets_tests.cli.homes import Home, home
from promotion_assets_tests.ledgers import MODEL, digest

__all__ = ["home"]

BECAUSE = ("--reason", "release of the app at noon", "--actor", "ana")


def at_five_percent(home: Home) -> None:
    """Begin the rollout."""
    done = home.run("rollout", "tick", MODEL)
    assert done.exit_code == 0, done.output
    assert home.world.share == 500


def test_status_says_what_is_next_before_and_while_it_rolls_out(home: Home) -> None:
    """Version, champion, share, way, and why it waits; the same as JSON."""
    said = home.run("rollout", "status").output
    assert f"{MODEL} version 4 in segment 'default' beside champion 1: 0 % of 5 %" in said
    at_five_percent(home)
    said = home.run("rollout", "status", MODEL).output
    assert ": 5 % of 5 % → 25 % →" in said
    (found,) = json.loads(home.run("rollout", "status", MODEL, "--json").stdout)["rollouts"]
    assert (found["model"], found["version"], found["share"], found["step"]) == (MODEL, "4", 500, 0)
    assert {one["guardrail"] for one in found["guardrails"]} >= {"errors", "latency"}
    assert found["not_before"] is not None
    assert "  not before " in said


def test_status_of_nothing_and_of_an_unknown_model(home: Home) -> None:
    """Nothing is said in a sentence; a mistyped model is told the nearest."""
    home.run("rollout", "abort", MODEL, *BECAUSE)
    assert home.run("rollout", "status").output == "nothing is rolling out\n"
    assert json.loads(home.run("rollout", "status", "--json").stdout) == {"rollouts": []}
    for words in (["status", "credit-rsk"], ["tick", "credit-rsk"], ["pause", "credit-rsk"]):
        reason = () if words[0] in ("status", "tick") else BECAUSE
        refused = home.run("rollout", *words, *reason).exception
        assert isinstance(refused, UsageError)
        assert f"did you mean {MODEL!r}" in refused.next_step


def test_a_tick_is_a_sentence_or_a_line_of_json(home: Home) -> None:
    """Each look tells what it did; a second one changes nothing."""
    first = json.loads(home.run("rollout", "tick", "--json").stdout)
    assert first["action"] == "start"
    assert first["recorded"] is True
    assert (first["model"], first["segment"], first["version"]) == (MODEL, "default", "4")
    steps = len(home.world.steps())
    said = home.run("rollout", "tick", MODEL)
    assert said.output.startswith(f"{MODEL}: ")
    assert len(home.world.steps()) == steps


def test_pause_resume_are_recorded_with_who_and_why(home: Home) -> None:
    """And each is refused where it makes no sense, with exit code 1."""
    at_five_percent(home)
    assert home.run("rollout", "pause", MODEL, *BECAUSE).output == (
        "version 4 answers 5 % in segment 'default'\n"
    )
    assert (home.world.steps()[-1].action, home.world.steps()[-1].actor) == ("pause", "ana")
    assert "release of the app" in home.run("rollout", "status").output
    again = home.run("rollout", "pause", MODEL, *BECAUSE)
    assert isinstance(again.exception, TransitionRefused)
    assert again.exception.exit_code == 1
    said = json.loads(home.run("rollout", "resume", MODEL, *BECAUSE, "--json").stdout)
    assert said == {"model": MODEL, "segment": "default", "rolling": "4", "share": 500}
    assert home.world.steps()[-1].action == "resume"
    assert isinstance(home.run("rollout", "resume", MODEL, *BECAUSE).exception, TransitionRefused)


def test_skip_is_refused_for_a_new_candidate(home: Home) -> None:
    """What was never champion may not skip what watches it; nothing is recorded."""
    at_five_percent(home)
    steps = len(home.world.steps())
    refused = home.run("rollout", "skip", MODEL, *BECAUSE).exception
    assert isinstance(refused, TransitionRefused)
    assert "never champion" in refused.problem
    assert len(home.world.steps()) == steps


def test_abort_gives_all_traffic_back_and_latches(home: Home) -> None:
    """The champion answers alone, the candidate is archived, a second abort is refused."""
    at_five_percent(home)
    said = home.run("rollout", "abort", MODEL, *BECAUSE)
    assert said.output == f"{MODEL} is served by version 1 alone\n"
    assert home.world.state.stage("4") is Stage.ARCHIVED
    assert digest("4") in home.world.state.latches
    assert isinstance(home.run("rollout", "abort", MODEL, *BECAUSE).exception, Refusal)


@pytest.mark.parametrize("verb", ["pause", "resume", "skip", "abort"])
def test_stepping_in_without_a_reason_is_wrong_use(home: Home, verb: str) -> None:
    """The record needs one."""
    said = home.run("rollout", verb, MODEL)
    assert said.exit_code == 2
    assert "--reason" in said.output


def test_traffic_shows_arms_shares_and_digests(home: Home) -> None:
    """The plan in force, as a table and as JSON, with the servers that follow it."""
    at_five_percent(home)
    said = home.run("traffic", "show", MODEL).output
    assert "95 %" in said
    assert digest("4")[:12] in said
    found = json.loads(home.run("traffic", "show", MODEL, "--json").stdout)
    (segment,) = [one for one in found["plan"]["segments"] if one["name"] == "default"]
    assert (segment["stable"]["version"], segment["candidate"]["version"]) == ("1", "4")
    assert segment["share"] == 500
    assert found["servers"] == []


def test_traffic_history_has_every_plan_in_order(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generations ascend, and each says who and why."""
    monkeypatch.delenv("COLUMNS", raising=False)
    at_five_percent(home)
    home.run("rollout", "abort", MODEL, *BECAUSE)
    found = json.loads(home.run("traffic", "history", MODEL, "--json").stdout)["plans"]
    generations = [one["generation"] for one in found]
    assert generations == sorted(set(generations))
    assert "release of the app at noon" in found[-1]["reason"]
    assert found[-1]["actor"] == "ana"
    lines = home.run("traffic", "history", MODEL).output.splitlines()
    assert len(lines) == len(found) + 2


def test_traffic_renders_for_other_stacks(home: Home) -> None:
    """YAML that parses, with the shares of the plan; JSON has the same documents."""
    at_five_percent(home)
    words = ("traffic", "render", MODEL, "--format", "istio", "--bucket-header", "x-bucket")
    said = home.run(*words)
    assert said.exit_code == 0, said.output
    documents = list(yaml.safe_load_all(said.stdout))
    assert documents == json.loads(home.run(*words, "--json").stdout)["documents"]
    assert home.run("traffic", "render", MODEL, "--format", "nginx").exit_code == 2


def test_a_segment_has_to_be_named_where_several_roll_out() -> None:
    """Nothing is guessed; both are told."""
    with pytest.raises(UsageError, match=r"in 2 segments: EU, US"):
        _only_segment({"US": "4", "EU": "5"}, MODEL)
    assert _only_segment({"EU": "5"}, MODEL) == "EU"
    assert _only_segment({}, MODEL) == "default"


def test_a_latch_is_cleared_by_a_person_with_a_reason(home: Home) -> None:
    """After an abort the artifact is latched; clearing it is recorded, and once is enough."""
    at_five_percent(home)
    home.run("rollout", "abort", MODEL, *BECAUSE)
    latched = home.world.ledger.state(MODEL).latches
    assert latched
    held = digest("4")
    assert set(latched) == {held}
    because = ("--reason", "the letters were wrong, not the model", "--actor", "ana")
    done = home.run("rollout", "clear-latch", MODEL, "4", *because)
    assert done.exit_code == 0, done.output
    assert held[:12] in done.output
    assert not home.world.ledger.state(MODEL).latches
    cleared = [e.event for e in home.world.ledger.events(MODEL)][-1]
    assert isinstance(cleared, LatchCleared)
    assert (cleared.actor, cleared.reason) == ("ana", because[1])
    again = home.run("rollout", "clear-latch", MODEL, "4", *because)
    assert isinstance(again.exception, TransitionRefused)
    assert "it is not latched" in again.exception.problem
    unknown = home.run("rollout", "clear-latch", MODEL, "44", *because)
    assert isinstance(unknown.exception, UsageError)
    assert "the ledger knows no such version" in unknown.exception.problem
