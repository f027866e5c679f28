"""``promotion top``: one screen that says what serves and what waits, and stays true."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from promotion_assets.errors import UsageError
from promotion_assets.lifecycle.champion_events import ChampionFailed
from promotion_assets.lifecycle.events import IntentRecorded, ReviewRequested
from promotion_assets.lifecycle.promotion import promote
from promotion_assets.lifecycle.registry_events import Deviation, RegistryTampered
from promotion_assets.pipeline.glance import Glance
from promotion_assets.serving.events import Acknowledgement, microseconds
from promotion_assets_tests.cli.homes import Home, home, make_home
from promotion_assets_tests.cli.terminals import promotion
from promotion_assets_tests.ledgers import MODEL, evaluated, facts, request

__all__ = ["home"]

CTRL_C = b"\x03"
BECAUSE = ("--reason", "release of the app at noon", "--actor", "ana")


def look(home: Home, *words: str) -> Glance:
    """What a program is told."""
    done = home.run("top", "--json", *words)
    assert done.exit_code == 0, done.output
    found: Glance = json.loads(done.stdout)
    return found


def test_lanes_have_shares_requests_and_failures_of_each_role(home: Home) -> None:
    """The champion and the candidate, by what the router gave them in the window."""
    home.run("rollout", "tick", MODEL)
    home.world.clock.now = datetime.now(UTC) - timedelta(minutes=10)
    home.world.traffic(10, 2000, fails=lambda role: 0.5 if role == "candidate" else 0.0)
    candidate, champion = look(home, "--window", "3600")["lanes"]
    assert (champion["version"], champion["role"], champion["share"]) == ("1", "champion", 9500)
    assert (candidate["version"], candidate["role"], candidate["share"]) == ("4", "candidate", 500)
    assert champion["failed"] == 0
    assert 0.3 < candidate["failed"] < 0.7
    both = champion["per_second"] + candidate["per_second"]
    assert both == pytest.approx(2000 / 3600, rel=0.2)
    said = home.run("top", MODEL, "--once").output
    assert "95 %" in said
    assert "5 %" in said


def test_what_waits_for_a_person_is_named_with_the_command_that_helps(home: Home) -> None:
    """A pause and a review wait; a server that cannot follow the plan is broken and comes first."""
    home.run("rollout", "tick", MODEL)
    home.run("rollout", "pause", MODEL, *BECAUSE)
    ask_for_review(home)
    home.world.events.acknowledge(
        Acknowledgement(
            MODEL, "host:7", microseconds(datetime.now(UTC)), 1, "{}", 2, "its digest is another"
        )
    )
    found = look(home)
    items = found["attention"]
    assert [item["urgency"] for item in items] == ["broken", "waits", "waits"]
    server, paused, review = items
    assert "host:7" in server["what"]
    assert "its digest is another" in server["what"]
    assert paused["what"] == "paused: release of the app at noon"
    assert paused["next_step"] == f"promotion rollout resume {MODEL} --reason …"
    assert "0 of 1 approvals" in review["what"]
    assert review["what"].endswith("asked: bo")
    assert review["next_step"] == f"promotion review show {MODEL} 5"
    assert found["lanes"][0]["servers"] == 1


def test_what_is_broken_is_told_from_the_ledger(home: Home) -> None:
    """A change half done, a registry moved by hand, a champion that fails, a rollout that holds."""
    home.run("rollout", "tick", MODEL)
    (step,) = home.world.steps()
    moved = Deviation(subject="alias", name="champion", expected="1", found="9")
    home.world.ledger.append(
        [
            step.model_copy(update={"action": "hold", "reason": "latency: .06 of limit .05"}),
            IntentRecorded(model=MODEL, intent_id="i", action="promote", reason="better"),
            RegistryTampered(model=MODEL, deviations=(moved,)),
            ChampionFailed(model=MODEL, version="1", reason="AUC fell", decision_digest="d" * 64),
        ]
    )
    told = {(item["what"], item["next_step"]) for item in look(home)["attention"]}
    assert told == {
        ("a promote was announced and is not finished", f"promotion reconcile {MODEL}"),
        (
            f"the registry was changed by hand: {moved.sentence()}",
            f"promotion reconcile {MODEL}",
        ),
        (
            "the champion would not be let through today: AUC fell",
            f"promotion explain {MODEL} 1",
        ),
        ("its rollout holds: latency: .06 of limit .05", f"promotion rollout status {MODEL}"),
    }


def ask_for_review(home: Home) -> None:
    """Have version 5 in Staging, and bo asked to review it."""
    world = home.world
    world.ledger.append([evaluated("5", world.clock)])
    promote(world.ledger, world.registry, request("5"), facts("5"), world.clock())
    asked = ReviewRequested(
        model=MODEL,
        version="5",
        request_id="r5",
        requested_at=world.clock(),
        expires_at=datetime.now(UTC) + timedelta(days=3),
        assigned=("bo",),
    )
    world.ledger.append([asked])


def test_an_event_log_that_does_not_answer_is_an_item_and_not_silence(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares come from the ledger and stay; numbers that are not known are not zero."""
    home.world.events.close()
    (home.world.home / "events.db").write_bytes(b"no database" * 1000)
    found = look(home)
    (item,) = found["attention"]
    assert item["urgency"] == "broken"
    assert "event log" in item["what"]
    assert "not a database" in item["what"]
    assert "move the file away" in item["next_step"]
    assert {lane["per_second"] for lane in found["lanes"]} == {None}
    assert "broken" in home.run("top").output


def test_servers_that_were_killed_are_missed(home: Home) -> None:
    """One that took its leave is no concern, nor one that is gone since days; others are."""
    events, now = home.world.events, datetime.now(UTC)
    for server, silent in (("killed:1", timedelta(minutes=3)), ("old:2", timedelta(days=2))):
        at = microseconds(now - silent)
        events.acknowledge(Acknowledgement(MODEL, server, at, 1, "{}", 0, ""))
    (item,) = look(home)["attention"]
    assert item["urgency"] == "broken"
    assert f"{now - timedelta(minutes=3):%H:%M} UTC" in item["what"]
    assert item["next_step"] == f"promotion serve {MODEL}"
    said = home.run("traffic", "show", MODEL).output
    assert "server killed:1 followed generation 1; silent since" in said
    assert "follows" not in said
    events.leave(MODEL, "killed:1")
    assert look(home)["attention"] == []


def test_an_unknown_model_is_told_the_nearest(home: Home) -> None:
    """And nothing is watched."""
    refused = home.run("top", "credit-rsk").exception
    assert isinstance(refused, UsageError)
    assert f"did you mean {MODEL!r}" in refused.next_step


def test_a_terminal_is_kept_up_to_date_until_ctrl_c(tmp_path: Path) -> None:
    """What happens meanwhile comes onto the screen, a broken policy too; Ctrl-C ends in peace."""
    made = make_home(tmp_path)
    try:
        with promotion(made.folder, "top", "--every", "0.2", columns=160) as terminal:
            terminal.read_until("candidate")
            assert "paused" not in terminal.plain
            assert made.run("rollout", "pause", MODEL, *BECAUSE).exit_code == 0
            terminal.read_until("release of the app at noon")
            policy = made.folder / "promotion.yaml"
            whole = policy.read_text()
            policy.write_text("models: [")
            terminal.read_until("promotion.yaml")
            terminal.written = ""
            policy.write_text(whole)
            terminal.read_until("candidate")
            terminal.press(CTRL_C)
            assert terminal.end() == 0
            assert "Traceback" not in terminal.plain
    finally:
        made.world.close()
