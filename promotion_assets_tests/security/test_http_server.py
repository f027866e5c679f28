"""Strangers at the sockets: heads without end, requests that never end, two meanings of one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from promotion_assets.adapters.http_server import GuardedProtocol, listening


class Hasty(GuardedProtocol):
    """The protocol of our servers, with less patience."""

    request_seconds = 0.5
    most_request_bytes = 1024**2


@contextmanager
def served(**settings: Any) -> Iterator[int]:
    """Serve an application that says how long bodies are; give its port."""
    app = FastAPI()

    @app.post("/")
    async def _length(request: Request) -> int:
        return len(await request.body())

    given = {**listening(), "http": Hasty, "log_config": None, "access_log": False, **settings}
    server = uvicorn.Server(uvicorn.Config(app, port=0, **given))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    began = time.monotonic()
    while not server.started:
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """One server for all attacks: each must leave it able to answer the next."""
    with served() as found:
        yield found


def said(port: int, *parts: bytes, wait: float = 10.0) -> bytes:
    """Send parts, and return all that comes back until the server hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            while found := connection.recv(65536):
                answer += found
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


HEAD = b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
GOOD = HEAD + b"Content-Length: 3\r\n\r\nabc"


def test_what_fits_is_answered_without_a_word_about_the_server(port: int) -> None:
    """The control; no answer names the software, and none may be taken for another type."""
    answer = said(port, GOOD)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n3")
    head = answer.lower()
    assert b"x-content-type-options: nosniff" in head
    assert b"server:" not in head


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"a" * 1_000_000,
        HEAD + b"X: a\r\n" * 200_000,
        b"POST /" + b"a" * 1_000_000,
    ],
    ids=["one header", "many headers", "address"],
)
def test_a_head_without_end_is_not_kept(port: int, head: bytes) -> None:
    """The server hangs up long before it has all of it, and goes on answering."""
    answer = said(port, head)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    assert said(port, GOOD).startswith(b"HTTP/1.1 200")


def test_uvicorn_alone_would_keep_it() -> None:
    """The control of the test above: without the guard a megabyte of header are taken."""
    with served(http=HttpToolsProtocol) as port:
        answer = said(port, HEAD + b"X: " + b"a" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST / HT", HEAD + b"X-Slow: ", HEAD + b"Content-Length: 9\r\n\r\nabc"],
    ids=["nothing", "a line", "a head", "a body"],
)
def test_a_request_that_never_ends_is_ended(port: int, begun: bytes) -> None:
    """Whoever sends no end is told so when the time is over, and holds no connection."""
    began = time.monotonic()
    answer = said(port, begun)
    assert time.monotonic() - began < 5
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_byte_now_and_then_buys_no_time(port: int) -> None:
    """Slowloris: the clock is the request's, not the pause's."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(HEAD)
        connection.settimeout(0.1)
        answer = b""
        while not answer and time.monotonic() - began < 5:
            try:
                connection.sendall(b"X: a\r\n")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_second_request_has_its_own_time(port: int) -> None:
    """A connection that is kept may rest longer than a request may take."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.7)
        connection.sendall(b"POST / HTTP/1.1\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_trailers_without_end_are_not_kept(port: int) -> None:
    """What follows the last chunk is no header, and as limited as the rest."""
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    assert said(port, chunked + b"Evil: 1\r\n\r\n").endswith(b"3")
    answer = said(port, chunked, b"X: " + b"a" * 3_000_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length: 3\n\r\n\r\nabc",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b" Folded: header\r\nContent-Length: 3\r\n\r\nabc",
        b"X: a\r\nY\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_a_request_with_two_meanings_is_refused(port: int, head: bytes) -> None:
    """A proxy that reads its length another way would let a second request slip past."""
    answer = said(port, HEAD + head)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
