"""From an HTTP request to a question and back, without a framework in between.

Routing, dependency injection and validation by a framework take longer than a small model. The
two addresses that customers wait for are answered here, by ASGI itself; the rest is FastAPI's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, Protocol

from promotion_assets.errors import PromotionError, RequestRefused
from promotion_assets.serving.engine import Ask, Engine, Reply
from promotion_assets.serving.model import ModelFailed
from promotion_assets.serving.payload import DOING, Payload, read_inference, read_invocation
from promotion_assets.serving.tracing import RequestTracer
from promotion_assets.serving.web.refusals import error_content

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Larger ones are answered in another thread, so that reading them holds up nobody.
INLINE_BYTES = 16 * 1024
LONGEST_NAME = 200
READ_PAST_BYTES, READ_PAST_SECONDS = 64 * 1024**2, 10.0
REQUEST_IDS = (b"x-promotion-request-id", b"x-request-id")
UNIT, SEGMENT = b"x-promotion-unit", b"x-promotion-segment"
ATTRIBUTE = b"x-promotion-attribute-"
JSON = b"application/json"


class Dialect(Protocol):
    """How a protocol writes questions and answers.

    Attributes:
        route: its address, without names in it.
    """

    route: str

    def read(self, body: bytes, content_type: str) -> Payload:
        """Read a question; raises ``RequestRefused``."""

    def write(self, reply: Reply, payload: Payload, model: str) -> bytes:
        """Write an answer."""


class Invocations:
    """MLflow's ``/invocations``."""

    route = "/invocations"

    def read(self, body: bytes, content_type: str) -> Payload:
        """Read one of MLflow's forms."""
        return read_invocation(body, content_type or "application/json")

    def write(self, reply: Reply, payload: Payload, model: str) -> bytes:
        """Write ``{"predictions": [...]}``."""
        return b'{"predictions": [' + ", ".join(reply.predictions).encode() + b"]}"


class Inference:
    """``infer`` of the Open Inference Protocol V2."""

    route = "/v2/models/{model}/infer"

    def read(self, body: bytes, content_type: str) -> Payload:
        """Read an inference request."""
        return read_inference(body)

    def write(self, reply: Reply, payload: Payload, model: str) -> bytes:
        """Write an inference response with one output."""
        answered = [json.loads(text) for text in reply.predictions]
        response = {
            "model_name": model,
            "model_version": reply.arm.version,
            "id": reply.request_id,
            "outputs": [_output(answered)],
        }
        return json.dumps(response).encode()


class Questions:
    """An ASGI application that answers the questions of one dialect.

    Args:
        pool: threads for what takes long.
        tracer: traces some of the requests; ``None`` costs nothing.
    """

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        pool: ThreadPoolExecutor,
        tracer: RequestTracer | None = None,
    ) -> None:
        self._engine = engine
        self._dialect = dialect
        self._pool = pool
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        headers = dict(scope["headers"])
        traced = None
        if self._tracer is not None:
            traced = self._tracer.begin(self._dialect.route, headers)
        if traced is None:
            await self._said(scope, headers, receive, send)
            return
        status, reply = 500, None
        try:
            status, reply = await self._said(scope, headers, receive, send)
        finally:
            traced.end(status, reply)

    async def _said(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send
    ) -> tuple[int, Reply | None]:
        """Answer, and return the status of what was sent and who answered."""
        request_id = ""
        try:
            request_id = self._name(headers)
            body = await self._body(headers, receive)
            reply, content = await self._answered(scope, headers, request_id, body)
        except RequestRefused as refused:
            self._engine.metrics.refused(refused.status)
            await respond_error(send, refused, refused.status, request_id)
            return refused.status, None
        except ModelFailed as failed:
            await respond_error(send, self._failed(failed), 500, request_id)
            return 500, None
        except Exception as error:
            log.exception("answering request %s", request_id)
            await respond_error(send, self._failed(error), 500, request_id)
            return 500, None
        await respond(send, 200, content, _named(reply))
        return 200, reply

    async def _answered(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: str, body: bytes
    ) -> tuple[Reply, bytes]:
        named = scope.get("path_params", {})
        version = named.get("version")
        if named.get("model", self._engine.model) != self._engine.model:
            _refuse(f"it asks for {named['model'][:100]!r}", f"ask {self._engine.model}", 404)
        if len(body) <= INLINE_BYTES and self._engine.generation.quick:
            return self._answer(headers, request_id, body, version)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, self._answer, headers, request_id, body, version
        )

    def _answer(
        self, headers: Mapping[bytes, bytes], request_id: str, body: bytes, version: str | None
    ) -> tuple[Reply, bytes]:
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        payload = self._dialect.read(body, content_type)
        segment = _text(headers.get(SEGMENT, b""))
        reply = self._engine.answer(
            Ask(
                payload,
                request_id,
                _text(headers.get(UNIT, b"")),
                segment or None,
                _attributes(headers),
                version,
            )
        )
        return reply, self._dialect.write(reply, payload, self._engine.model)

    def _name(self, headers: Mapping[bytes, bytes]) -> str:
        for header in REQUEST_IDS:
            given = _text(headers.get(header, b""))
            if len(given) > LONGEST_NAME:
                _refuse(f"its id has {len(given)} characters", f"use at most {LONGEST_NAME}")
            if given:
                return given
        return self._engine.recorder.new_id()

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        most = self._engine.policy.body_bytes
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most:
            await _read_past(receive)
            _too_large(int(declared), most)
        message = await receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
            if len(body) > most:
                await _read_past(receive)
                _too_large(len(body), most)
        if message["type"] == "http.disconnect":
            _refuse("the caller left before it was there", "send the whole request")
        return body

    def _failed(self, error: Exception) -> PromotionError:
        said = str(error) if isinstance(error, ModelFailed) else type(error).__name__
        return PromotionError(
            f"answering a request to {self._engine.model}",
            f"no version answered ({said})",
            "try again; if it lasts, see /v2/health/ready and the server's log",
        )


async def respond(
    send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Send one response whole."""
    length = (b"content-length", str(len(content)).encode())
    start = [(b"content-type", JSON), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def respond_error(send: Send, error: PromotionError, status: int, request_id: str) -> None:
    """Send an error in its three parts, in the form that MLflow's clients read."""
    headers = [(b"x-request-id", request_id.encode("latin-1", "replace"))]
    if status == 413:
        # Whatever is still on its way is not read as another request.
        headers.append((b"connection", b"close"))
    await respond(send, status, error_content(error, status), headers)


def _named(reply: Reply) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-promotion-version", reply.arm.version.encode()),
        (b"x-promotion-arm", reply.role.encode()),
        (b"x-promotion-segment", reply.segment.encode("latin-1", "replace")),
        (b"x-promotion-generation", str(reply.generation).encode()),
        (b"x-request-id", reply.request_id.encode("latin-1", "replace")),
    ]


def _text(value: bytes) -> str:
    """Return a header's text: UTF-8 where it is that, else as HTTP has it."""
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        return value.decode("latin-1").strip()


def _attributes(headers: Mapping[bytes, bytes]) -> dict[str, str] | None:
    found = {
        _text(name[len(ATTRIBUTE) :]): _text(value)
        for name, value in headers.items()
        if name.startswith(ATTRIBUTE)
    }
    return found or None


def _output(answered: list[Any]) -> dict[str, Any]:
    """Return predictions as one tensor."""
    wide = bool(answered) and all(isinstance(row, list) for row in answered)
    flat = [value for row in answered for value in row] if wide else answered
    shape = [len(answered), len(answered[0])] if wide else [len(answered)]
    kinds = set(map(type, flat))
    if kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {int}:
        datatype = "INT64"
    elif kinds <= {int, float}:
        datatype = "FP64"
    else:
        datatype = "BYTES"
        flat = [v if isinstance(v, str) else json.dumps(v) for v in flat]
    return {"name": "predict", "shape": shape, "datatype": datatype, "data": flat}


async def _read_past(receive: Receive) -> None:
    """Read a body that is too large to its end, within reason.

    A caller who is cut off while it sends sees a broken connection, and not what is wrong.
    """
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_PAST_SECONDS):
            while read < READ_PAST_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _too_large(size: int, most: int) -> NoReturn:
    _refuse(f"it has {size:,} bytes", f"send at most {most:,} bytes at once", 413)


def _refuse(problem: str, next_step: str, status: int = 400) -> NoReturn:
    raise RequestRefused(DOING, problem, next_step, status)
