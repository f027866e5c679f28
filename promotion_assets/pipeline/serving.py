"""A server of one model, put together: ledger, store, registry, event log, engine, application."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI

from promotion_assets.adapters.keys import public_keys
from promotion_assets.adapters.mlflow_registry import MlflowRegistry
from promotion_assets.adapters.served_model import Trust
from promotion_assets.adapters.serving_sources import LedgerPlans, StoredModels
from promotion_assets.adapters.shadow_process import start_shadow
from promotion_assets.adapters.tracing import request_tracer
from promotion_assets.gates.artifact import ArtifactSettings, allowed
from promotion_assets.pipeline.event_source import event_log
from promotion_assets.pipeline.workspace import Workspace, utc_now
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.serving.engine import Engine
from promotion_assets.serving.events import microseconds
from promotion_assets.serving.follower import Follower
from promotion_assets.serving.generation import build
from promotion_assets.serving.metrics import Metrics
from promotion_assets.serving.outcome_access import OutcomeAccess
from promotion_assets.serving.outcome_routes import outcome_routes
from promotion_assets.serving.outcomes import OutcomeRules
from promotion_assets.serving.plan import Arm
from promotion_assets.serving.recorder import Recorder, microseconds_now
from promotion_assets.serving.shadow import ShadowLine, ShadowProcess
from promotion_assets.serving.web.app import create_app
from promotion_assets.serving.writer import BackgroundWriter


def open_server(workspace: Workspace, model: str, *, poll_seconds: float = 1.0) -> Follower:
    """Load, verify and try what the plan names, and return what follows it from then on.

    Raises:
        PromotionError: the plan is not attested, or what it names is not what it says: then
            there is nothing to serve.
    """
    policy = workspace.policy_of(model)
    plans = LedgerPlans(
        workspace.database_url, public_keys(workspace.keys, workspace.environ), model
    )
    trust = trusted(policy)
    source = stored_models(workspace, model, policy)
    generation = build(plans.read(), source, None, None)
    store = event_log(workspace)
    clock = ticks(workspace.clock)
    writer = BackgroundWriter(store, clock)
    recorder = Recorder(model, writer, log_features=policy.serving.log_features, clock=clock)
    metrics = Metrics()

    def _shadow_line(arm: Arm) -> ShadowLine:
        def _start() -> ShadowProcess:
            return start_shadow(
                arm,
                source.directory(arm),
                limits=policy.sandbox,
                worker=policy.serving.shadow,
                trust=trust,
                positive=policy.dataset.positive,
            )

        return ShadowLine(
            model, arm, policy.serving.shadow, _start, writer, recorder.clock, recorder.new_id
        )

    engine = Engine(generation, policy.serving, recorder, metrics, _shadow_line)
    return Follower(
        engine,
        plans,
        source,
        store,
        writer,
        worker=worker_name(),
        now=workspace.clock,
        seconds=poll_seconds,
    )


def stored_models(workspace: Workspace, model: str, policy: ModelPolicy) -> StoredModels:
    """Return where the versions of ``model`` come from."""

    def _download(name: str, version: str, folder: Path) -> Path:
        registry = MlflowRegistry(workspace.tracking_uri, workspace.registry_uri)
        return registry.download(name, version, folder)

    folder = workspace.store / "artifacts"
    return StoredModels(model, folder, _download, trusted(policy), policy.dataset.positive)


def trusted(policy: ModelPolicy) -> Trust:
    """Return what the policy's artifact gate lets be loaded."""
    allows = allowed(ArtifactSettings.model_validate(dict(policy.gates.get("artifact", {}))))
    return Trust(tuple(sorted(allows.trusted_types)), allows.allow_pickle, allows.allow_code)


def server_app(
    workspace: Workspace, model: str, *, poll_seconds: float = 1.0, host: str = "127.0.0.1"
) -> FastAPI:
    """Return the server of ``model`` as an application; see :func:`open_server`.

    Args:
        host: where it will listen; only this host's programs may tell outcomes without a token.
    """
    import mlflow

    access = OutcomeAccess.of(workspace.environ, host)
    follower = open_server(workspace, model, poll_seconds=poll_seconds)
    rules = OutcomeRules.of(model, workspace.policy_of(model))
    outcomes = outcome_routes(event_log(workspace), rules, workspace.clock, access)
    return create_app(
        follower,
        mlflow_version=mlflow.__version__,
        routers=(outcomes,),
        tracer=request_tracer(model),
    )


def worker_name() -> str:
    """Return what names this process in acknowledgements, on any host, for ever."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000}"


def ticks(clock: Callable[[], datetime]) -> Callable[[], int]:
    """Return a clock in microseconds since 1970; the system's own costs no date a request."""
    if clock is utc_now:
        return microseconds_now
    return lambda: microseconds(clock())
