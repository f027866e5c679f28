"""Traces by OpenTelemetry, sent by OTLP over HTTP: a provider of the platform's own.

MLflow has another provider, and a program around the platform may have set the global one: both
stay as they are, and so does OpenTelemetry's own notion of the current span.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from promotion_assets.adapters.request_tracing import ServedRequests
from promotion_assets.adapters.tracing import Kind, Value

log = logging.getLogger(__name__)

NAME = "promotion-assets"
# Of requests, where the environment names no sampler: a span each would cost what a small model
# does, and a caller who traces is followed anyway.
REQUEST_SHARE = 0.01
# The end of a process waits this long for spans on their way.
END_SECONDS = 2.0
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_parent: ContextVar[Context] = ContextVar("promotion_parent_span")


def open_tracing(environ: Mapping[str, str]) -> OtlpTracing:
    """Return what traces this process, sending in the background until its end."""
    processor = BatchSpanProcessor(_Calm(OTLPSpanExporter()))
    named = OTELResourceDetector().detect().attributes.get("service.name", NAME)
    resource = Resource.create({"service.name": named, "service.version": version(NAME)})
    ids = _ChosenIds()
    work = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
    sampler = (
        None if environ.get(OTEL_TRACES_SAMPLER) else ParentBased(TraceIdRatioBased(REQUEST_SHARE))
    )
    asked = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
    for provider in (work, asked):
        provider.add_span_processor(processor)
    _end_with_process(processor)
    return OtlpTracing(work, asked, ids, processor)


class OtlpTracing:
    """The :class:`promotion_assets.adapters.tracing.Tracing` on OpenTelemetry's SDK."""

    def __init__(
        self,
        work: TracerProvider,
        asked: TracerProvider,
        ids: _ChosenIds,
        processor: BatchSpanProcessor,
    ) -> None:
        self.processor = processor
        self._tracer = work.get_tracer(NAME)
        self._sampler: Sampler = work.sampler
        self._ids = ids
        self._asked = asked

    @contextmanager
    def span(
        self, name: str, attributes: Mapping[str, Value | None], kind: Kind
    ) -> Iterator[_Recorded]:
        """Open a span; see the protocol."""
        # Never the library's current context: a span of MLflow's is no parent of ours.
        parent = _parent.get(Context())
        made = self._tracer.start_span(
            name, context=parent, kind=_KINDS[kind], attributes=_named(attributes)
        )
        token = _parent.set(set_span_in_context(made, Context()))
        try:
            yield _Recorded(made)
        except BaseException as error:
            # The message may hold values of rows: its kind is enough to know where to look.
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(StatusCode.ERROR)
            raise
        finally:
            _parent.reset(token)
            made.end()

    @contextmanager
    def within(self, run: str) -> Iterator[None]:
        """Make the run's span the parent, though it is made only when the run is over."""
        trace, root = _ids_of(run)
        flags = TraceFlags.SAMPLED if self._samples(trace) else TraceFlags.DEFAULT
        place = SpanContext(trace, root, is_remote=True, trace_flags=TraceFlags(flags))
        token = _parent.set(set_span_in_context(NonRecordingSpan(place), Context()))
        try:
            yield
        finally:
            _parent.reset(token)

    def ended(
        self,
        run: str,
        name: str,
        began: float | None,
        attributes: Mapping[str, Value | None],
    ) -> str:
        """Make the span of a whole run; see the protocol."""
        trace, root = _ids_of(run)
        start = None if began is None else int(began * 1e9)
        with self._ids.chosen(trace, root):
            made = self._tracer.start_span(
                name, context=Context(), start_time=start, attributes=_named(attributes)
            )
        sampled = made.is_recording()
        made.end()
        return f"{trace:032x}" if sampled else ""

    def requests(self, model: str) -> ServedRequests:
        """Return what makes the spans of requests to ``model``."""
        return ServedRequests(self._asked.get_tracer(NAME), model)

    def _samples(self, trace: int) -> bool:
        asked = self._sampler.should_sample(Context(), trace, "run")
        return asked.decision is Decision.RECORD_AND_SAMPLE


class _Recorded:
    """A span of OpenTelemetry's as a span of ours."""

    def __init__(self, made: OtelSpan) -> None:
        self._made = made

    @property
    def traceparent(self) -> str:
        """Name it in the form of W3C Trace Context."""
        place = self._made.get_span_context()
        return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags & 1:02x}"

    def note(self, **attributes: Value | None) -> None:
        """Write down what is known by now."""
        self._made.set_attributes(_named(attributes))


class _ChosenIds(IdGenerator):
    """Random ids, unless somebody in this thread has chosen them."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._chosen = threading.local()

    @contextmanager
    def chosen(self, trace: int, span: int) -> Iterator[None]:
        """Give these to the span that is made meanwhile."""
        self._chosen.ids = (trace, span)
        try:
            yield
        finally:
            self._chosen.ids = None

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        ids = getattr(self._chosen, "ids", None)
        return ids[0] if ids else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        ids = getattr(self._chosen, "ids", None)
        return ids[1] if ids else self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Return whether samplers may take them for random: a hash is as good."""
        return True


class _Calm(SpanExporter):
    """Says once that the collector does not take spans, and once that it does again."""

    def __init__(self, inner: OTLPSpanExporter) -> None:
        self._inner = inner
        self._fails = False
        self._sending = threading.local()
        # Only what is said while this exporter sends: MLflow may have one of its own.
        logging.getLogger(OTLPSpanExporter.__module__).addFilter(self._is_anothers)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; what cannot be sent is lost."""
        self._sending.now = True
        try:
            result = self._inner.export(spans)
        except Exception:  # whatever it is, only traces are lost
            result = SpanExportResult.FAILURE
        finally:
            self._sending.now = False
        fails = result is not SpanExportResult.SUCCESS
        if fails != self._fails:
            self._fails = fails
            said = "does not take traces; they are lost until it does" if fails else "takes traces"
            log.warning("the collector of OTEL_EXPORTER_OTLP_ENDPOINT %s", said)
        return result

    def shutdown(self) -> None:
        """End what is under way."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return at once: nothing is kept here."""
        return True

    def _is_anothers(self, _: logging.LogRecord) -> bool:
        return not getattr(self._sending, "now", False)


def _named(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {f"promotion.{name}": v for name, v in attributes.items() if v is not None and v != ""}


def _ids_of(run: str) -> tuple[int, int]:
    """Return the ids of a run's trace and of its own span: the same in each of its processes.

    A hash, since samplers take the bits of a trace's id for random and those of a UUID are not.
    """
    digest = hashlib.sha256(f"{NAME} run {run}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def _end_with_process(processor: BatchSpanProcessor) -> None:
    """Send what is left when the process ends, and let nobody wait for it for long."""
    ends = threading.Event()

    def _close() -> None:
        ends.wait()
        processor.shutdown()  # type: ignore[no-untyped-call]

    # Begun now: at its end an interpreter starts no more threads.
    closing = threading.Thread(target=_close, name="closing-traces", daemon=True)
    closing.start()

    def _end() -> None:
        ends.set()
        closing.join(END_SECONDS)

    atexit.register(_end)
