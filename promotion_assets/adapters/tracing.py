"""Traces of what the platform does: spans with names and figures, or nothing at all.

Where no collector is named, or the extra ``otel`` is not installed, a span is one shared object
that does nothing. A span holds names, digests, figures and outcomes that the ledger has as well,
never rows, messages or headers: a trace goes to people who may read neither.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from promotion_assets.serving.tracing import RequestTracer

log = logging.getLogger(__name__)

Value = str | int | float | bool
Kind = Literal["internal", "client"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"


class Span(Protocol):
    """Something that takes a while, with what is known of it."""

    @property
    def traceparent(self) -> str:
        """Name it to another process by W3C Trace Context; empty where nothing is traced."""

    def note(self, **attributes: Value | None) -> None:
        """Write down what is known by now; ``None`` is nothing."""


class Tracing(Protocol):
    """What makes spans."""

    def span(
        self, name: str, attributes: Mapping[str, Value | None], kind: Kind
    ) -> AbstractContextManager[Span]:
        """Return a span, under the one that is open in this thread."""

    def within(self, run: str) -> AbstractContextManager[None]:
        """Have spans belong to the trace of a run, whichever process makes them."""

    def ended(
        self,
        run: str,
        name: str,
        began: float | None,
        attributes: Mapping[str, Value | None],
    ) -> str:
        """Make the span of a whole run, over all that were made within it; return the trace's id.

        Args:
            began: when the run began, in seconds since 1970.

        Returns:
            Nothing where this run is not sampled.
        """

    def requests(self, model: str) -> RequestTracer:
        """Return what makes the spans of requests to ``model``."""


class _Nothing:
    """A span, and all else, where nothing is traced."""

    traceparent = ""

    def note(self, **_: Value | None) -> None:
        """Forget it."""

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        return None


_NOTHING = _Nothing()
_tracing: Tracing | None = None
_looked = False


def start_tracing(environ: Mapping[str, str]) -> None:
    """Trace what this process does from now on, if the environment names a collector.

    The names are OpenTelemetry's own, and its library reads the others of them. The first call
    that finds one decides for the process. Whatever is wrong with it is logged and goes no
    further: no evaluation fails because nobody watches it.
    """
    global _looked, _tracing
    if _looked or not _asked(environ):
        return
    _looked = True
    try:
        from promotion_assets.adapters.otlp import open_tracing
    except ImportError:
        log.warning("no traces: install the extra promotion-assets[otel]")
        return
    try:
        _tracing = open_tracing(environ)
    except Exception as error:  # a library's defect, or a setting that it cannot read
        log.warning("no traces: OpenTelemetry cannot be set up (%s)", type(error).__name__)


def traced() -> bool:
    """Return whether anything is traced."""
    return _tracing is not None


def span(
    name: str, kind: Kind = "internal", **attributes: Value | None
) -> AbstractContextManager[Span]:
    """Return a span to be open while something is done.

    Args:
        attributes: names, digests and figures alone; each is written as ``promotion.<name>``.
    """
    if _tracing is None:
        return _NOTHING
    return _tracing.span(name, attributes, kind)


def within_run(run: str | None) -> AbstractContextManager[object]:
    """Have spans belong to the one trace of a run, whichever of its processes makes them."""
    if _tracing is None or not run:
        return _NOTHING
    return _tracing.within(run)


def run_ended(run: str, name: str, began: float | None, /, **attributes: Value | None) -> str:
    """Make the span of a whole run; return its trace's id, empty where nothing is traced."""
    return "" if _tracing is None else _tracing.ended(run, name, began, attributes)


def request_tracer(model: str) -> RequestTracer | None:
    """Return what makes the spans of requests to ``model``, ``None`` where nothing is traced."""
    return None if _tracing is None else _tracing.requests(model)


def _asked(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("", "otlp"):
        return False
    if not any(environ.get(name) for name in ENDPOINTS):
        return False
    protocol = next((environ[name] for name in PROTOCOLS if environ.get(name)), SPOKEN)
    if protocol.strip() != SPOKEN:
        log.warning("no traces: %s is asked for, and only %s is spoken", protocol, SPOKEN)
        return False
    return True
