"""Slack: what is posted, against a stand-in that listens, and what happens when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from promotion_assets.lifecycle.events import ReviewRequested
from promotion_assets.notification.outgoing import outgoing
from promotion_assets.pipeline.notifying import Notifier
from promotion_assets.pipeline.review_notices import notice
from promotion_assets.pipeline.review_requests import keep_requests
from promotion_assets.review.slack import is_from_slack, signed
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.review.prepare import MODEL
from promotion_assets_tests.review.worlds import World


@dataclass
class FakeSlack:
    """Slack's Web API as far as we use it; ``answer`` is what it says."""

    url: str = ""
    answer: bytes = b'{"ok": true}'
    posted: list[dict[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A stand-in on a free port."""
    fake = FakeSlack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            fake.posted.append(json.loads(self.rfile.read(length)) | {"path": self.path})
            fake.tokens.append(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(fake.answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def with_slack(world: World, url: str) -> World:
    """Configure the channel, and forget the request that the fixture opened."""
    Notifier(world.workspace).deliver()
    world.change_policy("    review:\n", "    review:\n      min_text: 21\n")
    allowed = "version: 1\nnotifications: {allow_hosts: [127.0.0.1]}\n"
    world.change_policy("version: 1\n", allowed)
    environ = {
        **world.workspace.environ,
        "PROMOTION_SLACK_TOKEN": "xoxb-1",
        "PROMOTION_SLACK_CHANNEL": "C01",
        "PROMOTION_SLACK_API": url,
        "PROMOTION_REVIEW_URL": "https://review.example.org/",
    }
    world.desk = replace(world.desk, workspace=replace(world.workspace, environ=environ))
    return world


def test_request_is_announced_once_with_gates_and_link(world: World, slack: FakeSlack) -> None:
    """One message a request: whose turn it is, each gate, the page, the commands."""
    configured = with_slack(world, slack.url)
    for _ in range(2):
        keep_requests(configured.workspace, MODEL)
        Notifier(configured.workspace).deliver()
    (message,) = slack.posted
    assert message["path"] == "/chat.postMessage"
    assert message["channel"] == "C01"
    assert slack.tokens == ["Bearer xoxb-1"]
    # The first request went to ana and bo; cy is next, and ana is named by her Slack identity.
    for part in ("cy", "<@U01>", "fairness: passed", "schema: passed", f"/approve-model {MODEL} 2"):
        assert part in message["text"]
    assert "<https://review.example.org/models/credit-risk/versions/2|" in message["text"]


@pytest.mark.parametrize("answer", [b'{"ok": false, "error": "not_in_channel"}', b"<html>", b"[]"])
def test_slack_that_refuses_holds_up_no_review(
    world: World, slack: FakeSlack, answer: bytes
) -> None:
    """The request is open all the same, the failure is said, and it is told when Slack is back."""
    slack.answer = answer
    configured = with_slack(world, slack.url)
    kept = keep_requests(configured.workspace, MODEL)
    assert len(kept.said) == 1
    assert kept.problems == []
    notifier = Notifier(configured.workspace)
    (problem,) = notifier.deliver().problems
    assert problem.startswith("slack-reviews: Slack")
    assert len(world.events(ReviewRequested)) == 2
    slack.answer = b'{"ok": true}'
    assert notifier.deliver().delivered == 0
    configured.clock.advance(seconds=10)
    assert notifier.deliver().delivered == 1


def test_what_a_gate_says_cannot_mention_anybody(world: World) -> None:
    """Angle brackets of a reason do not become a mention of the channel."""
    recorded = [
        r for r in world.workspace.ledger.events(MODEL) if isinstance(r.event, ReviewRequested)
    ]
    (request,) = outgoing(recorded[-1])
    renamed = replace(request, data={**request.data, "assigned": ["<!channel>"]})
    assert "<!channel>" not in notice(world.workspace, renamed)


def test_signature_is_the_one_of_slacks_documentation(clock: Clock) -> None:
    """The example of Slack's own page verifies, at its time and for five minutes."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&"
        b"channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&"
        b"command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
        b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    secret, stamp = "8f742231b10e8888abcd99yyyzzz85a5", "1531420618"
    known = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert signed(body, stamp, secret) == known
    for late, good in ((0, True), (299, True), (301, False), (-301, False)):
        now = clock.now.fromtimestamp(int(stamp) + late, clock.now.tzinfo)
        assert is_from_slack(body, stamp, known, secret, now) is good
    assert not is_from_slack(body + b" ", stamp, known, secret, clock.now)
    assert not is_from_slack(body, "x" * 10, known, secret, clock.now)
    assert not is_from_slack(body, "9" * 400, known, secret, clock.now)


@pytest.fixture
def clock() -> Clock:
    """A clock that goes when it is told to."""
    return Clock()
