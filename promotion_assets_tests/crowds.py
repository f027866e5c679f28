"""Registries with many models and versions, and a policy that names them all."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from mlflow.tracking import MlflowClient

from promotion_assets.lifecycle.mirror import tags_of
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.fakes import Clock

STANZA = """
  {name}:
    task: binary
    dataset: {{uri: evaluation.parquet, label: y, min_rows: 50}}
    first_version: {{accept: absolute, reason: nothing predicted this before}}
    auto_to_staging: {staging}
    gates:
      accuracy: {{minimum: 0.6}}
      artifact:
"""


def names(models: int) -> list[str]:
    """The models' names."""
    return [f"model-{number:03d}" for number in range(models)]


def workspace(
    folder: Path, models: list[str], clock: Clock, more: str = "", *, staging: str = "false"
) -> Workspace:
    """Write a policy for ``models`` and open the platform on a registry of its own."""
    stanzas = "".join(STANZA.format(name=name, staging=staging) + more for name in models)
    (folder / "promotion.yaml").write_text(f"version: 1\nmodels:{stanzas}")
    environ = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    return Workspace.open(
        home=folder / "home", config=folder / "promotion.yaml", environ=environ, clock=clock
    )


def crowd(opened: Workspace, models: list[str], versions: int) -> None:
    """Register ``versions`` versions of each model at once, as rows: nothing reads their files."""
    client = MlflowClient(opened.tracking_uri, opened.tracking_uri)
    client.create_registered_model(models[0])
    client.create_model_version(models[0], "file:///nowhere")
    engine = sa.create_engine(opened.tracking_uri)
    with engine.begin() as connection:
        entry = _row(connection, "registered_models")
        version = _row(connection, "model_versions")
        began = entry["creation_time"]
        _insert(
            connection,
            "registered_models",
            [{**entry, "name": name, "last_updated_time": began + versions} for name in models[1:]],
        )
        _insert(
            connection,
            "model_versions",
            [
                {**version, "name": name, "version": number, "creation_time": began + number}
                for name in models
                for number in range(1, versions + 1)
                if (name, number) != (models[0], 1)
            ],
        )
    engine.dispose()


def tag_all(opened: Workspace, model: str) -> None:
    """Give every version the tags that the ledger wants, as rows."""
    state = opened.ledger.state(model)
    engine = sa.create_engine(opened.tracking_uri)
    with engine.begin() as connection:
        rows: list[dict[str, object]] = [
            {"name": model, "version": int(version), "key": key, "value": value}
            for version in state.versions()
            for key, value in tags_of(state, version).items()
        ]
        _insert(connection, "model_version_tags", rows)
    engine.dispose()


def _row(connection: sa.Connection, table: str) -> dict[str, object]:
    return dict(connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().one())


def _insert(connection: sa.Connection, table: str, rows: list[dict[str, object]]) -> None:
    if rows:
        columns = ", ".join(rows[0])
        values = ", ".join(f":{column}" for column in rows[0])
        connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)
