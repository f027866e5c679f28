"""The registry as the ledger's mirror: an asset whose check fails when somebody moved something."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ValidationError

from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.metadata import Materialized, as_text, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.pipeline.reconciling import reconcile_model, sentences
from promotion_assets.pipeline.workspace import utc_now
from promotion_assets.policy.model import ModelPolicy

SHOWS_THE_LEDGER = "shows_what_the_ledger_says"
REGULARLY = timedelta(minutes=10)
# The daemon that ticks sensors, as it signs its heartbeats.
SENSOR_DAEMON = "SENSOR"


def registry_mirror(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that compares the registry with the ledger."""
    key = names.key("registry_mirror")

    @dg.multi_asset(
        name=names.step("registry_mirror"),
        specs=[
            asset_spec(
                names,
                policy,
                "registry_mirror",
                "Aliases, tags, stages and artifacts in MLflow, compared with the ledger. What "
                "stopped half way is finished; what somebody moved past the platform is recorded "
                f"and {'put back' if policy.on_bypass == 'revert' else 'reported'}.",
                deps=["staging"],
                kinds={"mlflow"},
            )
        ],
        check_specs=[
            check_spec(
                SHOWS_THE_LEDGER,
                key,
                "Nobody moved a stage, alias or tag in MLflow, or changed an artifact, by hand.",
            )
        ],
    )
    def _registry_mirror(platform: Platform) -> Iterator[Materialized | dg.AssetCheckResult]:
        with spoken():
            found = reconcile_model(platform.workspace, names.model)
            state = platform.workspace.ledger.state(names.model)
        said = sentences(found)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "result": dg.MetadataValue.md("\n".join(f"- {as_text(s)}" for s in said)),
                "versions": table(
                    [
                        {"version": v, "stage": str(state.stage_anywhere(v))}
                        for v in state.versions()
                    ]
                ),
                "champion": ", ".join(f"{s}: {v}" for s, v in state.champions.items()) or "none",
            },
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=SHOWS_THE_LEDGER,
            passed=found.agrees,
            description="; ".join(said),
        )

    return _registry_mirror


class Asked(BaseModel):
    """The sensor's cursor: which daemon asked last, and when.

    Attributes:
        daemon: the name that it gave itself when it started; empty where it gave none.
    """

    daemon: str
    at: AwareDatetime


def reconcile_sensor(
    job: Any, *, interval_seconds: int = 30, clock: Callable[[], datetime] = utc_now
) -> dg.SensorDefinition:
    """Return the sensor that runs ``job`` when the daemon has started and every ten minutes.

    Dagster remembers the last tick over a start of the daemon, so that a long interval alone
    would wait it out. A daemon gives itself a name when it starts, and signs its heartbeats with
    it before it ticks anything: a name that the cursor does not know is a start.

    Args:
        interval_seconds: how often it is looked whether the time has come.
    """

    @dg.sensor(
        name="reconcile_regularly",
        job=job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has MLflow compared with the ledger, on start and every ten minutes.",
    )
    def _reconcile_regularly(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        last, now = _last_asked(context.cursor), clock()
        daemon = _daemon_of(context.instance)
        started = last is None or last.daemon != daemon
        if last is not None and not started and last.at <= now < last.at + REGULARLY:
            return dg.SensorResult(
                skip_reason=f"compared at {last.at:%H:%M} UTC; the next time is due ten minutes on",
                cursor=context.cursor,
            )
        reason = "the daemon has started" if started else "regular reconciliation"
        return dg.SensorResult(
            run_requests=[dg.RunRequest(tags={"promotion/reason": reason})],
            cursor=Asked(daemon=daemon, at=now).model_dump_json(),
        )

    return _reconcile_regularly


def _last_asked(cursor: str | None) -> Asked | None:
    try:
        return Asked.model_validate_json(cursor or "")
    except ValidationError:
        # None, or one of another release.
        return None


def _daemon_of(instance: dg.DagsterInstance) -> str:
    heartbeat = instance.get_daemon_heartbeats().get(SENSOR_DAEMON)
    return (heartbeat.daemon_id if heartbeat else None) or ""
