"""MLflow as either end of a copy between registries, each end addressed by itself."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from mlflow.entities import LoggedModel, LoggedModelOutput, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests.exceptions import HTTPError, RequestException

from promotion_assets.adapters.artifact_download import (
    Lister,
    check_read,
    download_whole,
    model_files,
    unsent,
)
from promotion_assets.adapters.mlflow_registry import ATTACHED, MlflowRegistry
from promotion_assets.adapters.profile_logging import ARTIFACT as PROFILE
from promotion_assets.adapters.registry_errors import hide_credentials, said_by_the_network
from promotion_assets.adapters.registry_records import (
    later_points,
    model_id_of,
    read_logged,
    read_run,
    to_input,
    to_metric,
)
from promotion_assets.errors import (
    IntegrityError,
    PromotionError,
    RegistryUnreachable,
    UsageError,
)
from promotion_assets.lifecycle.copy_values import (
    COPY_TAG,
    Held,
    MetricPoint,
    RunRecord,
    SourceVersion,
    carried_tags,
    without_credentials,
)
from promotion_assets.lifecycle.copying import NewVersion, Placed, TargetVersion

# Names the run at the target that stands for a run that evaluated the model at the source.
_STANDS_FOR = "source_run_id"
_METRICS_AT_ONCE, _TEXTS_AT_ONCE = 500, 20
_REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}
_FORBIDDEN = {"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"}
T = TypeVar("T")


class MlflowCopySource:
    """The registry that a version is copied from."""

    def __init__(self, registry: MlflowRegistry) -> None:
        self._registry = registry

    def read(self, model: str, version: str) -> SourceVersion:
        """Return everything of a version but its bytes.

        Raises:
            UsageError: there is no such version.
            RegistryUnreachable: MLflow does not answer.
        """
        client = self._registry.client
        with answering(self._registry.tracking_uri, f"read {model} version {version}"):
            found = client.get_model_version(model, version)
            model_id = model_id_of(found.source)
            logged = client.get_logged_model(model_id) if model_id else None
            run_id = found.run_id or None
            return SourceVersion(
                model=model,
                version=str(found.version),
                created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
                description=found.description or "",
                tags={str(k): str(v) for k, v in (found.tags or {}).items()},
                run_id=run_id,
                run=read_run(client, run_id, logged) if run_id else RunRecord(),
                logged=read_logged(logged),
                later=later_points(logged, run_id),
            )

    def mark(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of the version."""
        self._registry.set_tags(model, version, tags)


class MlflowCopyTarget:
    """The registry at ``uri`` as :class:`promotion_assets.lifecycle.copying.CopyTarget`.

    MLflow's own store for a database without a server asks the global tracking URI for a logged
    model: run this in a process whose global URI is ``uri``, see ``copy_process``.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = MlflowClient(uri, uri)

    def find(self, name: str, copy: str) -> TargetVersion | None:
        """Return the version that this copy has registered, if it has."""
        quoted = name.replace("'", "\\'")
        with answering(self.uri, f"look for a copy of {name}"):
            found = self.client.search_model_versions(
                f"name = '{quoted}' AND tags.`{COPY_TAG}` = '{copy}'"
            )
            if not found:
                return None
            version = min(found, key=lambda one: int(one.version))
            model_id = model_id_of(version.source)
            if model_id is None or not version.run_id:
                raise IntegrityError(
                    f"look for a copy of {name} at {without_credentials(self.uri)}",
                    f"version {version.version} has its name and not its source",
                    "find out who made that version, and delete it",
                )
            logged = self.client.get_logged_model(model_id)
            return TargetVersion(
                version=str(version.version), placed=_placed(version.run_id, logged)
            )

    def make_run(self, source: SourceVersion, copy: str, tags: Mapping[str, str]) -> str:
        """Return the run of this copy, made if it is not there."""
        with answering(self.uri, "make the run of the copy"):
            experiment = self._experiment(source.run.experiment)
            return self._run(
                experiment, source.run, copy, {**carried_tags(source.run.tags), **tags}
            )

    def make_model(self, source: SourceVersion, copy: str, run_id: str) -> Placed:
        """Return the model of this copy, made if it is not there."""
        with answering(self.uri, "make the model of the copy"):
            experiment = self._experiment(source.run.experiment)
            found = self.client.search_logged_models(
                [experiment], filter_string=f"tags.`{COPY_TAG}` = '{copy}'"
            )
            if found:
                return _placed(run_id, found[0])
            made = self.client.create_logged_model(
                experiment,
                source.logged.name,
                source_run_id=run_id,
                tags={**carried_tags(source.logged.tags), COPY_TAG: copy},
                params=dict(source.logged.params),
                model_type=source.logged.kind,
            )
            return _placed(run_id, made)

    def write_records(self, source: SourceVersion, copy: str, placed: Placed) -> None:
        """Log parameters, metrics, tags and inputs of the run and of the model."""
        run, run_id = source.run, placed.run_id
        with answering(self.uri, "log parameters and metrics of the copy"):
            if run.datasets:
                self.client.log_inputs(run_id, [to_input(use) for use in run.datasets])
            for part in _parts(sorted(run.params.items()), _TEXTS_AT_ONCE):
                self.client.log_batch(run_id, params=[Param(*item) for item in part])
            for part in _parts(sorted(carried_tags(run.tags).items()), _TEXTS_AT_ONCE):
                self.client.log_batch(run_id, tags=[RunTag(*item) for item in part])
            self._log(run_id, run.metrics, placed.model_id)
            if run.profile is not None:
                self.client.log_text(run_id, run.profile, PROFILE)
            if run.names_model and not self._names(run_id, placed.model_id):
                self.client.log_outputs(run_id, [LoggedModelOutput(placed.model_id, 0)])
            for other, points in source.later.items():
                stands_for = RunRecord(
                    name=f"evaluation {other}", experiment=run.experiment, started=run.started
                )
                extra = {COPY_TAG: f"{copy}:{other}", _STANDS_FOR: other}
                experiment = self._experiment(run.experiment)
                self._log(
                    self._run(experiment, stands_for, f"{copy}:{other}", extra),
                    points,
                    placed.model_id,
                )
            self.client.set_terminated(run_id, run.status, run.ended)

    def read_records(self, copy: str, placed: Placed) -> Held:
        """Return what is logged."""
        with answering(self.uri, "read the copy's records"):
            logged = self.client.get_logged_model(placed.model_id)
            later = later_points(logged, placed.run_id)
            named = {
                self.client.get_run(run_id).data.tags.get(_STANDS_FOR, run_id): points
                for run_id, points in later.items()
            }
            return Held(
                run=read_run(self.client, placed.run_id, logged),
                logged=read_logged(logged),
                later=named,
            )

    def upload(self, placed: Placed, folder: Path) -> None:
        """Write the model's files and finish the model."""
        with answering(self.uri, "write the model's files"):
            self.client.log_model_artifacts(placed.model_id, str(folder))
            self._expect(model_files(placed.artifact_path, self.uri), folder)
            self.client.finalize_logged_model(placed.model_id, "READY")

    def attach(self, placed: Placed, folder: Path) -> None:
        """Write the attestation's files to the run."""
        with answering(self.uri, "attach the attestation"):
            self.client.log_artifacts(placed.run_id, str(folder), ATTACHED)
            self._expect(self._attached(placed), folder)

    def download(self, placed: Placed, folder: Path) -> None:
        """Read the model's files into ``folder``."""
        with (
            answering(self.uri, "read the model's files"),
            TemporaryDirectory(dir=folder.parent) as scratch,
        ):
            download_whole(placed.artifact_path, Path(scratch), self.uri).rename(folder)

    def download_attached(self, placed: Placed, folder: Path) -> None:
        """Read the attestation's files into ``folder``."""
        with (
            answering(self.uri, "read the attestation"),
            TemporaryDirectory(dir=folder.parent) as scratch,
        ):
            read = Path(self.client.download_artifacts(placed.run_id, ATTACHED, scratch))
            check_read(self._attached(placed), read)
            read.rename(folder)

    def register(self, new: NewVersion, copy: str) -> str:
        """Register the version, with the model where it is new; return its number."""
        found = self.find(new.name, copy)
        if found is not None:
            return found.version
        with answering(self.uri, f"register a version of {new.name}"):
            _unless_there(lambda: self.client.create_registered_model(new.name))
            made = self.client.create_model_version(
                new.name,
                f"models:/{new.placed.model_id}",
                run_id=new.placed.run_id,
                tags=dict(new.tags),
                description=new.description or None,
                model_id=new.placed.model_id,
            )
            return str(made.version)

    def _attached(self, placed: Placed) -> Lister:
        return lambda below: self.client.list_artifacts(
            placed.run_id, posixpath.join(ATTACHED, below) if below else ATTACHED
        )

    def _expect(self, lister: Lister, folder: Path) -> None:
        # A proxy's page with status 200 looks like success to MLflow's client.
        lacking = unsent(lister, folder)
        if lacking:
            raise RegistryUnreachable(
                f"write files at {without_credentials(self.uri)}",
                f"it said that it took {lacking[0]} and does not have it",
                "see what stands between here and MLflow, and repeat the same command: it goes on "
                "from here",
            )

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            _unless_there(lambda: self.client.create_experiment(name))
            found = self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise UsageError(
                f"make the run of the copy at {without_credentials(self.uri)}",
                f"the experiment {name!r} is deleted there",
                "restore it there (`mlflow experiments restore`) or remove it for good (`mlflow "
                "gc`), and repeat the same command",
            )
        return str(found.experiment_id)

    def _run(self, experiment: str, run: RunRecord, copy: str, tags: Mapping[str, str]) -> str:
        found = self.client.search_runs([experiment], f"tags.`{COPY_TAG}` = '{copy}'")
        if found:
            return str(min(found, key=lambda one: one.info.run_id).info.run_id)
        made = self.client.create_run(
            experiment, run.started, {**tags, COPY_TAG: copy}, run.name or None
        )
        return str(made.info.run_id)

    def _log(self, run_id: str, points: Sequence[MetricPoint], model_id: str) -> None:
        for part in _parts(points, _METRICS_AT_ONCE):
            metrics = [to_metric(point, model_id) for point in part]
            self.client.log_batch(run_id, metrics=metrics)

    def _names(self, run_id: str, model_id: str) -> bool:
        outputs = self.client.get_run(run_id).outputs
        return any(o.model_id == model_id for o in (outputs.model_outputs if outputs else []))


@contextmanager
def answering(uri: str, doing: str) -> Iterator[None]:
    """Turn what MLflow's client raises into ours, with the registry's address."""
    where = f"{doing} at {without_credentials(uri)}"
    again = "see that MLflow runs there, and repeat the same command: it goes on from here"
    try:
        yield
    except PromotionError:
        raise
    except FileNotFoundError as error:
        raise IntegrityError(
            where,
            f"a file is missing there ({error})",
            "delete the run of the copy there, and repeat the same command: it uploads all again",
        ) from error
    except HTTPError as error:
        hide_credentials(error)
        code = error.response.status_code if error.response is not None else 0
        if code == 404:
            raise IntegrityError(
                where,
                f"a file is missing there ({error})",
                "delete the run of the copy there, and repeat the same command: it uploads all "
                "again",
            ) from error
        raise RegistryUnreachable(where, f"it answered {code}", again) from error
    except MlflowException as error:
        hide_credentials(error)
        said = str(error.message).splitlines()[0][:300]
        if error.error_code in _REFUSED and not said_by_the_network(said):
            raise UsageError(
                where,
                f"MLflow says: {said}",
                "see that the model and the version exist, and that the address after --to is the "
                "registry's; then repeat the same command",
            ) from error
        if error.error_code in _FORBIDDEN:
            raise UsageError(
                where,
                f"MLflow says: {said}",
                "give the credentials of that registry; those of a copy's target are in "
                "variables that begin with PROMOTION_TARGET_MLFLOW_TRACKING_",
            ) from error
        raise RegistryUnreachable(where, f"MLflow says: {said}", again) from error
    except (RequestException, ConnectionError, TimeoutError) as error:
        hide_credentials(error)
        raise RegistryUnreachable(where, f"no answer ({type(error).__name__})", again) from error


def _placed(run_id: str, logged: LoggedModel) -> Placed:
    return Placed(
        run_id=run_id,
        model_id=logged.model_id,
        artifact_path=logged.artifact_location,
        finished=str(logged.status) == "READY",
    )


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _unless_there(make: object) -> None:
    assert callable(make)
    try:
        make()
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
