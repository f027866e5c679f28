"""Passwords in addresses are said nowhere: not in messages, causes, or what debuggers print."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from promotion_assets.adapters.database import open_engine, shown
from promotion_assets.adapters.mlflow_registry import MlflowRegistry
from promotion_assets.errors import PromotionError, RegistryUnreachable
from promotion_assets.evaluation.sources import without_credentials
from promotion_assets.pipeline.workspace import Workspace


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:planted@127.0.0.1:9/x",
        "postgresql://someone@127.0.0.1:9/x?password=planted",
        "postgresql://someone:half@planted@127.0.0.1:9/x",
        "mysql://someone:planted@127.0.0.1/x",
        "postgresql+nothing://someone:planted@127.0.0.1/x",
        "postgresql://someone:planted@127.0.0.1:port/x",
    ],
)
def test_no_part_of_a_databases_password_is_said(url: str) -> None:
    """Whatever is wrong with the address: neither in the message nor in what led to it."""
    assert "planted" not in shown(url)
    with pytest.raises(PromotionError) as found:
        open_engine(url)
    assert "planted" not in "".join(traceback.format_exception(found.value))


@pytest.mark.parametrize("password", ["some-password", "with@some-password"])
def test_no_password_in_mlflows_address_is_said(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """MLflow repeats the whole address in its errors; Dagster would keep them with their causes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://someone:{password}@127.0.0.1:9"
    with pytest.raises(RegistryUnreachable) as found:
        MlflowRegistry(uri).facts("small", "1")
    text = "".join(traceback.format_exception(found.value))
    assert "MlflowException" in text
    assert "some-password" not in text


def test_an_address_is_shown_without_any_part_of_its_password() -> None:
    """Also where an @ stands in it as it is."""
    assert without_credentials("https://a:b@c@host/x?token=d") == "https://***@host/x?…"
    assert without_credentials("s3://bucket/at@home") == "s3://bucket/at@home"


def test_a_workspace_shows_no_address_that_may_hold_a_password(tmp_path: Path) -> None:
    """It is printed in tracebacks and by debuggers."""
    (tmp_path / "promotion.yaml").write_text("models: {}")
    opened = Workspace.open(
        config=tmp_path / "promotion.yaml",
        environ={
            "PROMOTION_DATABASE_URL": "postgresql://a:planted@host/x",
            "MLFLOW_TRACKING_URI": "http://a:planted@host",
            "MLFLOW_REGISTRY_URI": "http://a:planted@host",
        },
    )
    assert "planted" not in repr(opened)
