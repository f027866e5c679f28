"""How our servers listen: limits on what a stranger may send before anything of ours sees it.

uvicorn with httptools takes headers of any length and waits for the rest of a request for ever;
either one lets a few connections take the memory or all the file descriptors of a host.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
# More than any limit on a body, so that a server can still say what is wrong with a large one.
MOST_REQUEST_BYTES = 128 * 1024**2
REQUEST_SECONDS = 60.0
# For the servers that people and pipelines ask, not for the one that answers customers.
MOST_CONNECTIONS = 1000


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit on a request's head, on all of it, and on the time for sending it."""

    most_head_bytes = MOST_HEAD_BYTES
    most_request_bytes = MOST_REQUEST_BYTES
    request_seconds = REQUEST_SECONDS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._in_head = True
        self._whole = False
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.request_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; refuse what grows without end."""
        super().data_received(data)
        if self._whole:
            # The usual request comes in one piece, and costs no clock.
            self._received = 0
            self._stop()
            return
        self._received += len(data)
        if self._in_head and self._received > self.most_head_bytes:
            self._refuse(431, "Request Header Fields Too Large")
        elif self._received > self.most_request_bytes:
            self._refuse(413, "Content Too Large")
        elif self._timer is None:
            self._timer = self.loop.call_later(self.request_seconds, self._too_slow)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._whole, self._in_head = False, True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows a body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._whole = True
        super().on_message_complete()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(408, "Request Timeout")

    def _refuse(self, status: int, reason: str) -> None:
        self._stop()
        if self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete
        unanswered = self.cycle is not None and not self.cycle.response_started
        if answered if self._in_head else unanswered:
            head = f"HTTP/1.1 {status} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


def listening() -> dict[str, Any]:
    """Return the settings of uvicorn that all our servers have in common.

    A forwarded address is believed of nobody: limits count by it.
    """
    return {
        "http": GuardedProtocol,
        "ws": "none",
        "headers": [("X-Content-Type-Options", "nosniff")],
        "proxy_headers": False,
        "server_header": False,
    }
