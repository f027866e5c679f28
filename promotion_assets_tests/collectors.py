"""A collector that really listens: OTLP over HTTP, decoded by OpenTelemetry's own messages."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from promotion_assets.adapters import otlp, tracing

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True)
class Got:
    """A span as it came in."""

    name: str
    trace: str
    id: str
    parent: str
    kind: str
    failed: bool
    began: int
    ended: int
    attributes: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return one of the platform's attributes."""
        return self.attributes[f"promotion.{name}"]


@dataclass
class Collector:
    """What came in, and how to answer."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    hangs: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        """All requests, decoded."""
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]

    @property
    def resource(self) -> dict[str, Any]:
        """Who sent the last request."""
        return _read(self.requests[-1].resource_spans[0].resource.attributes)

    @property
    def spans(self) -> list[Got]:
        """All spans, in the order of their beginning."""
        found = [
            _got(span)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.began)

    def named(self, name: str) -> list[Got]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Listen on a free port of this host."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.hangs:
                found.released.wait(30)
                return
            if self.path == "/v1/traces" and found.status == 200:
                found.bodies.append(body)
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Processes that end do not wait for the answer."""

    server = Server(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def collecting() -> Iterator[Collector]:
    """A collector that takes everything."""
    with collector() as found:
        yield found


@dataclass
class Here:
    """This process, traced."""

    collector: Collector
    tracing: otlp.OtlpTracing

    def spans(self) -> list[Got]:
        """Everything that has ended so far."""
        assert self.tracing.processor.force_flush()
        return self.collector.spans


@pytest.fixture
def here(collecting: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Trace this process while the test runs."""
    monkeypatch.setenv(ENDPOINT, collecting.url)
    monkeypatch.setattr(tracing, "_looked", False)
    monkeypatch.setattr(tracing, "_tracing", None)
    tracing.start_tracing(os.environ)
    made = tracing._tracing
    assert isinstance(made, otlp.OtlpTracing)
    yield Here(collecting, made)
    collecting.hangs = False
    collecting.released.set()
    made.processor.shutdown()


def _got(span: Message) -> Got:
    return Got(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Message.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.code == 2,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_read(span.attributes),
    )


def _read(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
