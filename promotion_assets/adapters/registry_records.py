"""A run and a logged model in MLflow, read as values: the same reading at both ends of a copy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModel, Metric, Run
from mlflow.tracking import MlflowClient

from promotion_assets.adapters.profile_logging import ARTIFACT as PROFILE
from promotion_assets.lifecycle.copy_values import (
    DatasetUse,
    MetricPoint,
    ModelRecord,
    RunRecord,
)


def model_id_of(source: str | None) -> str | None:
    """Return the logged model that a version's source names, if it names one."""
    prefix = "models:/m-"
    return f"m-{source.removeprefix(prefix)}" if source and source.startswith(prefix) else None


def read_run(client: MlflowClient, run_id: str, logged: LoggedModel | None) -> RunRecord:
    """Return what a run holds, every step of every metric."""
    run = client.get_run(run_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    names_model = logged is not None and any(o.model_id == logged.model_id for o in outputs)
    return RunRecord(
        name=run.info.run_name or "",
        experiment=client.get_experiment(run.info.experiment_id).name,
        status=str(run.info.status),
        started=run.info.start_time,
        ended=run.info.end_time,
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics=_points(client, run, logged),
        datasets=tuple(_use(given) for given in (run.inputs.dataset_inputs if run.inputs else [])),
        profile=_profile(client, run_id),
        names_model=names_model,
    )


def read_logged(logged: LoggedModel | None) -> ModelRecord:
    """Return what the entry of a logged model holds."""
    if logged is None:
        return ModelRecord()
    return ModelRecord(
        name=logged.name or "model",
        kind=logged.model_type or None,
        params=dict(logged.params or {}),
        tags=dict(logged.tags or {}),
    )


def later_points(
    logged: LoggedModel | None, run_id: str | None
) -> dict[str, tuple[MetricPoint, ...]]:
    """Return the values that other runs than ``run_id`` logged for a model, by run."""
    found: dict[str, tuple[MetricPoint, ...]] = {}
    for metric in (logged.metrics or []) if logged else []:
        if metric.run_id and metric.run_id != run_id:
            found[metric.run_id] = (*found.get(metric.run_id, ()), _point(metric, metric))
    return found


def to_metric(point: MetricPoint, model_id: str) -> Metric:
    """Return a value as MLflow logs it."""
    return Metric(
        point.key,
        point.value,
        point.timestamp,
        point.step,
        model_id=model_id if point.of_model else None,
        dataset_name=point.dataset_name,
        dataset_digest=point.dataset_digest,
    )


def to_input(use: DatasetUse) -> DatasetInput:
    """Return a dataset input as MLflow logs it."""
    dataset = Dataset(
        use.name, use.digest, use.source_type, use.source, use.schema_text, use.profile
    )
    return DatasetInput(dataset, [InputTag(key, value) for key, value in use.tags.items()])


def _points(client: MlflowClient, run: Run, logged: LoggedModel | None) -> tuple[MetricPoint, ...]:
    linked = {
        (m.key, m.timestamp, m.step): m
        for m in ((logged.metrics or []) if logged else [])
        if m.run_id == run.info.run_id
    }
    return tuple(
        _point(metric, linked.get((metric.key, metric.timestamp, metric.step)))
        for key in sorted(run.data.metrics)
        for metric in client.get_metric_history(run.info.run_id, key)
    )


def _point(metric: Metric, linked: Metric | None) -> MetricPoint:
    # The model's entry says 0 where the run says NaN, so it is the run's value that counts.
    of_model = linked is not None and (linked.value == metric.value or math.isnan(metric.value))
    return MetricPoint(
        key=metric.key,
        value=metric.value,
        timestamp=metric.timestamp,
        step=metric.step,
        of_model=of_model,
        dataset_name=linked.dataset_name if linked and of_model else None,
        dataset_digest=linked.dataset_digest if linked and of_model else None,
    )


def _use(given: DatasetInput) -> DatasetUse:
    dataset = given.dataset
    return DatasetUse(
        name=dataset.name,
        digest=dataset.digest,
        source_type=dataset.source_type,
        source=dataset.source,
        schema_text=dataset.schema,
        profile=dataset.profile,
        tags=_tags(given.tags),
    )


def _tags(tags: Iterable[InputTag]) -> Mapping[str, str]:
    return {tag.key: tag.value for tag in tags}


def _profile(client: MlflowClient, run_id: str) -> str | None:
    if not any(entry.path == PROFILE for entry in client.list_artifacts(run_id)):
        return None
    with TemporaryDirectory() as folder:
        return Path(client.download_artifacts(run_id, PROFILE, folder)).read_text("utf-8")
