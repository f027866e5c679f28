"""Reports of deployments: signed with the receiver's key, any body; or any headers at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promotion_assets.notification.signing import sign
from promotion_assets.notification.web import webhook_app
from promotion_assets.pipeline.listening import Listener
from promotion_assets_tests.fuzz.asking import calling, merged, taken_apart, well_answered
from promotion_assets_tests.fuzz.contract import Run, Target
from promotion_assets_tests.notification.receivers import receiver
from promotion_assets_tests.notification.worlds import KEY, World

GOOD = {"smoke_test": "passed", "health": "healthy", "detail": "https://ci.example.org/17"}


def examples() -> list[bytes]:
    """Return a report that all is well, and one that it is not."""
    bad = {"smoke_test": "failed", "health": "unhealthy", "environment": "staging"}
    return [json.dumps(GOOD).encode(), json.dumps(bad).encode()]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Send each input as the answer to a transition that was really delivered."""
    world = World(folder / "world")
    with receiver() as hook:
        world.subscribe("ops", hook.url)
        world.adopt()
        world.deliver()
        notifier = world.notifier()
        kind = "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"
        event_id = next(post.id for post in hook.posts if post.json["type"] == kind)
        with calling(webhook_app(lambda: Listener(notifier))) as caller:

            def run(data: bytes) -> None:
                headers, body = taken_apart(data)
                stamp = int(world.clock().timestamp())
                own = [
                    (b"webhook-id", event_id.encode()),
                    (b"webhook-timestamp", str(stamp).encode()),
                    (b"webhook-signature", sign(KEY.encode(), event_id, stamp, body).encode()),
                ]
                path = f"/deployments/{event_id}"
                well_answered(caller.post(path, body, merged(headers, own)))

            yield run


TARGET = Target("deployment", "json", examples, prepare, inputs=150)
