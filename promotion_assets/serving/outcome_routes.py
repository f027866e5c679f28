"""``POST /outcomes``: what became of requests, told to the server that answered them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from promotion_assets.errors import RequestRefused, StorageUnreachable
from promotion_assets.serving.events import EventStore
from promotion_assets.serving.outcome_access import OutcomeAccess
from promotion_assets.serving.outcomes import OutcomeRules, Told, accept

MOST_OUTCOMES = 10_000
MOST_BYTES = 8 * 1024**2
MOST_PROBLEMS = 10


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
    store: EventStore, rules: OutcomeRules, clock: Callable[[], datetime], access: OutcomeAccess
) -> APIRouter:
    """Return the route, to be mounted by a server.

    Telling the same again is safe: it answers 200 and counts duplicates.

    Args:
        access: who may; asked before anything of the body is read.
    """
    router = APIRouter(tags=["outcomes"])

    @router.post("/outcomes")
    async def _tell(request: Request) -> dict[str, Any]:
        """Write down what became of requests."""
        try:
            access.check(request.headers, request.client.host if request.client else "")
        except RequestRefused as error:
            asks = {"WWW-Authenticate": 'Bearer realm="outcomes"'} if error.status == 401 else {}
            raise HTTPException(error.status, str(error), headers=asks) from error
        body = _read(await _body(request))
        told = [Told(one.request_id, one.label, one.observed_at) for one in body.outcomes]
        try:
            # It waits for the database, and so it runs in a thread of its own.
            found = await run_in_threadpool(accept, store, rules, told, clock())
        except StorageUnreachable as error:
            # The same body again completes what was begun.
            raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error
        return vars(found)

    return router


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(
                413,
                f"a body has at most {MOST_BYTES // 1024**2} MiB; send the outcomes in parts",
                headers={"Connection": "close"},
            )
    return bytes(body)


def _read(body: bytes) -> Outcomes:
    try:
        return Outcomes.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise HTTPException(422, found[:MOST_PROBLEMS]) from error
