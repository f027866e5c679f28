"""What comes in from the outside: MLflow's webhooks and reports of deployments, both signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promotion_assets.errors import AccessRefused, UsageError
from promotion_assets.notification.signing import TOLERANCE_SECONDS, verify

# Events that a deployment can be the answer to.
DEPLOYABLE = (
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "MODEL_VERSION_TRANSITIONED_TO_STAGING",
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
    "ROLLOUT_STEP",
    "ROLLED_BACK",
)
MLFLOW_HEADERS = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
OWN_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True)
class Hint:
    """MLflow says that a version was registered; polling would find it a little later.

    Attributes:
        delivery: MLflow's delivery id; a second delivery of it is none.
    """

    delivery: str
    model: str
    version: str


class Report(BaseModel):
    """What a pipeline says of a deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smoke_test: Literal["passed", "failed"]
    health: Literal["healthy", "unhealthy"]
    environment: Annotated[str, Field(min_length=1, max_length=100)] = "production"
    detail: Annotated[str, Field(max_length=2000)] = ""

    @classmethod
    def parse(cls, body: bytes) -> Report:
        """Read a report.

        Raises:
            UsageError: it is none.
        """
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the body"
            raise UsageError(
                "reading the report of a deployment",
                f"{where}: {first['msg']}",
                'send {"smoke_test": "passed|failed", "health": "healthy|unhealthy", '
                '"environment": "…", "detail": "…"}',
            ) from None


def hint_from(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> Hint | None:
    """Return what MLflow says; ``None`` for an event that is no registration.

    Args:
        headers: by name in lower case.

    Raises:
        AccessRefused: it is not signed with our secret, or not of now.
        UsageError: it is signed, and cannot be read.
    """
    delivery, timestamp, signature = (headers.get(name, "") for name in MLFLOW_HEADERS)
    good = delivery and verify(secret.encode(), delivery, timestamp, body, signature, now)
    if not good or len(delivery) > 200:
        raise refused("hearing MLflow's webhook", "PROMOTION_MLFLOW_WEBHOOK_SECRET")
    try:
        said = json.loads(body)
        if (said["entity"], said["action"]) != ("model_version", "created"):
            return None
        # Only names: a hint starts the same look at the registry as the clock does.
        name, version = str(said["data"]["name"]), str(said["data"]["version"])
        # Half a surrogate pair is text to JSON, and to no database.
        (name + version).encode()
        return Hint(delivery, name, version)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            "reading MLflow's webhook",
            "it has another form than MLflow 3 gives",
            "nothing is lost: polling finds the version; compare MLflow's release with ours",
        ) from None


def is_report_signed(
    keys: Mapping[str, bytes], event_id: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> str | None:
    """Return whose key signed a report on ``event_id``; ``None`` for nobody's.

    Args:
        keys: of the subscriptions that were told of the event, by name.
    """
    message, timestamp, signature = (headers.get(name, "") for name in OWN_HEADERS)
    if message != event_id:
        return None
    for name, key in keys.items():
        if verify(key, event_id, timestamp, body, signature, now):
            return name
    return None


def refused(doing: str, variable: str) -> AccessRefused:
    """Return the refusal of a request that proves nothing; it tells a stranger nothing either."""
    return AccessRefused(
        doing,
        f"it is not signed with our key, or its time is off by more than {TOLERANCE_SECONDS} s",
        f"compare the key with {variable}, and the clocks of both machines",
    )
