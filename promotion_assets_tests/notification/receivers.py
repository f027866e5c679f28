"""Receivers that really listen, and do as they are told: answer, hang, close, cut, redirect."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Post:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The id of the event."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """An HTTP receiver.

    Attributes:
        answers: statuses of the coming answers; ``hang`` and ``close`` are such, and the last
            one stays.
        on_post: called with a request before it is answered.
        content: body of every answer.
    """

    url: str = ""
    port: int = 0
    answers: list[int | str] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b"ok"
    posts: list[Post] = field(default_factory=list)
    on_post: Callable[[Post], None] = lambda _: None
    released: threading.Event = field(default_factory=threading.Event)

    def ids(self) -> list[str]:
        """The ids that came in, in order."""
        return [post.id for post in self.posts]


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on a free port of this host, behind TLS where ``context`` is given."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, headers, body)
            found.posts.append(post)
            answer = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            found.on_post(post)
            if answer == "hang":
                found.released.wait(30)
            if not isinstance(answer, int):
                self.close_connection = True
                return
            self.send_response(answer)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that go away are the point of some tests."""

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_port
    found.url = f"{'https' if context else 'http'}://127.0.0.1:{found.port}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class MailServer:
    """A mail server as far as a client needs one: EHLO, STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA.

    Attributes:
        refuse: recipients that are refused.
        mails: what was taken.
        said: every line of the client's; ``in_clear`` are those that came without TLS.
    """

    port: int = 0
    refuse: set[str] = field(default_factory=set)
    mails: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    in_clear: list[str] = field(default_factory=list)


@contextmanager
def mail_server(context: ssl.SSLContext | None = None) -> Iterator[MailServer]:
    """Listen on a free port of this host, and offer STARTTLS where ``context`` is given."""
    found = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            secured = False
            while line := self.rfile.readline().decode().strip():
                found.said.append(line)
                if not secured:
                    found.in_clear.append(line)
                verb = line.split(" ")[0].upper()
                if verb == "EHLO":
                    offered = ["250-STARTTLS"] if context is not None and not secured else []
                    self.say("250-here", *offered, "250 AUTH PLAIN")
                elif verb == "STARTTLS" and context is not None:
                    self.say("220 go on")
                    secured = self.secure(context)
                    if not secured:
                        return
                elif verb == "AUTH":
                    self.say("235 welcome")
                elif verb == "RCPT":
                    refused = any(f"<{name}>" in line for name in found.refuse)
                    self.say("550 unknown" if refused else "250 good")
                elif verb == "DATA":
                    self.say("354 go on")
                    found.mails.append(self.text())
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 good")

        def say(self, *lines: str) -> None:
            with suppress(OSError):
                self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

        def secure(self, context: ssl.SSLContext) -> bool:
            """Begin TLS; the client may not like the certificate."""
            try:
                wrapped = context.wrap_socket(self.connection, server_side=True)
            except OSError:
                return False
            self.connection = wrapped
            self.rfile, self.wfile = wrapped.makefile("rb"), wrapped.makefile("wb", 0)
            return True

        def finish(self) -> None:
            """Close what TLS was put around, too."""
            super().finish()
            self.connection.close()

        def text(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                lines.append(line)
            return "\n".join(lines)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    found.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def drip(begin: bytes) -> Iterator[int]:
    """Answer every request with ``begin`` and a byte now and then, for ever; give the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                found, _ = listening.accept()
                with found, suppress(OSError):
                    found.sendall(begin)
                    while not stopped.wait(0.05):
                        found.sendall(b"H")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        stopped.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)
