"""The server as one ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from promotion_assets.serving.follower import Follower
from promotion_assets.serving.tracing import RequestTracer
from promotion_assets.serving.web.asking import (
    Inference,
    Invocations,
    Questions,
    Receive,
    Scope,
    Send,
)
from promotion_assets.serving.web.health import facts_of, metadata_of, readiness
from promotion_assets.serving.web.refusals import add_refusals

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
THREADS = 8


def create_app(
    follower: Follower,
    *,
    mlflow_version: str,
    routers: Sequence[APIRouter] = (),
    tracer: RequestTracer | None = None,
) -> FastAPI:
    """Return the server of one model.

    The application starts following the plan when it starts, and drains when it ends.

    Args:
        mlflow_version: what ``/version`` answers, as MLflow's own server does.
        routers: more addresses, such as the one that takes outcomes.
        tracer: traces some of the questions.
    """
    engine = follower.engine
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answering")

    @contextlib.asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        follower.start()
        yield
        pool.shutdown()
        follower.close(engine.policy.drain_seconds)

    app = FastAPI(
        title=f"promotion serve {engine.model}",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=running,
    )
    inference = Questions(engine, Inference(), pool, tracer)
    quick = {
        "/invocations": Questions(engine, Invocations(), pool, tracer),
        f"/v2/models/{engine.model}/infer": inference,
    }
    app.add_middleware(Shortcut, quick=quick)
    for path in ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"):
        app.router.routes.append(Route(path, inference, methods=["POST"]))
    _add_mlflow(app, follower, mlflow_version)
    _add_open_inference(app, follower)
    for router in routers:
        app.include_router(router)
    add_refusals(app)
    return app


class Shortcut:
    """Takes the addresses that customers wait for past the framework."""

    def __init__(self, app: Any, quick: dict[str, Questions]) -> None:
        self._app = app
        self._quick = quick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, or hand on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            questions = self._quick.get(scope["path"])
            if questions is not None:
                await questions(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _add_mlflow(app: FastAPI, follower: Follower, mlflow_version: str) -> None:
    @app.get("/ping")
    @app.get("/health")
    def alive() -> Response:
        return Response("\n", media_type="application/json")

    @app.get("/version")
    def version() -> Response:
        return PlainTextResponse(mlflow_version)

    @app.get("/metrics")
    def metrics() -> Response:
        follower.count()
        return Response(follower.engine.metrics.text(), media_type=METRICS_TYPE)


def _add_open_inference(app: FastAPI, follower: Follower) -> None:
    engine = follower.engine

    @app.get("/v2")
    def server() -> Response:
        return JSONResponse(facts_of(engine.model))

    @app.get("/v2/health/live")
    def live() -> Response:
        return JSONResponse({"live": True})

    @app.get("/v2/health/ready")
    def ready() -> Response:
        return JSONResponse(readiness(follower))

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    def model_ready(model: str, version: str | None = None) -> Response:
        metadata_of(engine, model, version)
        return JSONResponse({"name": model, "ready": True})

    @app.get("/v2/models/{model}")
    @app.get("/v2/models/{model}/versions/{version}")
    def metadata(model: str, version: str | None = None) -> Response:
        return JSONResponse(metadata_of(engine, model, version))
