"""Slack's slash commands: signed with the right secret, and any words in any fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from promotion_assets.pipeline.reviewing import ReviewDesk
from promotion_assets.review.slack import signed
from promotion_assets.review.web.app import review_app
from promotion_assets.review.web.settings import WebSettings
from promotion_assets_tests.fuzz.asking import calling, merged, taken_apart
from promotion_assets_tests.fuzz.contract import Run, Target, holds
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.worlds import STANZA, World

SECRET = "a signing secret of the tests"
REVIEWED = {
    **STANZA,
    "segments": ["default", "eu"],
    "review": {"reviewers": [{"name": "ana", "slack": "T1/U1"}, {"name": "bo"}]},
}


def examples() -> list[bytes]:
    """Return both commands, of a reviewer and of a stranger."""
    asked = (
        ("/approve-model", "U1", f"{MODEL} 2"),
        ("/approve-model", "U1", f"{MODEL} 1 segment=eu token-1"),
        ("/reject-model", "U1", f"{MODEL} 2 segment=eu it declines too much"),
        ("/reject-model", "U9", f"{MODEL} 2 no reason"),
    )
    head = b"content-type: application/x-www-form-urlencoded\n\n"
    return [
        head
        + urlencode(
            {
                "team_id": "T1",
                "user_id": user,
                "command": command,
                "text": text,
                "trigger_id": f"1.{user}",
            }
        ).encode()
        for command, user, text in asked
    ]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Send each input to the page of a home whose champion is version 1."""
    world = World(folder / "world", models={MODEL: REVIEWED})
    world.adopt()
    desk = ReviewDesk(world.workspace())
    app = review_app(lambda: desk, WebSettings(url="http://127.0.0.1", slack_secret=SECRET))
    with calling(app) as caller:

        def run(data: bytes) -> None:
            headers, body = taken_apart(data)
            stamp = str(int(world.clock().timestamp()))
            own = [
                (b"x-slack-request-timestamp", stamp.encode()),
                (b"x-slack-signature", signed(body, stamp, SECRET).encode()),
            ]
            answer = caller.post("/slack/commands", body, merged(headers, own))
            holds(200 <= answer.status < 500, f"{answer.status}: {answer.body[:300]!r}")
            if answer.status == 200:
                holds(json.loads(answer.body)["text"].strip(), "Slack is told nothing")
            holds(answer.body, "nothing is said")

        yield run


TARGET = Target("slack", "form", examples, prepare, inputs=100)
