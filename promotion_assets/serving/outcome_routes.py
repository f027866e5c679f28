"""``POST /outcomes``: what became of requests, told to the server that answered them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from promotion_assets.errors import StorageUnreachable
from promotion_assets.serving.events import EventStore
from promotion_assets.serving.outcomes import OutcomeRules, Told, accept

MOST_OUTCOMES = 10_000


class Outcome(BaseModel):
    """One outcome; ``observed_at`` is now where it is not given."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[str, Field(min_length=1, max_length=500)]
    label: JsonValue
    observed_at: datetime | None = None


class Outcomes(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid")

    outcomes: Annotated[list[Outcome], Field(min_length=1, max_length=MOST_OUTCOMES)]


def outcome_routes(
    store: EventStore, rules: OutcomeRules, clock: Callable[[], datetime]
) -> APIRouter:
    """Return the route, to be mounted by a server.

    Telling the same again is safe: it answers 200 and counts duplicates.
    """
    router = APIRouter(tags=["outcomes"])

    # No coroutine: it waits for the database, and so it runs in a thread of its own.
    @router.post("/outcomes")
    def _tell(body: Outcomes) -> dict[str, Any]:
        """Write down what became of requests."""
        told = [Told(one.request_id, one.label, one.observed_at) for one in body.outcomes]
        try:
            found = accept(store, rules, told, clock())
        except StorageUnreachable as error:
            # The same body again completes what was begun.
            raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error
        return vars(found)

    return router
