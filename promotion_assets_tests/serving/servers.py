"""Servers to ask over real HTTP: in a thread of the tests, with everything else real."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from promotion_assets.adapters.event_log import EventLog
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.serving import open_server
from promotion_assets.serving.follower import Follower
from promotion_assets.serving.tracing import RequestTracer
from promotion_assets.serving.web.app import create_app
from promotion_assets_tests.serving.world import MODEL, World, make_world, save_models, split_body
from promotion_assets_tests.waiting import until

POLL = 0.05
ROW = (1.0, 2.0, 0.5, 0.0, 0.0, 0.0, 0.0, 1.0)
# Some versions of the tests break on it.
BROKEN = (9.0, *ROW[1:])
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The versions of the tests, saved once."""
    return save_models(tmp_path_factory.mktemp("versions"))


@pytest.fixture
def world(tmp_path: Path, artifacts: Mapping[str, Path]) -> World:
    """A home in which version 1 is the champion."""
    return new_world(tmp_path / "world", artifacts)


def new_world(folder: Path, artifacts: Mapping[str, Path], **serving: Any) -> World:
    """Return a home in which version 1 is the champion, with a ``serving`` stanza."""
    settings = {"shadow": {"timeout_seconds": 5}, "drain_seconds": 20} | serving
    made = make_world(folder, artifacts, settings)
    made.adopt()
    return made


@dataclass
class Said:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)

    @property
    def predictions(self) -> Any:
        """What MLflow's protocol answers."""
        return self.json["predictions"]


@dataclass
class Client:
    """Asks one server, over one connection."""

    port: int
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str) -> Said:
        """Ask for ``path``."""
        return self._said("GET", path, None, {})

    def post(self, path: str, body: bytes, **headers: str) -> Said:
        """Send ``body``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._said("POST", path, body, JSON | named)

    def ask(self, row: tuple[Any, ...] = ROW, **headers: str) -> Said:
        """Send one row to ``/invocations``."""
        return self.post("/invocations", split_body([row]), **headers)

    def ready(self) -> Any:
        """Return what the server says of itself."""
        return self.get("/v2/health/ready").json

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _said(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Said:
        self.connection.request(method, path, body, dict(headers))
        response = self.connection.getresponse()
        content = response.read()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Said(response.status, named, content)


@dataclass
class Running(Client):
    """A server of this process, and what is behind it."""

    follower: Follower
    world: World

    @property
    def events(self) -> EventLog:
        """The event log, opened anew."""
        return event_log(self.world.workspace())


@contextmanager
def serving(
    world: World, *, poll: float = POLL, tracer: RequestTracer | None = None
) -> Iterator[Running]:
    """Run the server of ``world`` until the block ends; then it has drained."""
    follower = open_server(world.workspace(), MODEL, poll_seconds=poll)
    app = create_app(follower, mlflow_version="3", tracer=tracer)
    server = uvicorn.Server(
        # The newest of its HTTP parsers is named, as the command does by its default.
        uvicorn.Config(
            app,
            port=0,
            http=HttpToolsProtocol,
            log_config=None,
            access_log=False,
            timeout_keep_alive=300,
        )
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, "the server starts")
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Running(port, follower, world)
        try:
            yield running
        finally:
            running.close()
    finally:
        server.should_exit = True
        thread.join()


def rows(events: EventLog, kind: str) -> list[dict[str, Any]]:
    """Return all events of one kind."""
    batches = events.batches(kind, MODEL)  # type: ignore[arg-type]
    return [row for batch in batches for row in batch.to_pylist()]
