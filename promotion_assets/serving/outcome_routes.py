"""``POST /outcomes``: what became of requests, told to the server that answered them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from promotion_assets.errors import PromotionError, RequestRefused, StorageUnreachable
from promotion_assets.serving.events import EventStore
from promotion_assets.serving.outcome_access import DOING, OutcomeAccess
from promotion_assets.serving.outcomes import OutcomeRules, Told, accept
from promotion_assets.serving.web.refusals import refusal

MOST_OUTCOMES = 10_000
MOST_BYTES = 8 * 1024**2
MOST_PROBLEMS = 10
FORM = (
    'send {"outcomes": [{"request_id": "…", "label": …}]}, '
    f'each with "observed_at" if it is known, at most {MOST_OUTCOMES} at once'
)


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
    async def _tell(request: Request) -> Response:
        """Write down what became of requests."""
        try:
            access.check(request.headers, request.client.host if request.client else "")
            body = _read(await _body(request))
            told = [Told(one.request_id, one.label, one.observed_at) for one in body.outcomes]
            # It waits for the database, and so it runs in a thread of its own.
            found = await run_in_threadpool(accept, store, rules, told, clock())
        except (RequestRefused, StorageUnreachable) as error:
            return refusal(error, _headers(error))
        return JSONResponse(vars(found))

    return router


def _headers(error: PromotionError) -> Mapping[str, str]:
    if isinstance(error, StorageUnreachable):
        # The same body again completes what was begun.
        return {"Retry-After": "5"}
    if isinstance(error, RequestRefused) and error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="outcomes"'}
    if isinstance(error, RequestRefused) and error.status == 413:
        return {"Connection": "close"}
    return {}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise RequestRefused(
                DOING,
                f"the body has more than {MOST_BYTES // 1024**2} MiB",
                "send the outcomes in parts",
                413,
            )
    return bytes(body)


def _read(body: bytes) -> Outcomes:
    try:
        return Outcomes.model_validate_json(body)
    except ValidationError as error:
        # What was sent is not repeated: a label may be nobody else's business.
        found = error.errors(include_url=False, include_input=False, include_context=False)
        said = [
            ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))
            for one in found[:MOST_PROBLEMS]
        ]
        if len(found) > MOST_PROBLEMS:
            said.append(f"and {len(found) - MOST_PROBLEMS} more")
        raise RequestRefused(DOING, "; ".join(said), FORM, 422) from error
