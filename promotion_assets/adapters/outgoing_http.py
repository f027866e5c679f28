"""One HTTP POST to a judged address: as resolved, without redirects, within a deadline."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress

from promotion_assets.notification.addresses import REFUSED, NotSent, Resolve, Target, target_of
from promotion_assets.notification.messages import Request
from promotion_assets.policy.notifications import Notifications

MOST_ANSWER = 64 * 1024
# Refused, and most likely refused again: the request itself is at fault.
_FINAL = frozenset({400, 405, 410, 411, 413, 414, 415, 422, 501})
_WORD = re.compile(r"^[a-z_]{1,60}$")
# Slack's own words for what another attempt will not mend.
_SLACK_FINAL = frozenset({"channel_not_found", "is_archived", "msg_too_long", "no_text"})


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of ``host``; the one way in which the platform looks them up."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def within(seconds: float, look_up: Resolve) -> Resolve:
    """Return ``look_up`` with a limit: the system's own resolver knows none."""

    def _limited(host: str, port: int) -> Sequence[str]:
        answer: Future[Sequence[str]] = Future()

        def _ask() -> None:
            try:
                answer.set_result(look_up(host, port))
            except Exception as error:
                answer.set_exception(error)

        # A daemon: nothing, not even the process's end, waits for one that hangs.
        threading.Thread(target=_ask, name="resolving", daemon=True).start()
        return answer.result(timeout=seconds)

    return _limited


def post(
    request: Request,
    limits: Notifications,
    *,
    verify_tls: bool = True,
    look_up: Resolve = resolve,
) -> None:
    """Send ``request``; a status of 2xx is an arrival.

    Raises:
        NotSent: it was not, or nobody knows; no secret is in the message.
    """
    began = time.monotonic()
    target = target_of(request.url, limits, within(limits.timeout_seconds, look_up))
    left = max(limits.timeout_seconds - (time.monotonic() - began), 0.1)
    with told(target.host, limits.timeout_seconds), Deadline(left) as deadline:
        connection = _connection(target, deadline, verify_tls)
        with closing(connection):
            connection.request("POST", target.path, body=request.body, headers=request.headers)
            with closing(connection.getresponse()) as answer:
                content = answer.read(MOST_ANSWER) if request.slack else b""
    _judge(answer.status, answer.getheader("Retry-After"), target.host)
    if request.slack:
        _judge_slack(content)


@contextmanager
def told(host: str, seconds: float) -> Iterator[None]:
    """Turn what a connection raises into a sentence.

    Raises:
        NotSent: in place of any error of the connection.
    """
    try:
        yield
    except TimeoutError:
        raise NotSent(f"{host} did not answer within {seconds:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise NotSent(f"the certificate of {host} is not valid ({error.verify_message})") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotSent(f"the connection to {host} failed ({type(error).__name__})") from None


class Deadline:
    """Cuts connections off when the time for all of them is over: a socket's own limit is a read's.

    What is cut is a second handle, so that it is the connection whichever object holds it by then.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.passed = False

    def __enter__(self) -> Deadline:
        """Start the clock."""
        self._timer.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Stop it.

        Raises:
            TimeoutError: a connection was cut, whatever came of it.
        """
        self._timer.cancel()
        self._timer.join()
        for handle in self._handles:
            handle.close()
        # An answer that was cut off in its headers looks whole to http.client.
        if self.passed and (error is None or isinstance(error, Exception)):
            raise TimeoutError from None

    def connect(self, target: Target) -> socket.socket:
        """Connect to the address that was judged.

        Raises:
            OSError: it cannot be reached in time.
        """
        left = max(self._ends - time.monotonic(), 0.05)
        opened = socket.create_connection((target.address, target.port), left)
        self._handles.append(opened.dup())
        if self.passed:
            self._cut()
        return opened

    def _cut(self) -> None:
        self.passed = True
        for handle in self._handles:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)


def tls(verify: bool) -> ssl.SSLContext:
    """Return the settings of TLS: certificate and name are verified unless the policy says no."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Plain(http.client.HTTPConnection):
    """Connects to the address that was judged, under the host's name."""

    def __init__(self, target: Target, deadline: Deadline) -> None:
        super().__init__(target.host, target.port)
        self._target = target
        self._deadline = deadline

    def connect(self) -> None:
        """Connect without looking the name up again."""
        self.sock = self._deadline.connect(self._target)


class _Secure(_Plain):
    """The same behind TLS, whose certificate is held against the host's name."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, target: Target, deadline: Deadline, context: ssl.SSLContext) -> None:
        super().__init__(target, deadline)
        self._context = context

    def connect(self) -> None:
        """Connect, and shake hands in the host's name."""
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def _connection(target: Target, deadline: Deadline, verify: bool) -> http.client.HTTPConnection:
    if target.scheme == "https":
        return _Secure(target, deadline, tls(verify))
    if target.scheme == "http":
        return _Plain(target, deadline)
    raise NotSent("the address is not https://host/…")


def _judge(status: int, retry_after: str | None, host: str) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        problem = f"{host} answered {status}; redirects are not followed"
        raise NotSent(problem, most_attempts=REFUSED)
    wait = float(retry_after) if retry_after and re.fullmatch(r"\d{1,6}", retry_after) else None
    most = REFUSED if status in _FINAL else None
    raise NotSent(f"{host} answered {status}", most_attempts=most, wait_seconds=wait)


def _judge_slack(content: bytes) -> None:
    # An incoming webhook says ok in plain text, the Web API in JSON and with status 200 always.
    if content.strip() == b"ok":
        return
    try:
        said = json.loads(content)
    except ValueError:
        raise NotSent("Slack's answer cannot be read") from None
    if isinstance(said, dict) and said.get("ok") is True:
        return
    word = said.get("error") if isinstance(said, dict) else None
    known = word if isinstance(word, str) and _WORD.match(word) else "for a reason of its own"
    most = REFUSED if known in _SLACK_FINAL else None
    raise NotSent(f"Slack refused it ({known})", most_attempts=most)
