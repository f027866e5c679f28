"""Spans of served requests: sampled, continuing the caller's trace, empty of what was asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from promotion_assets.adapters import tracing
from promotion_assets_tests.collectors import Got, Here, collecting, here
from promotion_assets_tests.serving.servers import Running, new_world, serving
from promotion_assets_tests.serving.world import MODEL, split_body

__all__ = ["collecting", "here"]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
FEATURE = 31415.9265
UNIT = "customer-of-tests"
V2 = (
    '{"id": "of-v2", "inputs": [{"name": "input", "shape": [1, 8], "datatype": "FP64", '
    '"data": [1, 2, 0.5, 0, 0, 0, 0, 1]}]}'
)


@pytest.fixture
def server(tmp_path: Path, artifacts: Mapping[str, Path], here: Here) -> Iterator[Running]:
    """A server that is traced."""
    with serving(
        new_world(tmp_path / "world", artifacts), tracer=tracing.request_tracer(MODEL)
    ) as made:
        yield made


def asked(here: Here) -> list[Got]:
    """The spans of requests."""
    return [each for each in here.spans() if each.kind == "server"]


def test_a_request_continues_the_callers_trace(server: Running, here: Here) -> None:
    """By W3C Trace Context, on both protocols: who answered, and nothing of what was asked."""
    row = (FEATURE, 2.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0)
    said = server.post(
        "/invocations",
        split_body([row]),
        traceparent=SAMPLED,
        tracestate="vendor=opaque",
        x_promotion_unit=UNIT,
        x_request_id="of-the-test",
        authorization="Bearer planted",
    )
    assert said.status == 200
    versioned = server.post(
        f"/v2/models/{MODEL}/versions/1/infer", V2.encode(), traceparent=SAMPLED
    )
    assert versioned.status in (200, 400)
    first, second = asked(here)
    assert (first.name, first.kind) == ("POST /invocations", "server")
    assert (first.trace, first.parent, first.failed) == (TRACE, CALLER, False)
    assert second.name == "POST /v2/models/{model}/infer"
    assert (second.trace, second.parent) == (TRACE, CALLER)
    assert second["arm"] == "pinned"
    assert first.attributes == {
        "http.request.method": "POST",
        "http.route": "/invocations",
        "http.response.status_code": 200,
        "promotion.model": MODEL,
        "promotion.version": "1",
        "promotion.arm": "stable",
        "promotion.segment": "default",
        "promotion.generation": server.follower.engine.generation.plan.generation,
        "promotion.request_id": "of-the-test",
        "promotion.rows": 1,
    }
    sent = b"".join(here.collector.bodies)
    for hidden in (str(FEATURE), UNIT, "planted"):
        assert hidden.encode() not in sent


def test_refused_and_failed_requests_say_so(server: Running, here: Here) -> None:
    """A span has the status of the response; what was wrong with the body is not in it."""
    assert server.post("/invocations", b'{"planted', traceparent=SAMPLED).status == 400
    assert server.post("/v2/models/other/infer", b"{}", traceparent=SAMPLED).status == 404
    statuses = [each.attributes["http.response.status_code"] for each in asked(here)]
    assert statuses == [400, 404]
    assert b"planted" not in b"".join(here.collector.bodies)


@pytest.mark.parametrize("given", [UNSAMPLED, "00-zz-1-01", "é", "", "00-" + "0" * 32 + "-1-01"])
def test_nothing_is_recorded_of_what_nobody_samples(
    server: Running, here: Here, given: str
) -> None:
    """The caller's decision holds; a header that is none is as if it were not there."""
    for _ in range(5):
        assert server.ask(traceparent=given).status == 200
    assert len(asked(here)) <= 1


def test_a_share_is_sampled_where_callers_trace_nothing(here: Here) -> None:
    """One of a hundred, unless the environment names a sampler."""
    tracer = tracing.request_tracer(MODEL)
    assert tracer is not None
    begun = [tracer.begin("/invocations", {}) for _ in range(10_000)]
    assert 50 <= sum(each is not None for each in begun) <= 170


def test_what_is_not_sampled_costs_next_to_nothing(here: Here) -> None:
    """A tenth of what routing and writing down may cost, with a margin for a busy machine."""
    tracer = tracing.request_tracer(MODEL)
    assert tracer is not None
    headers = {b"content-type": b"application/json", b"traceparent": UNSAMPLED.encode()}
    best: dict[bool, float] = {}
    for known, given in ((False, {}), (True, headers)):
        rounds = []
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(200):
                tracer.begin("/invocations", given)
            rounds.append((time.perf_counter() - began) / 200)
        best[known] = min(rounds)
    print(f"not sampled: {best[False] * 1e6:.1f} µs, with a header {best[True] * 1e6:.1f} µs")
    assert best[False] < 50e-6
    assert best[True] < 100e-6


def test_a_collector_that_hangs_slows_no_request(server: Running, here: Here) -> None:
    """Spans wait in a bounded queue, and what does not fit is lost."""
    here.collector.hangs = True
    for _ in range(600):
        assert server.ask(traceparent=SAMPLED).status == 200
    assert here.collector.bodies == []
