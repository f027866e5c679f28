"""Who may tell outcomes: labels decide rollouts, so a stranger's must not count."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fastapi import FastAPI

from promotion_assets.adapters.event_log import EventLog, open_event_log
from promotion_assets.demo.traffic import answering
from promotion_assets.errors import UsageError
from promotion_assets.serving import outcome_routes as routes
from promotion_assets.serving.outcome_access import VARIABLE, OutcomeAccess, is_loopback
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.serving.events import MODEL, request
from promotion_assets_tests.serving.test_outcomes import RULES

TOKEN = "a token of the tests, random enough".replace(" ", "-")
NEXT = TOKEN[::-1]
BODY = json.dumps({"outcomes": [{"request_id": "req-1", "label": 1}]}).encode()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """A log in which one request was answered."""
    found = open_event_log(f"sqlite:///{tmp_path}/events.db")
    found.write([request(1, time_us=1)])
    yield found
    found.close()


def told(
    log: EventLog,
    environ: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    body: bytes = BODY,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Tell an outcome to a server that says it listens at ``host``."""
    access = OutcomeAccess.of(environ, host)

    def _app() -> FastAPI:
        made = FastAPI()
        made.include_router(routes.outcome_routes(log, RULES, Clock(), access))
        return made

    with answering(_app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/outcomes", body, dict(headers))
        answer = connection.getresponse()
        said = answer.status, answer.headers, answer.read()
        connection.close()
    return said


def labels(log: EventLog) -> int:
    """How many outcomes were written."""
    return sum(batch.num_rows for batch in log.batches("outcome", MODEL))


@pytest.mark.parametrize(
    "given",
    [
        "",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ",
        f"Bearer {TOKEN} {NEXT}",
        "Bearer \xff\xfe",
    ],
)
def test_outcomes_without_the_token_are_refused(log: EventLog, given: str) -> None:
    """Even from this host: nothing is written, and the answer names the scheme and no token."""
    status, headers, body = told(log, {VARIABLE: TOKEN}, {"Authorization": given})
    assert status == 401
    assert headers["WWW-Authenticate"] == 'Bearer realm="outcomes"'
    assert TOKEN.encode() not in body
    assert json.loads(body)["error_code"] == "UNAUTHENTICATED"
    assert labels(log) == 0


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {NEXT}"])
def test_outcomes_with_a_token_are_taken_wherever_the_server_listens(
    log: EventLog, given: str
) -> None:
    """Either of two while one is replaced, also through a proxy."""
    environ = {VARIABLE: f"{TOKEN} {NEXT}"}
    headers = {"Authorization": given, "X-Forwarded-For": "203.0.113.9"}
    assert told(log, environ, headers, host="0.0.0.0")[0] == 200
    assert labels(log) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "serve.example.org", ""])
def test_a_server_that_others_reach_takes_no_outcomes_without_a_token(
    log: EventLog, host: str
) -> None:
    """Forgetting the token opens nothing: not even to a proxy beside the server."""
    status, _, body = told(log, {}, {}, host=host)
    assert status == 403
    assert VARIABLE in json.loads(body)["next_step"]
    assert labels(log) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:8080"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_a_web_page_or_proxy_cannot_tell_outcomes_through_this_host(
    log: EventLog, headers: dict[str, str]
) -> None:
    """A page in somebody's browser reaches loopback too, by name (rebinding) or by address."""
    assert told(log, {}, headers)[0] == 403
    assert labels(log) == 0


def test_programs_of_this_host_need_no_token_where_nobody_else_comes(log: EventLog) -> None:
    """The control: what is refused above is refused for cause."""
    assert told(log, {}, {"Content-Type": "application/json"})[0] == 200
    assert labels(log) == 1


def test_a_token_that_could_be_guessed_is_refused_unshown() -> None:
    """The server does not start with it."""
    with pytest.raises(UsageError, match="fewer than 24") as found:
        OutcomeAccess.of({VARIABLE: f"{TOKEN} short-token"}, "127.0.0.1")
    assert "short-token" not in str(found.value)
    assert TOKEN not in repr(OutcomeAccess.of({VARIABLE: TOKEN}, ""))


def test_outcomes_that_exhaust_memory_are_not_read(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body beyond the limit is refused while it comes in, a deep or wide one when parsed."""
    monkeypatch.setattr(routes, "MOST_BYTES", 1000)
    status, headers, said = told(log, {}, {}, body=b" " * 100_000)
    assert status == 413
    assert headers["Connection"] == "close"
    assert json.loads(said)["doing"] == "telling outcomes"
    monkeypatch.undo()
    deep = b'{"outcomes": [{"request_id": "r", "label": ' + b"[" * 100_000
    assert told(log, {}, {}, body=deep)[0] == 422
    wrong = json.dumps({"outcomes": [{"label": "a secret label"}] * 5000}).encode()
    status, _, said = told(log, {}, {}, body=wrong)
    assert status == 422
    assert len(said) < 5000
    assert b"a secret label" not in said


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("localhost:80", True),
        ("[::1]:8080", True),
        ("::1", True),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("0.0.0.0", False),
        ("", False),
        ("[", False),
    ],
)
def test_loopback_is_told_from_what_looks_like_it(host: str, own: bool) -> None:
    """Names that only begin like it are somebody else's."""
    assert is_loopback(host) is own
