"""Spans of served requests: only where sampled, continuing the caller's trace."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from promotion_assets.serving.engine import Reply

PARENT, STATE = b"traceparent", b"tracestate"
_PROPAGATOR = TraceContextTextMapPropagator()


class ServedRequests:
    """The :class:`promotion_assets.serving.tracing.RequestTracer` on OpenTelemetry."""

    def __init__(self, tracer: Tracer, model: str) -> None:
        self._tracer = tracer
        self._model = model

    def begin(self, route: str, headers: Mapping[bytes, bytes]) -> ServedRequest | None:
        """Begin the span of a request; see the protocol."""
        context = Context()
        if PARENT in headers:
            carried = {
                name.decode(): headers[name].decode("latin-1")
                for name in (PARENT, STATE)
                if name in headers
            }
            context = _PROPAGATOR.extract(carried, context)
        made = self._tracer.start_span(f"POST {route}", context=context, kind=SpanKind.SERVER)
        return ServedRequest(made, route, self._model) if made.is_recording() else None


class ServedRequest:
    """One request that is traced: where it went and how it ended, nothing of what it asked."""

    __slots__ = ("_made", "_model", "_route")

    def __init__(self, made: Span, route: str, model: str) -> None:
        self._made = made
        self._model = model
        self._route = route

    def end(self, status: int, reply: Reply | None) -> None:
        """End it; see the protocol."""
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.route": self._route,
            "http.response.status_code": status,
            "promotion.model": self._model,
        }
        if reply is not None:
            attributes |= {
                "promotion.version": reply.arm.version,
                "promotion.arm": reply.role,
                "promotion.segment": reply.segment,
                "promotion.generation": reply.generation,
                "promotion.request_id": reply.request_id,
                "promotion.rows": len(reply.predictions),
            }
        self._made.set_attributes(attributes)
        if status >= 500:
            self._made.set_status(StatusCode.ERROR)
        self._made.end()
