"""MLflow's webhooks: signed with the right secret, and any body; or any headers at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from promotion_assets.notification.signing import sign
from promotion_assets.notification.web import webhook_app
from promotion_assets.pipeline.listening import MLFLOW_SECRET, Listener
from promotion_assets_tests.fuzz.asking import calling, merged, taken_apart, well_answered
from promotion_assets_tests.fuzz.contract import Run, Target
from promotion_assets_tests.ledgers import MODEL
from promotion_assets_tests.notification.worlds import World

SECRET = "mlflow's key of the tests, long enough"


def examples() -> list[bytes]:
    """Return a registration, and a change of a tag."""
    data = {"name": MODEL, "version": "2", "source": "models:/m-1", "run_id": None}
    said = {"entity": "model_version", "timestamp": "2026-03-02T09:00:00+00:00", "data": data}
    return [
        json.dumps({**said, "action": "created"}).encode(),
        json.dumps({**said, "entity": "model_version_tag", "action": "set"}).encode(),
        b"x-mlflow-delivery-id: d1\n\n" + json.dumps({**said, "action": "created"}).encode(),
    ]


@contextmanager
def prepare(folder: Path) -> Iterator[Run]:
    """Send each input to the webhook application of a home."""
    world = World(folder / "world")
    world.environ[MLFLOW_SECRET] = SECRET
    listener = Listener(world.notifier())
    with calling(webhook_app(lambda: listener)) as caller:

        def run(data: bytes) -> None:
            headers, body = taken_apart(data)
            delivery, stamp = sha256(data).hexdigest()[:20], int(world.clock().timestamp())
            named = dict(headers).get(b"x-mlflow-delivery-id", delivery.encode())
            own = [
                (b"x-mlflow-delivery-id", delivery.encode()),
                (b"x-mlflow-timestamp", str(stamp).encode()),
                (
                    b"x-mlflow-signature",
                    sign(SECRET.encode(), named.decode("latin-1"), stamp, body).encode(),
                ),
            ]
            well_answered(caller.post("/mlflow", body, merged(headers, own)))

        yield run


TARGET = Target("mlflow_webhook", "json", examples, prepare, inputs=250)
