"""Refusals in the form that MLflow's clients read, with the three parts of ours in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from promotion_assets.errors import PromotionError, Refusal, RequestRefused, Unreachable, UsageError

ERROR_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    503: "TEMPORARILY_UNAVAILABLE",
}
STATUS: tuple[tuple[type[PromotionError], int], ...] = (
    (UsageError, 400),
    (Refusal, 409),
    (Unreachable, 503),
)
LONGEST_PATH = 200


def error_content(error: PromotionError, status: int) -> bytes:
    """Return an error as JSON."""
    content = {
        "error_code": ERROR_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"),
        "message": str(error),
        "error": error.problem,
        "doing": error.doing,
        "next_step": error.next_step,
    }
    return json.dumps(content).encode()


def refusal(error: PromotionError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response that an error is answered with."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
    status = error.status if isinstance(error, RequestRefused) else status
    content = error_content(error, status)
    return Response(content, status, headers, media_type="application/json")


def not_served(request: Request, error: HTTPException, next_step: str) -> RequestRefused:
    """Return what the framework refuses, an address or a method that is none, in our words."""
    path = request.url.path[:LONGEST_PATH]
    problem = {
        404: f"nothing is found at {path}",
        405: f"{path} takes no {request.method}",
    }.get(error.status_code, error.detail or "it cannot be read")
    return RequestRefused("answering a request", problem, next_step, error.status_code)


def add_refusals(app: FastAPI) -> None:
    """Let an application of the model server answer every refusal in one form."""

    @app.exception_handler(PromotionError)
    def told(_: Request, error: Any) -> Response:
        return refusal(error)

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: Any) -> Response:
        next_step = "see docs/serving.md for the addresses and what each of them takes"
        return refusal(not_served(request, error, next_step), error.headers)
