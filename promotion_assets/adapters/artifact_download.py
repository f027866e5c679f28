"""Reading a model's files from MLflow, whole or not at all.

A file that is not there is the version's fault and is judged; a line that breaks is nobody's, and
what was half read must not be taken for what was registered. HTTP has no digest, and a proxy's
page with status 200 looks like a file, so sizes are held against what MLflow lists.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from promotion_assets.adapters.patience import waiting_for_files

_MISSING = re.compile(
    r"not ?found|no such|does not exist|NoSuch(Key|Bucket)|cannot find", re.IGNORECASE
)


def download_whole(uri: str, destination: Path, tracking_uri: str) -> Path:
    """Copy all files at ``uri`` below ``destination`` and return their root.

    Raises:
        FileNotFoundError: there are none, or one that is listed is not there.
        mlflow.exceptions.MlflowException, OSError: they cannot be read now.
    """
    from mlflow.artifacts import download_artifacts

    with waiting_for_files():
        try:
            root = Path(
                download_artifacts(
                    artifact_uri=uri, dst_path=str(destination), tracking_uri=tracking_uri
                )
            )
        except (OSError, MlflowException) as error:
            if _MISSING.search(str(error)) or not _is_remote(uri):
                raise FileNotFoundError(f"{uri} cannot be downloaded ({error})") from error
            raise _unread(error) from error
        if _is_remote(uri):
            check_read(model_files(uri, tracking_uri), root)
    if not (root / "MLmodel").exists() and not any(root.iterdir()):
        raise FileNotFoundError(f"{uri} is empty")
    return root


def _is_remote(uri: str) -> bool:
    return re.match(r"[a-z][a-z0-9+-]+:", uri) is not None and not uri.startswith("file:")


def _unread(error: Exception) -> Exception:
    # What a store's own library raises is an OSError at times, which says nothing of MLflow.
    if isinstance(error, MlflowException | RequestException):
        return error
    return ConnectionError(f"the artifact store: {type(error).__name__}")


Lister = Callable[[str], list[FileInfo]]
"""Gives what lies directly below a path; the empty path is the root."""


def model_files(uri: str, tracking_uri: str) -> Lister:
    """Return what lists the files at ``uri``."""
    from mlflow.artifacts import list_artifacts

    return lambda below: list_artifacts(
        artifact_uri=posixpath.join(uri, below) if below else uri, tracking_uri=tracking_uri
    )


def listed_sizes(lister: Lister, below: str = "") -> dict[str, int | None]:
    """Return every file's size by its path, ``None`` where the store does not know it."""
    found: dict[str, int | None] = {}
    for entry in lister(below):
        path = posixpath.join(below, posixpath.basename(entry.path))
        if entry.is_dir:
            found |= listed_sizes(lister, path)
        else:
            found[path] = entry.file_size
    return found


def check_read(lister: Lister, folder: Path) -> None:
    """Compare files that were read with what MLflow lists.

    Raises:
        ConnectionError: one of them is not there, or of another size.
    """
    for path, size in listed_sizes(lister).items():
        if size is not None:
            check_size(folder / path, size)


def unsent(lister: Lister, folder: Path) -> list[str]:
    """Return which files of ``folder`` MLflow does not list, or with another size."""
    there = listed_sizes(lister)
    files = {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file()}
    return sorted(
        path for path, size in files.items() if path not in there or there[path] not in (None, size)
    )


def check_size(file: Path, listed: int) -> None:
    """Compare a file that was read with the size that MLflow lists.

    Raises:
        ConnectionError: it is another one.
    """
    read = file.stat().st_size if file.is_file() else 0
    if read != listed:
        raise ConnectionError(f"IncompleteRead: {file.name} has {listed} bytes, {read} came")
