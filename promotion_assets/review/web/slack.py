"""Slack's slash commands: ``/approve-model`` leads to the page, ``/reject-model`` works at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from promotion_assets.errors import PromotionError
from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.review.case import Ballot
from promotion_assets.review.desk import Desk
from promotion_assets.review.identity import name_hash
from promotion_assets.review.slack import (
    TOLERANCE_SECONDS,
    Command,
    command_of,
    is_from_slack,
    split_words,
)
from promotion_assets.review.web.forms import body_of, parsed
from promotion_assets.review.web.settings import WebSettings
from promotion_assets.review.web.visitors import source_of

USAGE = {
    "/approve-model": "/approve-model MODEL VERSION [segment=SEGMENT] [ONE-TIME-TOKEN]",
    "/reject-model": "/reject-model MODEL VERSION [segment=SEGMENT] REASON",
}


def add_slack(app: FastAPI, desk: Callable[[], Desk], settings: WebSettings) -> None:
    """Add the endpoint to which Slack sends slash commands."""
    secret = settings.slack_secret
    assert secret is not None

    @app.post("/slack/commands")
    async def commands(request: Request) -> Response:
        body = await body_of(request)
        return await run_in_threadpool(_received, request, body, desk(), secret, settings.url)


def _received(request: Request, body: bytes, desk: Desk, secret: str, url: str) -> Response:
    access = desk.access
    timestamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    if not is_from_slack(body, timestamp, signature, secret, access.clock()):
        access.failed(source_of(request), "a forged or old request of Slack's", "request_refused")
        return Response("not from Slack", status_code=401)
    command = command_of(parsed(body))
    # A request is as good as any other within the tolerance, so each counts once.
    seen = access.clock() + timedelta(seconds=2 * TOLERANCE_SECONDS)
    if not access.store.put_once(name_hash(f"slack {timestamp} {signature}"), "", seen):
        access.failed(source_of(request), "a replayed request of Slack's", "request_refused")
        return Response("seen before", status_code=409)
    try:
        return _said(_answer(command, desk, url))
    except PromotionError as error:
        return _said(f"Not done: {error.problem}. Next: {error.next_step}.")


def _answer(command: Command, desk: Desk, url: str) -> str:
    usage = USAGE.get(command.name)
    if usage is None:
        return f"I know {', '.join(USAGE)}."
    reviewer = desk.reviewer_of_slack(command.sender)
    if reviewer is None:
        desk.access.failed("slack", f"{command.sender[:80]} is no reviewer", "request_refused")
        return "You are not a reviewer: your Slack identity stands in no policy."
    if len(command.words) < 2:
        return f"Usage: {usage}"
    model, version, named, rest = split_words(command.words)
    segment = named or desk.segment_of(model, version)
    where = "" if segment == DEFAULT_SEGMENT else f" in {segment}"
    if command.name == "/reject-model":
        ballot = Ballot(
            model=model,
            version=version,
            segment=segment,
            verdict="rejected",
            comment=" ".join(rest),
        )
        desk.vote(ballot, reviewer, "slack")
        told = desk.told(model, version, segment, reviewer)
        done = " ".join(told) or "It is archived."
        return f"{reviewer} has rejected {model} version {version}{where}. {done}"
    if rest:
        of = (model, version)
        decided = desk.redeem(rest[0], "slack", reviewer=reviewer, of=of, segment=named or None)
        told = desk.told(model, version, decided.segment, reviewer)
        said = f"{reviewer} has {decided.verdict} {model} version {version}{where}."
        return " ".join((said, *told))
    page = f"{url}/models/{quote(model, safe='')}/versions/{quote(version, safe='')}"
    if where:
        page += f"?segment={quote(segment, safe='')}"
    return f"Read the evidence and answer the questions here: {page}"


def _said(text: str) -> Response:
    # Only to the sender: a one-time token must not be read by the channel.
    return JSONResponse({"response_type": "ephemeral", "text": text[:2900]})
