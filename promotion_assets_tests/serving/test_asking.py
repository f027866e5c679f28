"""Requests at the edge of HTTP, logs, metrics, and shadows that hang or do not start."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import values

from promotion_assets.errors import RequestRefused
from promotion_assets.serving.engine import Engine
from promotion_assets.serving.events import Drop, OutcomeEvent, ShadowEvent
from promotion_assets.serving.logs import JsonFormatter
from promotion_assets.serving.metrics import MULTIPROCESS, Metrics
from promotion_assets.serving.model import Answer
from promotion_assets.serving.outcomes import MOST_REASONS, OutcomeRules, Told, accept
from promotion_assets.serving.payload import Payload
from promotion_assets.serving.shadow import Answered, Copy, ShadowGone
from promotion_assets.serving.web.asking import Inference, Invocations, Questions
from promotion_assets.serving.web.health import facts_of, metadata_of
from promotion_assets.serving.writer import BackgroundWriter
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.serving.engines import Kept, Nobody, Says, engine, generation, line
from promotion_assets_tests.serving.events import MODEL, outcome
from promotion_assets_tests.serving.followers import Store
from promotion_assets_tests.serving.plans import arm, segment
from promotion_assets_tests.serving.world import split_body
from promotion_assets_tests.waiting import until

ONE_ROW = split_body([[1.0]], ["x"])
V2 = b'{"inputs": [{"name": "x", "shape": [1], "data": [1]}]}'


class Answers(Says):
    """A version that answers what it is told to."""

    def __init__(self, *said: Any) -> None:
        super().__init__(arm("1"))
        self.said = list(said)

    def answer(self, payload: Payload) -> Answer:
        if isinstance(self.said[0], Exception):
            raise self.said[0]
        return Answer(self.said, [math.nan] * len(self.said))


class Asked:
    """One request to an application of this process, and what it sent back."""

    def __init__(self, kept: Kept, model: Says) -> None:
        self.kept = kept
        self.engine: Engine = engine(generation(1, segment()), kept)
        self.engine.generation.models["1"] = model  # type: ignore[index]
        self.sent: list[dict[str, Any]] = []

    def post(
        self,
        body: bytes | Sequence[dict[str, Any]],
        dialect: Invocations | Inference | None = None,
        **headers: bytes,
    ) -> Any:
        """Send a body, or the messages of one, and return the answer's JSON."""
        parts: Sequence[dict[str, Any]] = (
            [{"type": "http.request", "body": body}] if isinstance(body, bytes) else body
        )
        messages = iter(parts)

        async def _receive() -> dict[str, Any]:
            return next(messages)

        async def _send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
        with ThreadPoolExecutor(1) as pool:
            asked = Questions(self.engine, dialect or Invocations(), pool)
            asyncio.run(asked({"headers": named}, _receive, _send))
        return json.loads(self.sent[-1]["body"])

    @property
    def status(self) -> int:
        """Of the last answer."""
        status: int = self.sent[-2]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Of the last answer."""
        return dict(self.sent[-2]["headers"])


def test_a_fault_that_nobody_foresaw_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets three parts and no inner words; the log gets the traceback."""
    asked = Asked(Kept(), Answers(ZeroDivisionError("at secret/path.py")))
    said = asked.post(ONE_ROW, x_request_id=b"mine")
    assert asked.status == 500
    assert said["error_code"] == "INTERNAL_ERROR"
    assert said["error"] == "no version answered (ZeroDivisionError)"
    assert "secret" not in json.dumps(said)
    assert asked.headers[b"x-request-id"] == b"mine"
    assert "answering request mine" in caplog.text
    assert "at secret/path.py" in caplog.text


def test_a_caller_who_leaves_is_written_down_as_nobody() -> None:
    """Half a request is not answered by any version."""
    asked = Asked(Kept(), Answers(0.5))
    half = [
        {"type": "http.request", "body": ONE_ROW[:9], "more_body": True},
        {"type": "http.disconnect"},
    ]
    said = asked.post(half)
    assert asked.status == 400
    assert said["error"] == "the caller left before it was there"
    assert asked.kept.events == []


def test_a_body_without_end_is_read_past_within_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who goes on sending is refused after so many bytes, and the connection ends."""
    monkeypatch.setattr("promotion_assets.serving.web.asking.READ_PAST_BYTES", 3000)
    asked = Asked(Kept(), Answers(0.5))
    limit = asked.engine.policy.body_bytes
    flood = [{"type": "http.request", "body": b" " * 1000, "more_body": True}] * 100
    said = asked.post(flood, content_length=str(limit + 1).encode())
    assert asked.status == 413
    assert said["error"] == f"it has {limit + 1:,} bytes"
    assert asked.headers[b"connection"] == b"close"


def test_names_in_latin_1_are_read_as_http_has_them() -> None:
    """A header that is no UTF-8 costs no request, and comes back as it was sent."""
    asked = Asked(Kept(), Answers(0.5))
    assert asked.post(ONE_ROW, x_request_id="M\xfcller".encode("latin-1")) == {"predictions": [0.5]}
    assert asked.headers[b"x-request-id"] == "M\xfcller".encode("latin-1")
    asked.post(ONE_ROW, x_request_id="M\xfcller".encode())
    assert asked.headers[b"x-request-id"] == "M\xfcller".encode("latin-1")


@pytest.mark.parametrize(
    ("answered", "shape", "datatype", "data"),
    [
        ([True, False], [2], "BOOL", [True, False]),
        ([1, 2], [2], "INT64", [1, 2]),
        ([1, 0.5], [2], "FP64", [1, 0.5]),
        ([[0.25, 0.75]], [1, 2], "FP64", [0.25, 0.75]),
        (["yes", "no"], [2], "BYTES", ["yes", "no"]),
        ([{"score": 1}, None], [2], "BYTES", ['{"score": 1}', "null"]),
    ],
)
def test_predictions_of_every_kind_are_one_tensor(
    answered: list[Any], shape: list[int], datatype: str, data: list[Any]
) -> None:
    """The Open Inference Protocol's type follows from the values; what is none of them is text."""
    said = Asked(Kept(), Answers(*answered)).post(V2, Inference())
    assert said["outputs"] == [
        {"name": "predict", "shape": shape, "datatype": datatype, "data": data}
    ]


def test_a_server_names_itself_and_only_what_it_answers_for() -> None:
    """A version without a signature has no inputs to tell of; others are refused by name."""
    assert facts_of(MODEL)["name"] == f"promotion serve {MODEL}"
    running = engine(generation(1, segment()), Kept())
    said = metadata_of(running, MODEL, None)
    assert (said["versions"], said["inputs"]) == (["1"], [])
    for model, version in ((MODEL, "7"), ("another", "1"), ("another", None)):
        with pytest.raises(RequestRefused, match=f"answers for {MODEL}, versions 1") as caught:
            metadata_of(running, model, version)
        assert caught.value.status == 404
        assert model in caught.value.doing


def test_a_log_line_holds_its_traceback() -> None:
    """One line of JSON, whatever the exception says."""
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        record = logging.LogRecord(
            "promotion_assets", logging.ERROR, __file__, 1, "it failed", (), sys.exc_info()
        )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    said = json.loads(text)
    assert said["message"] == "it failed"
    assert "ValueError: first\nsecond" in said["traceback"]
    without = logging.LogRecord("promotion_assets", logging.INFO, __file__, 1, "ok", (), None)
    assert "traceback" not in json.loads(JsonFormatter().format(without))


def test_any_workers_page_counts_all_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prometheus asks one process of several, and must not see a share of the requests."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    pages = []
    for pid in (101, 102):
        made = values.MultiProcessValue(lambda pid=pid: pid)  # type: ignore[no-untyped-call]
        monkeypatch.setattr(values, "ValueClass", made)
        metrics = Metrics()
        metrics.refused(413)
        pages.append(metrics.text().decode())
    (first, second) = (
        next(row for row in page.splitlines() if row.startswith("promotion_") and "413" in row)
        for page in pages
    )
    assert first.endswith(" 1.0")
    assert second == first.removesuffix("1.0") + "2.0"


def test_outcomes_drop_without_a_version() -> None:
    """An outcome belongs to a request and to no arm, and is counted so when it is dropped."""
    store = Store()
    writer = BackgroundWriter(store, lambda: 0, limit=0)  # type: ignore[arg-type]
    assert not writer.offer(outcome(1))
    writer.close()
    assert [(drop.kind, drop.arm, drop.number) for drop in store.drops] == [("outcome", "", 1)]


class Taken:
    """An event log that keeps outcomes."""

    def __init__(self) -> None:
        self.events: list[OutcomeEvent] = []

    def requested(self, model: str, request_ids: Sequence[str]) -> dict[str, int]:
        return {}

    def write(self, events: Sequence[OutcomeEvent], drops: Sequence[Drop] = ()) -> int:
        self.events += events
        return len(events)


def test_reasons_are_told_of_the_first_outcomes_only() -> None:
    """All that are refused are counted; a million bad rows do not make a million sentences."""
    rules, store = OutcomeRules(MODEL, "binary", 1, timedelta(days=90)), Taken()
    bad = [Told(f"r{n}", "what?") for n in range(MOST_REASONS + 5)]
    found = accept(store, rules, bad, Clock()())  # type: ignore[arg-type]
    assert found.refused == MOST_REASONS + 5
    assert len(found.reasons) == MOST_REASONS


def test_ids_may_be_numbers_and_times_without_a_zone_are_utc() -> None:
    """As files have them; a truth is no id."""
    rules, store = OutcomeRules(MODEL, "binary", 1, timedelta(days=90)), Taken()
    naive = datetime.fromisoformat("2026-03-01T08:30:00")
    aware = datetime.fromisoformat("2026-03-01T08:30:00Z")
    told = [Told(7, 1, naive), Told("7", 1, aware), Told(True, 1)]
    found = accept(store, rules, told, Clock(aware + timedelta(days=1))())  # type: ignore[arg-type]
    assert {event.request_id for event in store.events} == {"7"}
    assert len({event.event_id for event in store.events}) == 1
    assert found.refused == 1
    assert "the request id 'True' is no text" in found.reasons[0]


def copy(request_id: str, rows: int = 1) -> Copy:
    """Return a copy of one request."""
    ids = tuple(f"{request_id}/{row}" for row in range(rows))
    ones = (1.0,) * rows
    return Copy(
        "csv", b"x", ids, "s", "", "1", ("1",) * rows, ones, 1.0, ("f",) * rows, ("",) * rows
    )


def test_a_shadow_that_does_not_start_says_why_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copies wait for it; once it starts they are answered and the problem is gone."""
    monkeypatch.setattr("promotion_assets.serving.shadow.FIRST_PAUSE", 0.01)
    kept, there = Kept(), threading.Event()

    class Late(Nobody):
        def __init__(self) -> None:
            if not there.is_set():
                raise OSError("no memory for it")
            super().__init__()

    waits = line(kept, Nobody())
    waits.close(1)
    late = type(waits)(
        MODEL, arm("9"), waits._settings, Late, kept, lambda: 0, iter(map(str, range(99))).__next__
    )
    late.offer(copy("r"))
    until(lambda: late.problem == "no memory for it", "it says why")
    assert late.waiting == 1
    there.set()
    until(lambda: late.outcomes["answered"] == 1, "it is answered")
    assert late.problem == ""
    late.close(5)


def test_a_shadow_that_hangs_ends_with_its_server() -> None:
    """Its process is closed past it, and what it had not answered is counted as dropped."""
    kept, closed = Kept(), threading.Event()

    class Hangs(Nobody):
        def answers(self, copies: Sequence[Copy]) -> Iterator[Answered]:
            closed.wait(30)
            raise ShadowGone("timeout", "it was closed")
            yield

        def close(self) -> None:
            closed.set()

    hangs = line(kept, Hangs(), timeout_seconds=1)
    hangs.offer(copy("in hand", rows=2))
    until(lambda: hangs._in_hand == 1, "it is asked")
    assert hangs.waiting == 1
    hangs.offer(copy("behind", rows=3))
    hangs.close(0.05)
    assert closed.is_set()
    assert not hangs._thread.is_alive()
    shadows = [event for event in kept.events if isinstance(event, ShadowEvent)]
    assert [(event.request_id, event.outcome) for event in shadows] == [
        ("in hand/0", "timeout"),
        ("in hand/1", "timeout"),
    ]
    assert sum(drop.number for drop in kept.drops) == 3
    assert hangs.sampled == 5
    assert not hangs.offer(copy("too late"))


def test_a_shadow_that_never_starts_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends waits for no process that is still being started."""
    begun, over = threading.Event(), threading.Event()

    class Slow(Nobody):
        def __init__(self) -> None:
            begun.set()
            over.wait(30)
            super().__init__()

    kept = Kept()
    settings = line(kept, Nobody(), timeout_seconds=1)
    settings.close(1)
    slow = type(settings)(
        MODEL,
        arm("9"),
        settings._settings,
        Slow,
        kept,
        lambda: 0,
        iter(map(str, range(9))).__next__,
    )
    slow.offer(copy("r", rows=4))
    assert begun.wait(10)
    slow.close(0.01)
    assert sum(drop.number for drop in kept.drops) == 4
    over.set()
    until(lambda: not slow._thread.is_alive(), "its thread ends")
    assert slow.outcomes["answered"] == 0
