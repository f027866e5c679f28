"""Links to where people look further."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from promotion_assets.pipeline.pages import review_page, run_page, version_page
from promotion_assets.pipeline.workspace import Workspace

NAME = "credit/risk ü"
QUOTED = "credit%2Frisk%20%C3%BC"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace over MLflow's server, reached with a password."""
    config = tmp_path / "promotion.yaml"
    config.write_text("version: 1\nmodels: {}\n")
    environ = {"MLFLOW_TRACKING_URI": "https://me:secret@mlflow.example:5000/ml/?x=1"}
    return Workspace.open(config=config, environ=environ)


def test_mlflows_pages_are_found_without_the_password(workspace: Workspace) -> None:
    """Version and run are shown by the server that they are in, whatever the model is called."""
    base = "https://mlflow.example:5000/ml/#"
    assert version_page(workspace, NAME, "3") == f"{base}/models/{QUOTED}/versions/3"
    assert run_page(workspace, "a1b2") == f"{base}/runs/a1b2"


def test_people_may_call_mlflow_otherwise(workspace: Workspace) -> None:
    """The address that people use goes before the one that programs use."""
    told = replace(workspace, environ={"PROMOTION_MLFLOW_URL": "https://ml.example/"})
    assert run_page(told, "a1b2") == "https://ml.example/#/runs/a1b2"


def test_a_database_has_no_pages(workspace: Workspace) -> None:
    """Where MLflow is a file and nobody says where its pages are, there is no link."""
    local = replace(workspace, tracking_uri="sqlite:///mlflow.db", environ={})
    assert version_page(local, NAME, "3") is None
    assert run_page(local, "a1b2") is None


def test_the_reviewers_page_is_linked_where_its_address_is_known(workspace: Workspace) -> None:
    """A segment other than the default one is part of the address."""
    assert review_page(workspace, NAME, "3") is None
    known = replace(workspace, environ={"PROMOTION_REVIEW_URL": "https://reviews.example/"})
    page = f"https://reviews.example/models/{QUOTED}/versions/3"
    assert review_page(known, NAME, "3") == page
    assert review_page(known, NAME, "3", "eu west") == f"{page}?segment=eu%20west"
