"""Sensors that ask for evaluations: of new versions, and of what is judged by old inputs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

import dagster as dg

from promotion_assets.defs.names import REQUEST_TAG, Names
from promotion_assets.defs.platform import Platform
from promotion_assets.errors import Unreachable
from promotion_assets.pipeline.asking import TAG_LENGTH, Question
from promotion_assets.pipeline.hints import Hints
from promotion_assets.pipeline.reevaluating import Changes, look_for_changes
from promotion_assets.pipeline.watching import Watch, look_for_versions

MOST_RUNS_A_TICK = 25
EVALUATION = {"promotion/job": "evaluate"}
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def new_versions(
    models: Sequence[Names],
    jobs: Mapping[str, Any],
    *,
    interval_seconds: int = 5,
    look_seconds: float = 15,
) -> dg.SensorDefinition:
    """Return the sensor over all models of the policy.

    Its cursor is the highest version number seen of each model, and what was asked for and is
    not decided yet: a version is judged, and judged once, whatever dies in between.

    Args:
        interval_seconds: how often it is asked whether there is anything to do at all.
        look_seconds: how often the registry is looked at where no webhook has hinted at anything.
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
            with platform.opened() as workspace, closing(Hints(workspace)) as hints:
                if not hints.waiting and not seen.is_due(workspace.clock(), look_seconds):
                    return dg.SensorResult(skip_reason=seen.sentence(), cursor=context.cursor)
                found, seen = look_for_versions(
                    workspace,
                    list(by_model),
                    seen,
                    evaluations_of(context.instance),
                    most=MOST_RUNS_A_TICK,
                )
                hints.take()
        except Unreachable as error:
            return dg.SkipReason(f"{error}")
        return requested(found, by_model, cursor=seen.dump(), otherwise=seen.sentence())

    return _new_versions


def changed_inputs(
    models: Sequence[Names],
    jobs: Mapping[str, Any],
    reading: Mapping[str, Any],
    *,
    interval_seconds: int = 60,
) -> dg.SensorDefinition:
    """Return the sensor that asks again for what is live or open when its inputs have changed.

    Args:
        jobs: by model, what evaluates a version.
        reading: by model, what reads the evaluation dataset's source.
    """
    by_model = {names.model: names for names in models}

    @dg.sensor(
        name="changed_inputs",
        jobs=[*jobs.values(), *reading.values()],
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has champions and open candidates judged again when policy or dataset change.",
    )
    def _changed_inputs(
        context: dg.SensorEvaluationContext, platform: Platform
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            with platform.opened() as workspace:
                found, sources, seen = look_for_changes(
                    workspace,
                    list(by_model),
                    Changes.parse(context.cursor),
                    evaluations_of(context.instance),
                    most=MOST_RUNS_A_TICK,
                )
        except Unreachable as error:
            return dg.SkipReason(f"{error}")
        asked = requested(found, by_model, cursor=seen.dump(), otherwise="nothing has changed")
        again = [
            dg.RunRequest(
                run_key=source.run_key,
                job_name=reading[source.model].name,
                tags={
                    "promotion/model": source.model[:TAG_LENGTH],
                    "promotion/reason": "the evaluation dataset's source may have changed",
                },
            )
            for source in sources
        ]
        return dg.SensorResult(
            run_requests=[*again, *(asked.run_requests or [])],
            skip_reason=None if again else asked.skip_reason,
            cursor=asked.cursor,
            dynamic_partitions_requests=asked.dynamic_partitions_requests,
        )

    return _changed_inputs


def evaluations_of(instance: dg.DagsterInstance) -> Callable[[], Collection[tuple[str, str]]]:
    """Return what gives model and version of every evaluation that is queued or runs."""

    def _running() -> Collection[tuple[str, str]]:
        wanted = dg.RunsFilter(statuses=_UNFINISHED, tags=EVALUATION)
        tags = [run.tags for run in instance.get_runs(wanted)]
        return {(t.get("promotion/model", ""), t.get("promotion/version", "")) for t in tags}

    return _running


def requested(
    questions: Sequence[Question], by_model: Mapping[str, Names], *, cursor: str, otherwise: str
) -> dg.SensorResult:
    """Return the runs for ``questions``, with the partitions that they need."""
    return dg.SensorResult(
        run_requests=[request_of(question, by_model[question.model]) for question in questions],
        skip_reason=None if questions else otherwise,
        cursor=cursor,
        dynamic_partitions_requests=[
            by_model[model].partitions.build_add_request(
                [question.version for question in questions if question.model == model]
            )
            for model in dict.fromkeys(question.model for question in questions)
        ],
    )


def request_of(question: Question, names: Names) -> dg.RunRequest:
    """Return the run for one question: of all steps, or of the last one alone."""
    return dg.RunRequest(
        run_key=question.run_key,
        asset_selection=[names.key("staging")] if question.move else None,
        job_name=names.job,
        partition_key=question.version,
        tags={
            "promotion/model": question.model[:TAG_LENGTH],
            "promotion/version": question.version,
            "promotion/reason": question.reason[:255],
            REQUEST_TAG: question.run_key,
        },
    )
