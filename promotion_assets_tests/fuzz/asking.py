"""Requests put to an ASGI application of ours in this process, with any headers and any body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from promotion_assets_tests.fuzz.contract import holds

Headers = Sequence[tuple[bytes, bytes]]
THREE_PARTS = ({"doing", "problem", "next"}, {"doing", "error", "next_step"})


class Answer(NamedTuple):
    """One response."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)


class Caller:
    """Asks one application."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop

    def post(self, path: str, body: bytes, headers: Headers) -> Answer:
        """Send ``body`` in two parts, as a network would."""
        return self._loop.run_until_complete(self._post(path, body, headers))

    async def _post(self, path: str, body: bytes, headers: Headers) -> Answer:
        half = len(body) // 2
        parts = [(body[:half], True), (body[half:], False)]
        status, content = 0, bytearray()

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            part, more = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": more}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8000),
        }
        await self._app(scope, receive, send)
        return Answer(status, bytes(content))


@contextmanager
def calling(app: Any) -> Iterator[Caller]:
    """Give what asks ``app``, which starts and ends as under a server."""
    loop = asyncio.new_event_loop()
    alive = app.router.lifespan_context(app)
    loop.run_until_complete(alive.__aenter__())
    try:
        yield Caller(app, loop)
    finally:
        loop.run_until_complete(alive.__aexit__(None, None, None))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def taken_apart(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of an input in HTTP's form: lines, an empty one, the rest.

    What an HTTP server would not let through (a colon missing, control characters) is left out.
    """
    head, found, body = data.partition(b"\n\n")
    if not found:
        return [], data
    headers = []
    for line in head.split(b"\n")[:50]:
        name, colon, value = line.partition(b":")
        name = bytes(c for c in name.strip().lower() if 33 <= c < 127)
        value = bytes(c for c in value.strip() if c >= 32 and c != 127)[:8000]
        # A server closes the connection on a length that is none.
        if colon and name and name not in (b"content-length", b"transfer-encoding"):
            headers.append((name, value))
    return headers, body


def merged(given: Headers, own: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers in which ``own`` stand in for what was not ``given``."""
    names = {name for name, _ in given}
    return [*given, *((name, value) for name, value in own if name not in names)]


def well_answered(answer: Answer) -> None:
    """Hold an answer to be one: done, or refused in three parts, and never a defect."""
    holds(200 <= answer.status < 500, f"{answer.status}: {answer.body[:300]!r}")
    if answer.status < 300:
        return
    said = answer.json
    parts = next((p for p in THREE_PARTS if p <= said.keys()), None)
    holds(parts, f"{answer.status} without its three parts: {answer.body[:300]!r}")
    holds(all(said[part].strip() for part in parts or ()), f"an empty part: {said}")
