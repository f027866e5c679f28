"""The sensor that sees new versions in the registry and asks for their evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.errors import Unreachable
from promotion_assets.pipeline.watching import Watch, look_for_versions

MOST_RUNS_A_TICK = 25


def new_versions(
    models: Sequence[Names], jobs: Mapping[str, Any], *, interval_seconds: int = 15
) -> dg.SensorDefinition:
    """Return the sensor over all models of the policy.

    Its cursor is the highest version number seen of each model: numbers are free of gaps, while
    timestamps are neither in order nor visible when they say. A version that was judged with the
    dataset and policy of now is not asked for again, and the run key keeps a sensor that died
    half way from asking twice.
    """
    by_model = {names.model: names for names in models}

    @dg.sensor(
        name="new_versions",
        jobs=list(jobs.values()),
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sees new model versions in MLflow and has each of them evaluated once.",
    )
    def _new_versions(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        seen = Watch.parse(context.cursor)
        try:
            found, seen = look_for_versions(
                platform.open(), list(by_model), seen, most=MOST_RUNS_A_TICK
            )
        except Unreachable as error:
            return dg.SkipReason(f"{error}")
        requests = [
            dg.RunRequest(
                run_key=new.run_key,
                job_name=by_model[new.model].job,
                partition_key=new.version,
                tags={
                    "promotion/model": new.model[:255],
                    "promotion/version": new.version,
                    "promotion/reason": "new version in the registry",
                },
            )
            for new in found
        ]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else seen.sentence(),
            cursor=seen.dump(),
            dynamic_partitions_requests=[
                by_model[model].partitions.build_add_request(
                    [new.version for new in found if new.model == model]
                )
                for model in dict.fromkeys(new.model for new in found)
            ],
        )

    return _new_versions
