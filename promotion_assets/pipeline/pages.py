"""Addresses at which people look further: MLflow's pages and the reviewers'."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from promotion_assets.lifecycle.events import DEFAULT_SEGMENT
from promotion_assets.pipeline.workspace import Workspace

MLFLOW_URL = "PROMOTION_MLFLOW_URL"
REVIEW_URL = "PROMOTION_REVIEW_URL"


def version_page(workspace: Workspace, model: str, version: str) -> str | None:
    """Return where MLflow shows a version; ``None`` where nobody knows MLflow's address."""
    base = _mlflow(workspace, workspace.registry_uri or workspace.tracking_uri)
    return base and f"{base}/#/models/{_part(model)}/versions/{_part(version)}"


def run_page(workspace: Workspace, run_id: str) -> str | None:
    """Return where MLflow shows the training run; ``None`` where nobody knows its address."""
    base = _mlflow(workspace, workspace.tracking_uri)
    return base and f"{base}/#/runs/{_part(run_id)}"


def review_page(
    workspace: Workspace, model: str, version: str, segment: str = DEFAULT_SEGMENT
) -> str | None:
    """Return where reviewers decide; ``None`` where ``PROMOTION_REVIEW_URL`` is not set."""
    base = workspace.environ.get(REVIEW_URL, "").rstrip("/")
    if not base:
        return None
    page = f"{base}/models/{_part(model)}/versions/{_part(version)}"
    return page if segment == DEFAULT_SEGMENT else f"{page}?segment={_part(segment)}"


def _mlflow(workspace: Workspace, uri: str) -> str | None:
    """Return what people call MLflow: as they were told, or as we do where that is a web server."""
    parts = urlsplit(workspace.environ.get(MLFLOW_URL) or uri)
    if parts.scheme not in {"http", "https"}:
        return None
    # A name and password in the address are for programs, and stay out of what is shown.
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _part(text: str) -> str:
    return quote(text, safe="")
