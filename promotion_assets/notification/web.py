"""The small web application through which the platform hears from outside and shows figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from promotion_assets.errors import AccessRefused, PromotionError, Refusal, Unreachable, UsageError
from promotion_assets.review.web.forms import body_of
from promotion_assets.serving.web.refusals import not_served

STATUS: tuple[tuple[type[PromotionError], int], ...] = (
    (AccessRefused, 401),
    (UsageError, 400),
    (Refusal, 409),
    (Unreachable, 503),
)
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Ear(Protocol):
    """What the application hands on to."""

    def mlflow(self, headers: Mapping[str, str], body: bytes) -> str:
        """Take a webhook of MLflow's; return in a word what became of it.

        Raises:
            AccessRefused, UsageError, Unreachable: it was not taken.
        """

    def deployment(self, event_id: str, headers: Mapping[str, str], body: bytes) -> str:
        """Take the report of a deployment; return in a word what became of it.

        Raises:
            AccessRefused, UsageError, Refusal, Unreachable: it was not taken.
        """

    def metrics(self) -> bytes:
        """Return the platform's metrics in Prometheus' text format."""

    def ready(self) -> None:
        """Do nothing where the database answers.

        Raises:
            Unreachable: it does not.
        """


def webhook_app(ear: Callable[[], Ear]) -> FastAPI:
    """Return the application.

    Args:
        ear: gives the platform; asked for every request.
    """
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, title="webhooks", redirect_slashes=False
    )

    @app.post("/mlflow")
    async def mlflow(request: Request) -> Response:
        body = await body_of(request)
        return _said(await run_in_threadpool(ear().mlflow, _headers(request), body))

    @app.post("/deployments/{event_id}")
    async def deployment(request: Request, event_id: str) -> Response:
        body = await body_of(request)
        headers = _headers(request)
        return _said(await run_in_threadpool(ear().deployment, event_id, headers, body))

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(ear().metrics(), media_type=METRICS_TYPE)

    @app.get("/health/live")
    def live() -> Response:
        return _said("alive")

    @app.get("/health/ready")
    def ready() -> Response:
        ear().ready()
        return _said("ready")

    @app.exception_handler(PromotionError)
    def told(_: Request, error: Any) -> Response:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        return _refused(error, status)

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: Any) -> Response:
        next_step = "see docs/notifications.md for the addresses and what each of them takes"
        said = not_served(request, error, next_step)
        return _refused(said, said.status, error.headers)

    return app


def _headers(request: Request) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _refused(
    error: PromotionError, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    content = {"doing": error.doing, "problem": error.problem, "next": error.next_step}
    return JSONResponse(content, status, headers)


def _said(word: str) -> Response:
    return JSONResponse({"result": word})
