"""A line to MLflow's server on which single calls go wrong, in the ways that networks have."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["500", "503", "429", "slow", "dropped", "html"]
# The server has done what it was asked for when these go wrong, and not for the other ones.
DONE = ("slow", "dropped")
FAULTS: tuple[Fault, ...] = ("500", "503", "429", "slow", "dropped", "html")
PAGE = b"<html><body>Please sign in to continue.</body></html>"
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


@dataclass
class Plan:
    """What goes wrong from here on, and what was asked for so far.

    Attributes:
        at: number of the one call that fails; the first is 1. ``None`` is none.
        on: calls fail whose method and path contain this, however many.
        slow_seconds: how long an answer is late.
        calls: method and path of every call.
        hold: calls that are held until they are let go.
    """

    at: int | None = None
    fault: Fault = "500"
    on: str | None = None
    slow_seconds: float = 2.0
    calls: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    hold: Callable[[str], bool] = lambda _: False
    held: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)


class Faulty:
    """A proxy before ``uri``, with one :class:`Plan` at a time."""

    def __init__(self, uri: str, port: int = 0) -> None:
        self.plan = Plan()
        self._to = urlsplit(uri)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()

    def close(self) -> None:
        """End the proxy."""
        self._server.shutdown()
        self._server.server_close()

    def begin(self, plan: Plan) -> Plan:
        """Let ``plan`` hold from the next call on; return it."""
        with self._lock:
            self.plan = plan
        return plan

    def _next(self, call: str) -> Fault | None:
        with self._lock:
            plan = self.plan
            plan.calls.append(call)
            fails = len(plan.calls) == plan.at or (plan.on is not None and plan.on in call)
            if fails:
                plan.failed.append(call)
            return plan.fault if fails else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size) if size else b""
                call = f"{self.command} {self.path}"
                plan, fault = proxy.plan, proxy._next(call)
                if plan.hold(call):
                    plan.held.set()
                    plan.let_go.wait(300)
                if fault is not None and fault not in DONE:
                    self.refuse(fault)
                    return
                status, headers, said = proxy.ask(self.command, self.path, self.headers, body)
                if fault == "slow":
                    time.sleep(plan.slow_seconds)
                self.say(status, headers, said, cut=fault == "dropped")

            def refuse(self, fault: Fault) -> None:
                if fault == "html":
                    self.say(200, {"Content-Type": "text/html"}, PAGE)
                    return
                # An hour, which nobody is to wait.
                headers = {"Content-Type": "text/html", "Retry-After": "3600"}
                self.say(int(fault), headers, b"<h1>error</h1>")

            def say(
                self, status: int, headers: dict[str, str], said: bytes, *, cut: bool = False
            ) -> None:
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(max(len(said), 2)))
                    self.end_headers()
                    self.wfile.write(said[: len(said) // 2] if cut else said.ljust(2))
                except OSError:
                    self.close_connection = True
                if cut:
                    self.close_connection = True

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
            setattr(Handler, f"do_{method}", Handler.answer)
        return Handler

    def ask(
        self, method: str, path: str, headers: Message, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Put a request to the server itself."""
        assert self._to.hostname is not None
        line = http.client.HTTPConnection(self._to.hostname, self._to.port, timeout=60)
        try:
            sent = {k: v for k, v in headers.items() if k.lower() not in _HOP | {"host"}}
            line.request(method, path, body or None, sent | {"Host": self._to.netloc})
            answer = line.getresponse()
            given = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
            return answer.status, given, answer.read()
        finally:
            line.close()
