"""Champions in Dagster: a check that fails where one would not be let through, and their nights."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from promotion_assets.defs.checks import check_spec
from promotion_assets.defs.metadata import Materialized, table
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.spec import asset_spec, spoken
from promotion_assets.pipeline.asking import TAG_LENGTH
from promotion_assets.pipeline.champions import Health, report_champions
from promotion_assets.policy.model import ModelPolicy
from promotion_assets.policy.watching import Schedule

STILL_PASSES = "still_passes"


def champion(names: Names, policy: ModelPolicy) -> dg.AssetsDefinition:
    """Return the asset that holds a model's champions, as they were last judged."""
    key = names.key("champion")

    @dg.multi_asset(
        name=names.step("champion"),
        specs=[
            asset_spec(
                names,
                policy,
                "champion",
                "The champion of each segment, judged again every night and whenever policy or "
                "evaluation dataset change.",
                deps=["audit_record"],
                kinds={"mlflow"},
            )
        ],
        check_specs=[
            check_spec(STILL_PASSES, key, "Every champion would be let through today as well.")
        ],
    )
    def _champion(platform: Platform) -> Iterator[Materialized | dg.AssetCheckResult]:
        with spoken():
            found = report_champions(platform.workspace, names.model)
        said = "; ".join(health.sentence() for health in found) or "no version is the champion"
        yield dg.MaterializeResult(asset_key=key, metadata={"result": said, **_moved(found)})
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=STILL_PASSES,
            passed=all(health.passes is not False for health in found),
            description=said,
        )

    return _champion


def _moved(found: Sequence[Health]) -> dict[str, dg.TableMetadataValue]:
    rows = [
        {
            "segment": health.segment,
            "version": health.version,
            "what": f"{kind} {moved.name}",
            "then": "" if moved.before is None else str(moved.before),
            "now": "" if moved.after is None else str(moved.after),
        }
        for health in found
        if health.report is not None
        for kind, several in (
            ("gate", health.report.gates),
            ("number", health.report.numbers),
            ("digest of the", health.report.inputs),
        )
        for moved in several
    ]
    return {"changed": table(rows)} if rows else {}


def champion_again(names: Names, job: Any, when: Schedule) -> dg.ScheduleDefinition:
    """Return the schedule that has every champion of a model judged again."""

    @dg.schedule(
        name=f"champion_again_{names.slug}",
        cron_schedule=when.champions,
        execution_timezone=when.timezone,
        job=job,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Has the champion of {names.model} judged again, in every segment.",
    )
    def _champion_again(
        context: dg.ScheduleEvaluationContext, platform: Platform
    ) -> list[dg.RunRequest] | dg.SkipReason:
        with platform.opened() as workspace:
            champions = workspace.ledger.state(names.model).champions
        if not champions:
            return dg.SkipReason(f"{names.model} has no champion")
        versions = sorted(set(champions.values()))
        context.instance.add_dynamic_partitions(names.partitions.name or "", versions)
        # Without the tag of a request: the same question is put again and its answer recorded.
        return [
            dg.RunRequest(
                run_key=f"{context.scheduled_execution_time.isoformat()} {version}",
                partition_key=version,
                tags={
                    "promotion/model": names.model[:TAG_LENGTH],
                    "promotion/version": version,
                    "promotion/reason": "the champion's regular evaluation",
                },
            )
            for version in versions
        ]

    return _champion_again
