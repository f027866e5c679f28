"""The event log: what is written comes back, once, in order, from either database."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from promotion_assets.adapters import event_log as module
from promotion_assets.adapters.event_export import export_parquet
from promotion_assets.adapters.event_log import EventLog, event_log_url, open_event_log
from promotion_assets.errors import StorageUnreachable, UsageError
from promotion_assets.serving.cloudevents import cloud_event_lines
from promotion_assets.serving.events import Acknowledgement, Drop, Kind, arrow_schema
from promotion_assets_tests.postgres import running
from promotion_assets_tests.serving.events import (
    BEGUN_US,
    MODEL,
    exposure,
    outcome,
    request,
    shadow,
)

BEGUN = datetime.fromtimestamp(BEGUN_US / 1e6, UTC)


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """An empty database of a server of our own."""
    with running() as server:
        yield server.new_database("events")


@pytest.fixture(params=["sqlite", "postgresql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    """An empty event log in each database."""
    if request.param == "sqlite":
        opened = open_event_log(f"sqlite:///{tmp_path}/new/folder/events.db")
    else:
        opened = open_event_log(request.getfixturevalue("postgres_url"))
        for model in (MODEL, "other"):
            opened.prune(model, BEGUN + timedelta(days=1000))
            for said in opened.acknowledged(model):
                opened.leave(model, said.worker)
    yield opened
    opened.close()


def read(log: EventLog, kind: Kind, **chosen: object) -> pa.Table:
    """Return all that the log has of one kind."""
    return pa.Table.from_batches(
        log.batches(kind, MODEL, **chosen),  # type: ignore[arg-type]
        schema=arrow_schema(kind),
    )


def test_events_of_each_kind_come_back_as_they_were(log: EventLog) -> None:
    """Every field of every kind is read as it was written, a missing number as NaN."""
    written = {
        "request": request(1, unit="ünït", score=math.nan, features='{"a": 1}'),
        "shadow": shadow(2),
        "exposure": exposure(3),
        "outcome": outcome(4),
    }
    assert log.write(list(written.values())) == 4
    for kind, event in written.items():
        (row,) = read(log, kind).to_pylist()  # type: ignore[arg-type]
        assert {name: repr(value) for name, value in row.items()} == {
            name: repr(value) for name, value in event._asdict().items()
        }


def test_order_is_by_time_over_pages(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of one instant and of many come in order, each once, however many pages."""
    monkeypatch.setattr(module, "PAGE", 7)
    events = [request(n, time_us=BEGUN_US + n // 10) for n in range(100)]
    log.write(events[::-1])
    found = read(log, "request")
    keys = list(zip(found["time_us"].to_pylist(), found["event_id"].to_pylist(), strict=True))
    assert keys == sorted((e.time_us, e.event_id) for e in events)


def test_a_second_event_of_one_id_is_dropped(log: EventLog) -> None:
    """An id names one event for ever, in one batch and over several."""
    assert log.write([outcome(1), outcome(1, label=0.0), outcome(2)]) == 2
    assert log.write([outcome(1, label=0.0), outcome(3)]) == 1
    assert read(log, "outcome")["label"].to_pylist() == [1.0, 1.0, 1.0]


def test_chosen_by_segment_time_and_model(log: EventLog) -> None:
    """A reader gets one model's events of one segment in a half-open span of time."""
    log.write([request(n, segment="EU" if n % 2 else "US") for n in range(10)])
    log.write([request(99, model="other")])
    chosen = read(
        log,
        "request",
        segment="EU",
        since=BEGUN + timedelta(microseconds=3),
        until=BEGUN + timedelta(microseconds=7),
    )
    assert chosen["event_id"].to_pylist() == ["r-3", "r-5"]
    log.write([outcome(1)])
    assert read(log, "outcome", segment="EU").num_rows == 1


def test_drops_add_up_by_kind_and_arm(log: EventLog) -> None:
    """Counts of many processes and times add up, and a repeated one counts once."""
    drops = [
        Drop("a", BEGUN_US, MODEL, "shadow", "7", 3),
        Drop("b", BEGUN_US + 1, MODEL, "shadow", "7", 2),
        Drop("c", BEGUN_US + 1, MODEL, "request", "1", 1),
        Drop("d", BEGUN_US, "other", "request", "1", 9),
    ]
    log.write([], drops)
    log.write([request(1)], drops[:1])
    assert log.drops(MODEL) == {"shadow:7": 5, "request:1": 1}
    later = BEGUN + timedelta(microseconds=1)
    assert log.drops(MODEL, since=later) == {"shadow:7": 2, "request:1": 1}
    assert log.drops(MODEL, until=later) == {"shadow:7": 3}


def test_text_that_no_database_takes_costs_nothing_else(log: EventLog) -> None:
    """A NUL or half a surrogate pair is replaced; its transaction's other events are kept."""
    log.write([request(1), request(2, request_id="a\0b\ud800"), request(3)])
    assert read(log, "request")["request_id"].to_pylist()[::2] == ["req-1", "req-3"]
    assert "\ud800" not in read(log, "request")["request_id"].to_pylist()[1]


def test_requests_are_found_by_their_id(log: EventLog) -> None:
    """Known requests come with the time of their first answer; unknown ones are absent."""
    log.write([request(1), request(2, request_id="req-1"), request(3, model="other")])
    many = [f"unknown-{n}" for n in range(1200)]
    assert log.requested(MODEL, ["req-1", "req-3", "req-1", *many]) == {"req-1": BEGUN_US + 1}


def test_pace_counts_what_each_role_was_given_and_failed(log: EventLog) -> None:
    """By segment and role since a moment; the champion in a candidate's place is its failure."""
    written = [
        request(1, assigned="stable", role="stable", latency_ms=2.0),
        request(2, assigned="stable", role="stable", latency_ms=4.0, error="raised ValueError"),
        request(3, assigned="candidate", role="candidate", latency_ms=1.0),
        request(4, assigned="candidate", role="fallback", latency_ms=3.0),
        request(5, assigned="stable", role="stable", latency_ms=1.0, segment="EU"),
        request(6, model="other"),
    ]
    log.write([request(0, assigned="stable", latency_ms=9e9), *written])
    (first, *_) = written
    assert log.pace(MODEL, since=BEGUN + timedelta(microseconds=1)) == (
        ("EU", "stable", 1, 0, 1.0),
        (first.segment, "candidate", 2, 1, 2.0),
        (first.segment, "stable", 2, 1, 3.0),
    )
    assert log.pace("nobody", since=BEGUN) == ()


def test_each_process_has_one_last_word(log: EventLog) -> None:
    """What a server process says replaces what it said; one that left says nothing."""
    first = Acknowledgement(MODEL, "host:1", BEGUN_US, 3, "{}")
    second = Acknowledgement(MODEL, "host:2", BEGUN_US, 3, "{}", 4, "its digest is another")
    log.acknowledge(first)
    log.acknowledge(second)
    log.acknowledge(first._replace(generation=4, time_us=BEGUN_US + 1))
    assert log.acknowledged(MODEL) == (
        first._replace(generation=4, time_us=BEGUN_US + 1),
        second,
    )
    log.leave(MODEL, "host:1")
    assert log.acknowledged(MODEL) == (second,)


def test_retention_removes_what_is_older(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events and counts before a moment go, in small transactions; later ones stay."""
    monkeypatch.setattr(module, "PRUNED_AT_ONCE", 3)
    drops = [Drop("a", BEGUN_US, MODEL, "shadow", "7", 3)]
    log.write([*(request(n) for n in range(10)), outcome(3), outcome(9)], drops)
    log.write([request(0, event_id="x", model="other")])
    assert log.prune(MODEL, BEGUN + timedelta(microseconds=8)) == 9
    assert read(log, "request")["event_id"].to_pylist() == ["r-8", "r-9"]
    assert log.drops(MODEL) == {}
    assert log.requested("other", ["req-0"]) == {"req-0": BEGUN_US}


def test_parquet_is_cut_at_midnight_and_written_anew(log: EventLog, tmp_path: Path) -> None:
    """Each day is one file that holds exactly its events; a second export takes in late ones."""
    noon = BEGUN_US // 86_400_000_000 * 86_400_000_000
    day_us = 86_400_000_000
    log.write([request(n, time_us=noon + n * day_us // 4) for n in range(10)])
    log.write([outcome(1, time_us=noon + day_us)])
    since, until = date(2026, 3, 2), date(2026, 3, 4)
    counts = export_parquet(log, MODEL, tmp_path / "out", since=since, until=until)
    assert {str(path.relative_to(tmp_path / "out")): n for path, n in counts.items()} == {
        f"kind=request/day=2026-03-02/{MODEL}.parquet": 4,
        f"kind=request/day=2026-03-03/{MODEL}.parquet": 4,
        f"kind=outcome/day=2026-03-03/{MODEL}.parquet": 1,
    }
    log.write([request(50, time_us=noon + 1)])
    export_parquet(log, MODEL, tmp_path / "out", since=since, until=until)
    whole = ds.dataset(tmp_path / "out" / "kind=request", partitioning="hive").to_table()
    assert sorted(whole["event_id"].to_pylist()) == sorted([*(f"r-{n}" for n in range(8)), "r-50"])
    assert set(whole["day"].to_pylist()) == {"2026-03-02", "2026-03-03"}


def test_cloud_events_have_the_envelope_of_the_standard(log: EventLog) -> None:
    """Each line is one CloudEvent in strict JSON, its attributes those of version 1.0."""
    log.write([shadow(1)])
    (line,) = cloud_event_lines("shadow", log.batches("shadow", MODEL))
    event = json.loads(line)
    assert {k: event[k] for k in event if k != "data"} == {
        "specversion": "1.0",
        "id": "s-1",
        "source": "/models/credit-risk",
        "type": "promotion.serving.shadow.v1",
        "subject": "req-1",
        "time": "2026-03-02T09:00:00.000001+00:00",
        "datacontenttype": "application/json",
    }
    assert event["data"]["shadow_score"] is None
    assert event["data"]["production_score"] == 0.25


def test_a_database_that_is_away_is_said_and_comes_back(tmp_path: Path) -> None:
    """Reading and writing a log whose folder cannot be made says so, and works once it can."""
    (tmp_path / "blocked").write_text("a file in the folder's place")
    log = open_event_log(f"sqlite:///{tmp_path}/blocked/events.db")
    with pytest.raises(StorageUnreachable, match="PROMOTION_EVENTS_URL"):
        log.write([request(1)])
    (tmp_path / "blocked").unlink()
    assert log.write([request(1)]) == 1
    log.close()


def test_a_locked_database_is_unreachable(tmp_path: Path) -> None:
    """Another process that holds the write lock too long is told as an unreachable part."""
    log = open_event_log(f"sqlite:///{tmp_path}/events.db", busy_seconds=0.05)
    log.write([request(1)])
    with sqlite3.connect(tmp_path / "events.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnreachable, match="locked"):
            log.write([request(2)])
        other.execute("ROLLBACK")
    other.close()
    assert log.write([request(2)]) == 1
    log.close()


def test_where_the_log_is(tmp_path: Path) -> None:
    """The environment names the database, else it is a file in the home folder."""
    assert event_log_url(tmp_path, {}) == f"sqlite:///{tmp_path}/events.db"
    assert event_log_url(tmp_path, {"PROMOTION_EVENTS_URL": "sqlite:///x"}) == "sqlite:///x"
    with pytest.raises(UsageError, match="PROMOTION_EVENTS_URL"):
        open_event_log("mysql://somewhere/events")
