"""Reading a model's files from MLflow, whole or not at all.

A file that is not there is the version's fault and is judged; a line that breaks is nobody's, and
what was half read must not be taken for what was registered. HTTP has no digest, and a proxy's
page with status 200 looks like a file, so sizes are held against what MLflow lists.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

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
            _check_sizes(uri, root, tracking_uri)
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


def _check_sizes(uri: str, folder: Path, tracking_uri: str) -> None:
    from mlflow.artifacts import list_artifacts

    for entry in list_artifacts(artifact_uri=uri, tracking_uri=tracking_uri):
        name = posixpath.basename(entry.path)
        if entry.is_dir:
            _check_sizes(posixpath.join(uri, name), folder / name, tracking_uri)
        elif entry.file_size is not None:
            check_size(folder / name, entry.file_size)


def check_size(file: Path, listed: int) -> None:
    """Compare a file that was read with the size that MLflow lists.

    Raises:
        ConnectionError: it is another one.
    """
    read = file.stat().st_size if file.is_file() else 0
    if read != listed:
        raise ConnectionError(f"IncompleteRead: {file.name} has {listed} bytes, {read} came")
