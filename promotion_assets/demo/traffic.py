"""The demo's traffic: real customers, asked about one by one, and what became of them later.

Time is the demo's own. It goes on with every request, a few minutes each, so that four days pass
while the server answers as fast as it does on this machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd
import uvicorn
from fastapi import FastAPI

from promotion_assets.demo.data import LABEL, UNIT, features_of
from promotion_assets.errors import Unreachable

HOST = "127.0.0.1"
START_SECONDS = 60.0
# The shadow's queue holds a thousand; a server whose shadow falls behind would drop and count.
MOST_WAITING = 150
LOOK_EVERY = 50
# An outcome is known of everybody within a day, of nobody at once.
EARLIEST_HOURS, LATEST_HOURS = 4, 20
_SHADOW = re.compile(r'^promotion_shadow_rows(?:_total)?\{.*what="(\w+)".*\} (\S+)$', re.MULTILINE)


@dataclass
class DemoClock:
    """A clock that goes on when it is told to."""

    now: datetime

    def __call__(self) -> datetime:
        """Return what time it is."""
        return self.now

    def advance(self, span: timedelta) -> None:
        """Go on by ``span``."""
        self.now += span


@dataclass
class Traffic:
    """Customers to be asked about, and the clock that goes on with them.

    Attributes:
        customers: features, id and label.
        span: how long it takes on the clock, from the first to the last.
    """

    customers: pd.DataFrame
    clock: DemoClock
    span: timedelta
    answered: int = 0
    told: dict[str, int] = field(default_factory=dict)

    def play(self, port: int, parts: int) -> Iterator[timedelta]:
        """Ask about everybody, tell outcomes as they become known; stop ``parts`` times on the way.

        Yields:
            How much time has passed on the clock, after each part, when the shadow has answered
            all that it was asked.

        Raises:
            Unreachable: the server or the shadow does not answer.
        """
        begun, step = self.clock.now, self.span / len(self.customers)
        due: deque[tuple[datetime, str, int]] = deque()
        with contextlib.closing(http.client.HTTPConnection(HOST, port, timeout=60)) as line:
            bodies = _bodies(self.customers)
            stops = {round(len(bodies) * part / parts) for part in range(1, parts + 1)}
            for number, (unit, label, body) in enumerate(bodies, 1):
                self.clock.advance(step)
                request_id = f"demo-{self.clock.now:%Y%m%d%H%M%S}-{unit}"
                self._ask(line, request_id, unit, body)
                due.append((self.clock.now + _known_after(number), request_id, label))
                if number == 1:
                    # Its process is still loading: days would pass on the clock meanwhile.
                    _wait_for_shadow(line, 0)
                if number % LOOK_EVERY == 0:
                    self._tell(line, due)
                    _wait_for_shadow(line, MOST_WAITING)
                if number in stops:
                    self._tell(line, due)
                    _wait_for_shadow(line, 0)
                    # What was answered at this very moment is past for whoever looks now.
                    self.clock.advance(timedelta(seconds=1))
                    # A report may take longer than the server keeps a silent line open; the next
                    # request opens another.
                    line.close()
                    yield self.clock.now - begun

    def _ask(
        self, line: http.client.HTTPConnection, request_id: str, unit: str, body: bytes
    ) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-Promotion-Request-Id": request_id,
            "X-Promotion-Unit": unit,
        }
        status, _ = _request(line, "POST", "/invocations", body, headers)
        self.answered += status == 200

    def _tell(
        self, line: http.client.HTTPConnection, due: deque[tuple[datetime, str, int]]
    ) -> None:
        """Tell what has become known by now."""
        known = [one for one in due if one[0] <= self.clock.now]
        if not known:
            return
        outcomes = [
            {"request_id": name, "label": label, "observed_at": at.isoformat()}
            for at, name, label in known
        ]
        body = json.dumps({"outcomes": outcomes}).encode()
        status, content = _request(
            line, "POST", "/outcomes", body, {"Content-Type": "application/json"}
        )
        if status != 200:
            raise _silent(f"/outcomes answered {status}: {content[:200]!r}")
        for name, count in json.loads(content).items():
            if isinstance(count, int):
                self.told[name] = self.told.get(name, 0) + count
        left = [one for one in due if one[0] > self.clock.now]
        due.clear()
        due.extend(left)


@contextlib.contextmanager
def answering(make_app: Callable[[], FastAPI]) -> Iterator[int]:
    """Run a server in a thread of this process, on a free port; give the port.

    Raises:
        Unreachable: it does not start.
    """
    server = uvicorn.Server(
        uvicorn.Config(make_app(), host=HOST, port=0, log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, name="demo-server", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    try:
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise _silent("it did not start")
            time.sleep(0.02)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)


def _bodies(customers: pd.DataFrame) -> list[tuple[str, int, bytes]]:
    names = features_of(customers)
    records = customers[names].to_dict("records")
    return [
        (str(unit), int(label), json.dumps({"dataframe_records": [row]}).encode())
        for unit, label, row in zip(customers[UNIT], customers[LABEL], records, strict=True)
    ]


def _known_after(number: int) -> timedelta:
    return timedelta(hours=EARLIEST_HOURS + number * 7 % (LATEST_HOURS - EARLIEST_HOURS + 1))


def _wait_for_shadow(line: http.client.HTTPConnection, most: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        _, text = _request(line, "GET", "/metrics", b"", {})
        counts = {what: float(n) for what, n in _SHADOW.findall(text.decode())}
        waiting = counts.pop("sampled", 0.0) - sum(
            n for what, n in counts.items() if what != "restarts"
        )
        if waiting <= most:
            return
        time.sleep(0.05)
    raise _silent("its shadow does not keep up")


def _request(
    line: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    try:
        line.request(method, path, body or None, headers)
        answer = line.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise _silent(f"{path}: {type(error).__name__}: {error}") from error


def _silent(problem: str) -> Unreachable:
    return Unreachable(
        "playing the demo's traffic",
        problem,
        "see that the demo's server still runs, and start the demo again",
    )
