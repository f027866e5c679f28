"""A server over real HTTP when something breaks: models, shadows, ledger, event log, disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from promotion_assets.adapters.event_log import EventLog
from promotion_assets_tests.serving.servers import BROKEN, ROW, new_world, rows, serving
from promotion_assets_tests.serving.world import MODEL, World
from promotion_assets_tests.waiting import until


def test_a_candidate_that_fails_costs_no_answer(
    tmp_path: Path, artifacts: Mapping[str, Path]
) -> None:
    """Its units get the champion's answer; after some failures it is not asked any more."""
    world = new_world(tmp_path, artifacts, breaker={"failures": 3, "open_seconds": 3600})
    world.go_live("13", share=10_000)
    with serving(world) as server:
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-version"] == "13"
        for _ in range(5):
            said = server.ask(BROKEN, X_Promotion_Unit="u")
            assert (said.status, said.headers["x-promotion-arm"]) == (200, "fallback")
        assert server.ask(X_Promotion_Unit="u").headers["x-promotion-arm"] == "fallback"
        assert list(server.ready()["breakers"].values()) == ["open"]
        text = server.get("/metrics").body.decode()
        assert 'promotion_breaker_opened_total{version="13"} 1.0' in text
        events = server.events
    found = rows(events, "request")
    assert [r["assigned"] for r in found] == ["candidate"] * 7
    assert [r["role"] for r in found] == ["candidate", *["fallback"] * 6]
    assert ["it broke" in r["error"] for r in found] == [False, True, True, True, *[False] * 3]
    assert all("breaker is open" in r["error"] for r in found[4:])


def test_a_champion_that_answers_nan_is_a_failure(
    tmp_path: Path, artifacts: Mapping[str, Path]
) -> None:
    """An answer that is none is a 500 in three parts, and is written down as failed."""
    folder = tmp_path / "world"
    world = new_world(folder, {**artifacts, "1": artifacts["14"]})
    with serving(world) as server:
        said = server.ask(BROKEN)
        assert (said.status, "NaN" in said.json["message"]) == (500, True)
        assert server.ask().status == 200
        events = server.events
    failed, well = rows(events, "request")
    assert ("NaN" in failed["error"], failed["prediction"]) == (True, "")
    assert (well["error"], well["score"]) == ("", 0.5)


SHADOWS = {"11": "crashed", "12": "timeout", "13": "error"}


@pytest.mark.parametrize("version", SHADOWS)
def test_a_shadow_that_fails_changes_no_answer(
    tmp_path: Path, artifacts: Mapping[str, Path], version: str
) -> None:
    """Exit, hang and exception cost nobody anything, and every copy is accounted for."""
    world = new_world(tmp_path, artifacts, shadow={"timeout_seconds": 1, "queue": 50})
    world.stage(version)
    world.shadow(version)
    with serving(world) as server:
        expected = server.ask(BROKEN)
        for _ in range(4):
            said = server.ask(BROKEN)
            assert (said.status, said.body) == (200, expected.body)
        line = next(iter(server.follower.engine.lines.values()))
        until(lambda: any(line.outcomes.values()), "a copy has an outcome", 90)
        assert server.ask(BROKEN).body == expected.body
        events = server.events
    found = rows(events, "shadow")
    assert {r["outcome"] for r in found} == {SHADOWS[version]}
    assert all(r["error"] for r in found)
    assert line.sampled == 6
    assert len(found) + events.drops(MODEL).get(f"shadow:{version}", 0) == line.sampled


def test_a_sound_shadow_is_paired_with_what_was_answered(world: World) -> None:
    """Each copy becomes a pair of predictions, scores and latencies of the same request."""
    world.stage("3")
    world.shadow("3")
    with serving(world) as server:
        answers = {
            f"r{n}": server.ask((float(n), *ROW[1:]), X_Request_Id=f"r{n}") for n in range(8)
        }
        line = next(iter(server.follower.engine.lines.values()))
        until(lambda: line.outcomes["answered"] == 8, "all copies are answered", 120)
        events = server.events
    found = {r["request_id"]: r for r in rows(events, "shadow")}
    assert found.keys() == answers.keys()
    for name, pair in found.items():
        assert json.loads(pair["production_prediction"]) == answers[name].predictions[0]
        assert pair["outcome"] == "answered"
        assert 0 <= pair["shadow_score"] <= 1
        assert pair["shadow_score"] != pair["production_score"]
        assert pair["shadow_latency_ms"] > 0


def test_a_database_that_is_gone_costs_no_answer(world: World) -> None:
    """Without ledger and event log the server answers on, says so, and catches up afterwards."""
    with serving(world) as server:
        server.ask(X_Request_Id="before")
        until(lambda: server.follower.writer.written == 1, "it is written")
        for database in (world.home / "ledger.db", world.home / "events.db"):
            hide(database)
        until(lambda: server.ready()["problem"], "the missing ledger is seen")
        for n in range(20):
            assert server.ask(X_Request_Id=f"without-{n}").status == 200
        until(lambda: server.ready()["events"]["problem"], "the missing event log is seen")
        for database in (world.home / "ledger.db", world.home / "events.db"):
            bring_back(database)
        until(lambda: not server.ready()["problem"], "the ledger is read again")
        until(lambda: server.follower.writer.written == 21, "what waited is written")
        events = server.events
    assert len(rows(events, "request")) == 21
    assert events.drops(MODEL) == {}


def hide(database: Path) -> None:
    """Take a database away from those who have it open as well."""
    for suffix in ("", "-wal", "-shm"):
        path = Path(f"{database}{suffix}")
        if path.exists():
            path.rename(f"{path}.hidden")
    database.mkdir()


def bring_back(database: Path) -> None:
    """Undo :func:`hide`."""
    shutil.rmtree(database)
    for suffix in ("-wal", "-shm", ""):
        path = Path(f"{database}{suffix}")
        if Path(f"{path}.hidden").exists():
            Path(f"{path}.hidden").rename(path)


def test_disk_full_costs_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room for events they wait, up to a limit, and are counted beyond it."""
    room = ["PRAGMA max_page_count = 1"]
    with serving(world) as server:
        server.ask()
        until(lambda: server.follower.writer.written == 1, "it is written")
        log = server.follower.store
        assert isinstance(log, EventLog)
        sa.event.listen(log.engine, "connect", lambda connection, _: connection.execute(room[0]))
        monkeypatch.setattr(server.follower.writer, "_limit", 30)
        assert [server.ask().status for _ in range(40)] == [200] * 40
        until(lambda: server.ready()["events"]["problem"], "the full disk is seen")
        assert "full" in server.ready()["events"]["problem"]
        assert [server.ask().status for _ in range(200)] == [200] * 200
        room[0] = "PRAGMA max_page_count = 1073741823"
        until(lambda: not server.follower.writer.problem, "it writes again")
        events = server.events
    dropped = events.drops(MODEL)["request:1"]
    assert dropped > 0
    assert len(rows(events, "request")) + dropped == 241
