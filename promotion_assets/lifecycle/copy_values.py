"""What is carried from one registry to another, and what has to be the same at both ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from promotion_assets.canonical import digest_of
from promotion_assets.lifecycle.mirror import STAGE_TAG

COPY_TAG = "promotion.copy"
# What MLflow keeps of a longer parameter, with nothing but a line in the author's own log.
PARAM_LIMIT = 6000
# MLflow's own notes of a model's versions, which name those of the other registry; and where the
# source is a copy itself, what it was copied from: a copy names its own source.
_NOT_CARRIED = {
    "mlflow.modelVersions",
    "mlflow.log-model.history",
    COPY_TAG,
    "source_registry",
    "source_model",
    "source_version",
    "source_run_id",
}


class Record(BaseModel):
    """Base of the values here; a metric may be NaN, as its author logged it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class MetricPoint(Record):
    """One logged value.

    Attributes:
        of_model: whether it was logged for the model as well as for its run.
    """

    key: str
    value: float
    timestamp: int
    step: int
    of_model: bool = False
    dataset_name: str | None = None
    dataset_digest: str | None = None

    def place(self) -> tuple[str, int, int]:
        """Return what names a value in its run: key, time and step."""
        return self.key, self.timestamp, self.step

    def same(self, other: MetricPoint) -> bool:
        """Whether both say the same; NaN is the same as NaN."""
        nan = math.isnan(self.value) and math.isnan(other.value)
        return nan or self.value == other.value


class DatasetUse(Record):
    """A dataset that a run names as its input, and the tags of that use."""

    name: str
    digest: str
    source_type: str
    source: str
    schema_text: str | None = None
    profile: str | None = None
    tags: Mapping[str, str] = Field(default_factory=dict)


class RunRecord(Record):
    """What a run holds.

    Attributes:
        profile: the text of the training feature profile that it logged, if any.
        names_model: whether it names the model as its output.
    """

    name: str = ""
    experiment: str = "copied models"
    status: str = "FINISHED"
    started: int | None = None
    ended: int | None = None
    params: Mapping[str, str] = Field(default_factory=dict)
    tags: Mapping[str, str] = Field(default_factory=dict)
    metrics: tuple[MetricPoint, ...] = ()
    datasets: tuple[DatasetUse, ...] = ()
    profile: str | None = None
    names_model: bool = False


class ModelRecord(Record):
    """What the registry's entry of a logged model holds."""

    name: str = "model"
    kind: str | None = None
    params: Mapping[str, str] = Field(default_factory=dict)
    tags: Mapping[str, str] = Field(default_factory=dict)


class SourceVersion(Record):
    """A version as it is to be copied.

    Attributes:
        later: values that other runs logged for this model, by run id: evaluations of it.
    """

    model: str
    version: str
    created_at: datetime
    description: str = ""
    tags: Mapping[str, str] = Field(default_factory=dict)
    run_id: str | None = None
    run: RunRecord = RunRecord()
    logged: ModelRecord = ModelRecord()
    later: Mapping[str, tuple[MetricPoint, ...]] = Field(default_factory=dict)


class Held(Record):
    """What the target holds of a copy."""

    run: RunRecord
    logged: ModelRecord
    later: Mapping[str, tuple[MetricPoint, ...]] = Field(default_factory=dict)


def without_credentials(uri: str) -> str:
    """Return a registry's address without user, password, query and fragment."""
    scheme, found, rest = uri.partition("://")
    # A password may hold any character, where somebody forgot to quote it: what follows the
    # last @ is the host. A file's address has no host.
    hosted = found and not rest.startswith("/")
    plain = f"{scheme}://{rest.rpartition('@')[2]}" if hosted else uri
    return plain.partition("?")[0].partition("#")[0].rstrip("/")


def copy_id(source: SourceVersion, digest: str, registries: tuple[str, str], name: str) -> str:
    """Return the name of one copy: the same whenever the same version goes to the same place.

    The time of creation is in it, since a model that was deleted and made again numbers its
    versions from 1 again.
    """
    return digest_of(
        {
            "from": registries[0],
            "to": registries[1],
            "model": source.model,
            "version": source.version,
            "created_at": source.created_at.isoformat(),
            "model_digest": digest,
            "name": name,
        }
    )


def carried_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that travel: all but those that speak of a place in the source registry."""
    return {
        key: value
        for key, value in tags.items()
        if key not in _NOT_CARRIED and not key.startswith((STAGE_TAG, "promoted_"))
    }


def cut_params(params: Mapping[str, str]) -> tuple[str, ...]:
    """Name the parameters whose end MLflow has probably cut off when they were logged."""
    return tuple(sorted(key for key, value in params.items() if len(value) >= PARAM_LIMIT))


def differences(source: SourceVersion, held: Held) -> tuple[str, ...]:
    """Say what the target does not hold as the source does; empty if it holds everything."""
    return tuple(_differences(source, held))


def _differences(source: SourceVersion, held: Held) -> Iterator[str]:
    pairs = (
        ("parameter", source.run.params, held.run.params),
        ("tag of the run,", carried_tags(source.run.tags), held.run.tags),
        ("parameter of the model,", source.logged.params, held.logged.params),
        ("tag of the model,", carried_tags(source.logged.tags), held.logged.tags),
    )
    for what, wanted, found in pairs:
        for key, value in wanted.items():
            if found.get(key) != value:
                yield f"{what} {key!r} is {_short(found.get(key))} and not {_short(value)}"
    yield from _metric_differences("run", source.run.metrics, held.run.metrics)
    for run_id, points in source.later.items():
        yield from _metric_differences(f"run {run_id}", points, held.later.get(run_id, ()))
    uses = {(use.name, use.digest): use for use in held.run.datasets}
    for use in source.run.datasets:
        if uses.get((use.name, use.digest)) != use:
            yield f"dataset input {use.name!r} ({use.digest}) is missing or another"


def _metric_differences(
    where: str, wanted: tuple[MetricPoint, ...], found: tuple[MetricPoint, ...]
) -> Iterator[str]:
    there = {point.place(): point for point in found}
    for point in wanted:
        other = there.get(point.place())
        if other is None or not point.same(other):
            seen = "absent" if other is None else repr(other.value)
            yield f"metric {point.key!r} at step {point.step} of the {where} is {seen}"
        elif point.of_model and not other.of_model:
            yield f"metric {point.key!r} at step {point.step} is not one of the model's"


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return repr(value) if len(value) <= 60 else f"{value[:60]!r}… ({len(value)} characters)"
